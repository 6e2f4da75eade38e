"""One operator of an integer `Graph` as C: its constants, and the call of its kernel."""

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
KINDS = ("conv", "linear", "lstm", "gru", "embedding", "layer_norm", "max_pool", "avg_pool", "add", "mul", "function",
         "softmax", "concat", "pad", "permute", "upsample", "slice", *_KERNELS)  # fmt: skip
"""What can be written."""


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in flash. It is not static, so that a compiler keeps it even where it could fold it into the code."""

    name: str
    ctype: str
    values: np.ndarray

    @property
    def text(self) -> str:
        """The definition, on one line if it fits."""
        start = f"const {self.ctype} {self.name}[{len(self.values)}] = {{"
        line = f"{start}{', '.join(map(str, self.values.tolist()))}}};\n"
        return line if len(line) <= 120 else f"{start}\n{wrapped(self.values.tolist(), 4)}}};\n"


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
        """How the weights are stored, if there are any."""
        return None if self.operator.weight is None else smallest(self.operator)

    @property
    def code(self) -> str:
        """Encoding and bits of a value in the names of kernels, such as bitmap_8; empty for dense weights.

        A recurrent layer reads dense weights as packed ones of eight bits, which are the same bytes.
        """
        if self.encoding is None or (self.encoding.name == "dense" and self.kind not in GATES):
            return ""
        return f"{'packed' if self.encoding.name == 'dense' else self.encoding.name}_{self.encoding.bits}"

    @property
    def kind(self) -> str:
        """What the kernel computes, whatever the encoding; empty for a reshape."""
        return _KERNELS.get(self.operator.kind, self.operator.kind)

    @property
    def kernel(self) -> str:
        """The C function that computes the operator; none for a reshape."""
        return f"{self.kind}_{self.code}" if self.code else self.kind

    @property
    def constants(self) -> list[Constant]:
        """What the operator keeps in flash, without empty arrays."""
        operator = self.operator
        found: list[tuple[str, str, np.ndarray]] = []
        if operator.weight is not None and self.encoding is not None:
            weight = operator.weight.numpy()
            index, values = stored(weight, self.encoding)
            found += [("index", "uint8_t", index)]
            found += [("values", "uint8_t", values)] if self.code else [("weight", "int8_t", weight.reshape(-1))]
        if operator.bias is not None:
            found.append(("bias", "int32_t", operator.bias.numpy()))
        if operator.multiplier is not None and operator.shift is not None:
            shift = operator.shift[:1] if operator.kind in ("add", "concat") else operator.shift  # all have the same
            found += [("multiplier", "int32_t", operator.multiplier.flatten().numpy())]
            found += [("shift", "int8_t", shift.flatten().numpy())]
        if operator.table is not None:
            found.append(("table", "int8_t" if operator.kind == "function" else "uint16_t", operator.table.numpy()))
        return [Constant(f"net_{self.name}_{what}", ctype, values) for what, ctype, values in found if len(values)]

    def call(self, offsets: Mapping[int, int], scratch: int = 0) -> str:
        """A comment, and the call of the kernel; of a concatenation, one call for each part.

        Args:
            offsets: Start of each activation in the arena.
            scratch: Start of what the operator needs for itself, if it does.
        """
        lines = f"/* {self._comment()} */\n"
        for arguments in self._calls(offsets, scratch) if self.kernel else []:
            aligned = textwrap.indent(",\n".join(arguments), " " * (len(self.kernel) + 5))
            lines += f"{{\n    {self.kernel}({aligned.lstrip()});\n}}\n"  # a block: layers share their stack
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

    def _calls(self, offsets: Mapping[int, int], scratch: int) -> list[list[str]]:
        if self.operator.kind != "concat":
            return [self._arguments(offsets, scratch)]
        start, found = offsets[self.operator.output], []
        axis = self.operator.options.get("axis", (0,))[0]  # not there in studies of before
        stride = math.prod(self.graph.activations[self.operator.output].shape[axis:])
        for number, position in enumerate(self.operator.inputs):
            activation = self.graph.activations[position]
            part = replace(activation, scale=1.0, zero_point=self.graph.activations[self.operator.output].zero_point)
            target = f"&(Output){{{_tensor(part, start)}, {self._bounds()}}}"
            source = f"&(Input){{{_tensor(activation, offsets[position])}}}"
            block = math.prod(activation.shape[axis:])
            scale = f"{self._name('multiplier')}[{number}], {self._name('shift')}[0]"
            found.append([source, target, f"{block}, {stride}, {scale}"])
            start += block
        return found

    def _arguments(self, offsets: Mapping[int, int], scratch: int) -> list[str]:
        operator, activations = self.operator, self.graph.activations
        inputs = [f"&(Input){{{_tensor(activations[index], offsets[index])}}}" for index in operator.inputs]
        target = _tensor(activations[operator.output], offsets[operator.output])
        return [*inputs, f"&(Output){{{target}, {self._bounds()}}}", *self._settings(scratch)]

    def _settings(self, scratch: int) -> list[str]:
        """What a kernel needs to know beside its tensors."""
        operator, options = self.operator, self.operator.options
        known = {constant.name for constant in self.constants}
        names = {what: self._name(what) for what in ("weight", "values", "index", "bias", "multiplier", "shift")}
        weights = ",\n           ".join(f".{what} = {name}" for what, name in names.items() if name in known)
        requantization = f"{names['multiplier']}[0], {names['shift']}[0]"
        match operator.kind:
            case "conv" | "depthwise":
                return [f"&(Weights){{{weights}}}", f"{self._window()}, {options['groups'][0]}"]
            case "layer_norm":
                constants = self._normalization()
                return [f"&(Weights){{{weights}}}", f"{constants.count}, INT64_C({constants.eps})",
                        f"{constants.bits}, {constants.shift}"]  # fmt: skip
            case "linear":
                return [f"&(Weights){{{weights}}}"]
            case "lstm" | "gru":
                settings = _row([options[key][0] for key in ("units", "reverse", "last")])
                return [f"&(Weights){{{weights}}}", f"arena + {scratch}, {settings}"]
            case "embedding":
                assert operator.weight is not None
                return [f"&(Weights){{{weights}}}", _row(operator.weight.shape)]
            case "slice":
                shape, axis = self.graph.activations[operator.inputs[0]].shape, options["axis"][0]
                size = math.prod(shape[axis + 1 :])
                return [_row([shape[axis] * size, options["start"][0] * size, options["count"][0] * size])]
            case "max_pool":
                return [self._window()]
            case "avg_pool":
                return [self._window(), requantization]
            case "add":
                return [f"{names['multiplier']}, {names['shift']}[0]"]
            case "function":
                return [self._name("table")]
            case "softmax":
                return [f"{self.graph.activations[operator.output].shape[-1]}, {self._name('table')}"]
            case "pad":
                return [_pair(options["padding"][0::2], 0)]
            case "upsample":
                return [_pair(options["factor"], 1)]
            case "permute":
                return [f"(const int[]){{{_row(values)}}}" for values in self._axes()]
            case _:
                return [requantization]

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

    def _window(self) -> str:
        """Kernel, stride, padding before and dilation, each over two axes; the only axis of a signal is the second."""
        operator = self.operator
        options = operator.options
        kernel = options["kernel"] if operator.weight is None else tuple(operator.weight.shape[2:])
        padding = options.get("padding", (0,) * len(kernel))
        before = padding if operator.weight is None else padding[0::2]
        dilation = options.get("dilation", (1,) * len(kernel))
        rows = [(kernel, 1), (options["stride"], 1), (before, 0), (dilation, 1)]
        return f"&(Window){{{', '.join(f'{{{_pair(values, fill)}}}' for values, fill in rows)}}}"


def _tensor(activation: Activation, offset: int) -> str:
    """Address, channels, height, width and zero point; the only axis of a signal is its width."""
    channels, *spatial = activation.shape if len(activation.shape) <= 3 else (activation.numel,)
    return f"arena + {offset}, {channels}, {_pair(spatial, 1)}, {activation.zero_point}"


def _pair(values: Sequence[int], fill: int) -> str:
    """One value for each of two axes; the only axis of a signal is the second."""
    return _row([*[fill] * (2 - len(values)), *values])


def _row(values: Sequence[int]) -> str:
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


def wrapped(values: Sequence[int], indent: int = 8) -> str:
    """Whole numbers with commas, in lines of at most 120 columns."""
    text = ", ".join(map(str, values)) + ","
    return textwrap.fill(text, 120, initial_indent=" " * indent, subsequent_indent=" " * indent) + "\n"


def by(shape: Sequence[int]) -> str:
    """A shape for people, such as 3 x 32 x 32."""
    return " x ".join(map(str, shape))
