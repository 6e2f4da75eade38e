"""One operator of a `Graph` as C: its constants, and the call of its kernel. Those of integers; see `float_layer`."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparsemod.cost.encoding import Encoding, smallest, stored
from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.normalization import Normalization, normalization
from sparsemod.graph.recurrence import GATES

_KERNELS = {"depthwise": "conv", "relu": "rescale", "reshape": ""}
"""Kinds whose kernel has another name; a reshape needs none."""
_FEW_OUTPUTS, _FEW_TAPS = 3, 8
"""With fewer output channels in a group or weights in a filter a convolution is computed one weight after the other."""
KINDS = ("conv", "linear", "lstm", "gru", "embedding", "layer_norm", "max_pool", "avg_pool", "add", "mul", "function",
         "softmax", "concat", "pad", "permute", "upsample", "slice", *_KERNELS)  # fmt: skip
"""What can be written."""


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in flash. It is not static, so that a compiler keeps it even where it could fold it into the code."""

    name: str
    values: np.ndarray

    @property
    def text(self) -> str:
        """The definition, on one line if it fits."""
        ctype = "float" if self.values.dtype == np.float32 else f"{self.values.dtype}_t"
        start = f"const NET_FLASH {ctype} {self.name}[{len(self.values)}] = {{"
        line = f"{start}{', '.join(map(number, self.values.tolist()))}}};\n"
        return line if len(line) <= 120 else f"{start}\n{wrapped(self.values.tolist(), 4)}}};\n"


@dataclass(frozen=True)
class Struct:
    """An argument that a kernel takes by its address: a constant of the block around the call.

    Compilers let the constants of different blocks share the stack, which literals in the calls themselves do not.
    """

    ctype: str
    name: str
    fields: str

    @property
    def text(self) -> str:
        """The definition."""
        line = f"const {self.ctype} {self.name} = {{{self.fields}}};"
        return textwrap.fill(line, 112, subsequent_indent=" " * 4, break_on_hyphens=False) + "\n"


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator on its way into C.

    Attributes:
        graph: Of the operator.
        operator: What to write.
        name: A C identifier, different for every operator.
    """

    graph: Graph
    operator: Operator
    name: str

    @cached_property
    def encoding(self) -> Encoding | None:
        """How the weights are stored, if there are any; dense ones that are used one after the other are packed."""
        if self.operator.weight is None:
            return None
        found = smallest(self.operator)
        return replace(found, name="packed") if found.name == "dense" and self._one_by_one else found

    @property
    def _one_by_one(self) -> bool:
        """Whether the kernel takes one weight after the other.

        It does in a recurrent layer, and in a convolution with too little for four output channels at once.
        """
        operator = self.operator
        if operator.kind in GATES:
            return True
        if operator.kind not in ("conv", "depthwise") or operator.weight is None:
            return False
        outputs, taps = len(operator.weight) // operator.options["groups"][0], operator.weight[0].numel()
        return outputs < _FEW_OUTPUTS or taps < _FEW_TAPS

    @property
    def code(self) -> str:
        """Encoding and bits of a value in the names of kernels, such as bitmap_8; empty for dense weights."""
        if self.encoding is None or self.encoding.name == "dense":
            return ""
        return f"{self.encoding.name}_{self.encoding.bits}"

    @property
    def kind(self) -> str:
        """What the kernel computes, whatever the encoding; empty for a reshape."""
        if self._pointwise and not self.code:
            return "linear"  # at every place
        return _KERNELS.get(self.operator.kind, self.operator.kind)

    @property
    def _pointwise(self) -> bool:
        """Whether this is a convolution of 1 x 1 that sees every place of its input."""
        operator, options = self.operator, self.operator.options
        if operator.kind != "conv" or operator.weight is None or options["groups"] != (1,):
            return False
        return {*operator.weight.shape[2:], *options["stride"]} == {1} and not any(options["padding"])

    @property
    def kernel(self) -> str:
        """The C function that computes the operator; none for a reshape."""
        return f"{self.kind}_{self.code}" if self.code else self.kind

    @property
    def constants(self) -> list[Constant]:
        """What the operator keeps in flash, without empty arrays."""
        operator = self.operator
        found: list[tuple[str, np.ndarray]] = []
        if operator.weight is not None and self.encoding is not None:
            weight = operator.weight.numpy()
            index, values = stored(weight, self.encoding)
            found += [("index", index)]
            found += [("values", values)] if self.code else [("weight", weight.reshape(-1))]
        if operator.bias is not None:
            found.append(("bias", operator.bias.numpy()))
        if operator.multiplier is not None and operator.shift is not None:
            shift = operator.shift[:1] if operator.kind in ("add", "concat") else operator.shift  # all have the same
            found += [("multiplier", operator.multiplier.flatten().numpy())]
            found += [("shift", shift.flatten().numpy().astype(np.int8))]
        if operator.table is not None:
            ctype = np.int8 if operator.kind == "function" else np.uint16
            found.append(("table", operator.table.numpy().astype(ctype)))
        return [Constant(self._name(what), values) for what, values in found if len(values)]

    def call(self, offsets: Mapping[int, int], scratch: int = 0) -> str:
        """A comment, and the call of the kernel; of a concatenation, one call for each part.

        Args:
            offsets: Start of each activation in the arena.
            scratch: Start of what the operator needs for itself, if it does.
        """
        lines = f"/* {self._comment()} */\n"
        for arguments in self._calls(offsets, scratch) if self.kernel else []:
            structs = "".join(argument.text for argument in arguments if isinstance(argument, Struct))
            passed = [f"&{argument.name}" if isinstance(argument, Struct) else argument for argument in arguments]
            block = f"{structs}{self.kernel}({', '.join(passed)});\n"
            lines += f"{{\n{textwrap.indent(block, '    ')}}}\n"
        return textwrap.indent(lines, "    ")

    def _comment(self) -> str:
        operator, activations = self.operator, self.graph.activations
        shapes = " + ".join(by(activations[position].shape) for position in operator.inputs)
        parts = [f"{operator.function or operator.kind} {shapes} -> {by(activations[operator.output].shape)}"]
        parts += [f"{operator.macs:,} MACs"] if operator.macs else []
        if operator.weight is not None and self.encoding is not None:
            kept = int(np.count_nonzero(operator.weight.numpy()))
            parts += [f"{kept:,} of {operator.weight.numel():,} weights"]
            parts += [f"{self.encoding.name}, {self.encoding.bits} bits each"] if self.code else []
        name = re.sub(r"[^\w.-]", "_", operator.name)  # nothing that could end the comment
        return f"{name}: {', '.join(parts)}" + ("" if self.kernel else "; the same bytes")

    def _calls(self, offsets: Mapping[int, int], scratch: int) -> "list[list[str | Struct]]":
        if self.operator.kind != "concat":
            return [self._arguments(offsets, scratch)]
        start, whole = offsets[self.operator.output], self.graph.activations[self.operator.output]
        axis = self.operator.options["axis"][0]
        found: list[list[str | Struct]] = []
        for number, position in enumerate(self.operator.inputs):
            part = replace(whole, shape=self.graph.activations[position].shape)
            ends = [self._read("x", position, offsets), self._written(part, start)]
            block, stride = math.prod(part.shape[axis:]), math.prod(whole.shape[axis:])
            found.append([*ends, str(block), str(stride), *self._rescaling(number)])
            start += block * whole.itemsize
        return found

    def _rescaling(self, number: int) -> list[str]:
        """What brings one of several inputs to the steps of the output."""
        return [f"{self._name('multiplier')}[{number}]", f"{self._name('shift')}[0]"]

    def _arguments(self, offsets: Mapping[int, int], scratch: int) -> "list[str | Struct]":
        operator = self.operator
        names = "ab" if len(operator.inputs) > 1 else "x"
        inputs = [self._read(name, position, offsets) for name, position in zip(names, operator.inputs, strict=True)]
        return [*inputs, self._written(self._seen(operator.output), offsets[operator.output]), *self._settings(scratch)]

    def _read(self, name: str, position: int, offsets: Mapping[int, int]) -> Struct:
        return Struct("Input", name, tensor(self._seen(position), offsets[position]))

    def _written(self, activation: Activation, start: int) -> Struct:
        return Struct("Output", "y", f"{tensor(activation, start)}, {self._bounds()}")

    def _seen(self, position: int) -> Activation:
        """An activation as the kernel sees it: where every place is one for itself, all rows are one."""
        activation = self.graph.activations[position]
        if not self._pointwise:
            return activation
        channels = activation.shape[0]
        return replace(activation, shape=(channels, activation.numel // channels))

    def _settings(self, scratch: int) -> "list[str | Struct]":
        """What a kernel needs to know beside its tensors."""
        operator, options = self.operator, self.operator.options
        requantization = [f"{self._name('multiplier')}[0]", f"{self._name('shift')}[0]"]
        match operator.kind:
            case "linear" | "conv" if self.kind == "linear":
                return [self._weights()]
            case "conv" | "depthwise":
                return [self._weights(), self._window(), str(options["groups"][0])]
            case "layer_norm":
                constants = self._normalization()
                numbers = [constants.count, f"INT64_C({constants.eps})", constants.bits, constants.shift]
                return [self._weights(), *map(str, numbers)]
            case "lstm" | "gru":
                units, reverse, last = (options[key][0] for key in ("units", "reverse", "last"))
                saved = f"arena + {scratch + 2 * units}" if self.graph.steps else "0"
                return [self._weights(), f"arena + {scratch}", saved, str(units), str(reverse), str(last)]
            case "embedding":
                assert operator.weight is not None
                return [self._weights(), listed(operator.weight.shape)]
            case "slice":
                shape, axis = self._seen(operator.inputs[0]).shape, options["axis"][0]
                size = math.prod(shape[axis + 1 :])
                return [listed([shape[axis] * size, options["start"][0] * size, options["count"][0] * size])]
            case "max_pool":
                return [self._window()]
            case "avg_pool":
                return [self._window(), *requantization]
            case "add":
                return [self._name("multiplier"), f"{self._name('shift')}[0]"]
            case "function":
                return [self._name("table")]
            case "softmax":
                return [str(self.graph.activations[operator.output].shape[-1]), self._name("table")]
            case "pad":
                return [pair(options["padding"][0::2], 0)]
            case "upsample":
                return [pair(options["factor"], 1)]
            case "permute":
                return [f"(const int[]){{{listed(values)}}}" for values in self._axes()]
            case _:
                return [*requantization]

    def _weights(self) -> Struct:
        known = {constant.name for constant in self.constants}
        names = {what: self._name(what) for what in ("weight", "values", "index", "bias", "multiplier", "shift")}
        fields = ", ".join(f".{what} = {name}" for what, name in names.items() if name in known)
        return Struct("Weights", "weights", fields)

    def _normalization(self) -> Normalization:
        source, (eps,) = self.graph.activations[self.operator.inputs[0]], self.operator.arguments
        return normalization(math.prod(self.operator.options["shape"]), eps, source.scale)

    def _name(self, what: str) -> str:
        return f"net_{self.name}_{what}"

    def _bounds(self) -> str:
        operator = self.operator
        bounded = math.isfinite(operator.low)  # what hands on numbers or looks them up needs no bounds
        return f"{int(operator.low)}, {int(operator.high)}" if bounded else "-128, 127"

    def _axes(self) -> tuple[list[int], list[int]]:
        """Size of each axis of a permuted output, and how far apart its elements lie in the input; four of each."""
        shape = self.graph.activations[self.operator.inputs[0]].shape
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        order = self.operator.options["axes"]
        fill = 4 - len(order)
        return [1] * fill + [shape[axis] for axis in order], [0] * fill + [steps[axis] for axis in order]

    def _window(self) -> Struct:
        """Kernel, stride, padding before and dilation, each over two axes; the only axis of a signal is the second."""
        operator = self.operator
        options = operator.options
        kernel = options["kernel"] if operator.weight is None else tuple(operator.weight.shape[2:])
        padding = options.get("padding", (0,) * len(kernel))
        before = padding if operator.weight is None else padding[0::2]
        dilation = options.get("dilation", (1,) * len(kernel))
        rows = [(kernel, 1), (options["stride"], 1), (before, 0), (dilation, 1)]
        return Struct("Window", "window", ", ".join(f"{{{pair(values, fill)}}}" for values, fill in rows))


def tensor(activation: Activation, offset: int) -> str:
    """Address, channels, height, width and zero point; the only axis of a signal is its width."""
    channels, *spatial = activation.shape if len(activation.shape) <= 3 else (activation.numel,)
    return f"arena + {offset}, {channels}, {pair(spatial, 1)}, {activation.zero_point}"


def pair(values: Sequence[int], fill: int) -> str:
    """One value for each of two axes; the only axis of a signal is the second."""
    return listed([*[fill] * (2 - len(values)), *values])


def listed(values: Sequence[int]) -> str:
    """Whole numbers with commas."""
    return ", ".join(map(str, values))


def identifiers(names: Sequence[str]) -> list[str]:
    """Names as C identifiers, each different.

    Example:
        >>> identifiers(["head.fc", "head.fc", "head_fc", "relu"])
        ['head_fc', 'head_fc_1', 'head_fc_2', 'relu']
    """
    found: list[str] = []
    for position, name in enumerate(names):
        plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "net"
        while plain in found:
            plain += f"_{position}"
        found.append(plain)
    return found


def wrapped(values: Sequence[float], indent: int = 8) -> str:
    """Numbers with commas, in lines of at most 120 columns."""
    text = ", ".join(map(number, values)) + ","
    return textwrap.fill(text, 120, initial_indent=" " * indent, subsequent_indent=" " * indent) + "\n"


def number(value: float) -> str:
    """A whole number, or a float32 that the compiler reads back as the same one."""
    if isinstance(value, int):
        return str(value)
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def by(shape: Sequence[int]) -> str:
    """A shape for people, such as 3 x 32 x 32."""
    return " x ".join(map(str, shape))
