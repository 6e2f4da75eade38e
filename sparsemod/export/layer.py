"""One operator of an integer `Graph` as C: its constants, and the call of its kernel."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsemod.cost.size import stored_as_bitmap
from sparsemod.graph import Graph, Operator

KINDS = ("conv", "depthwise", "linear", "max_pool", "avg_pool", "add", "relu", "reshape")
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

    @property
    def sparse(self) -> bool:
        """Whether the weights are stored as a bitmap and the values that are not zero."""
        return self.operator.weight is not None and stored_as_bitmap(self.operator)

    @property
    def kernel(self) -> str:
        """The C function that computes the operator; none for a reshape."""
        kind = {"depthwise": "conv", "reshape": ""}.get(self.operator.kind, self.operator.kind)
        return f"{kind}_bitmap" if self.sparse else kind

    @property
    def constants(self) -> list[Constant]:
        """What the operator keeps in flash, without empty arrays."""
        operator = self.operator
        found: list[tuple[str, str, np.ndarray]] = []
        if operator.weight is not None:
            weight = operator.weight.numpy().reshape(-1)
            if self.sparse:
                found.append(("bitmap", "uint8_t", np.packbits(weight != 0, bitorder="little")))
            found.append(("weight", "int8_t", weight[weight != 0] if self.sparse else weight))
        if operator.bias is not None:
            found.append(("bias", "int32_t", operator.bias.numpy()))
        if operator.multiplier is not None and operator.shift is not None:
            shift = operator.shift[:1] if operator.kind == "add" else operator.shift  # both inputs have the same
            found += [("multiplier", "int32_t", operator.multiplier.numpy()), ("shift", "int8_t", shift.numpy())]
        return [Constant(f"net_{self.name}_{what}", ctype, values) for what, ctype, values in found if len(values)]

    def call(self, offsets: Mapping[int, int]) -> str:
        """A comment, and the call of the kernel.

        Args:
            offsets: Start of each activation in the arena.
        """
        lines = f"/* {self._comment()} */\n"
        if self.kernel:
            arguments = textwrap.indent(",\n".join(self._arguments(offsets)), " " * (len(self.kernel) + 5))
            lines += f"{{\n    {self.kernel}({arguments.lstrip()});\n}}\n"  # a block: layers share their stack
        return textwrap.indent(lines, "    ")

    def _comment(self) -> str:
        operator, activations = self.operator, self.graph.activations
        shapes = " + ".join(by(activations[position].shape) for position in operator.inputs)
        parts = [f"{operator.kind} {shapes} -> {by(activations[operator.output].shape)}"]
        parts += [f"{operator.macs:,} MACs"] if operator.macs else []
        if operator.weight is not None:
            kept = int(np.count_nonzero(operator.weight.numpy()))
            parts += [f"{kept:,} of {operator.weight.numel():,} weights" + " as a bitmap and values" * self.sparse]
        name = re.sub(r"[^\w.-]", "_", operator.name)  # nothing that could end the comment
        return f"{name}: {', '.join(parts)}" + ("" if self.kernel else "; the same bytes")

    def _arguments(self, offsets: Mapping[int, int]) -> list[str]:
        operator = self.operator
        inputs = [f"&(Input){{{self._tensor(position, offsets)}}}" for position in operator.inputs]
        limits = "-128, 127" if operator.kind == "max_pool" else f"{int(operator.low)}, {int(operator.high)}"
        arguments = [*inputs, f"&(Output){{{self._tensor(operator.output, offsets)}, {limits}}}"]
        known = {constant.name for constant in self.constants}
        names = {
            what: name if (name := f"net_{self.name}_{what}") in known else "0"
            for what in ("weight", "bitmap", "bias", "multiplier", "shift")
        }
        weights = ",\n           ".join(f".{what} = {name}" for what, name in names.items() if name != "0")
        match operator.kind:
            case "conv" | "depthwise":
                groups = str(operator.options["groups"][0])
                return [*arguments, f"&(Weights){{{weights}}}", f"{self._window()}, {groups}"]
            case "linear":
                return [*arguments, f"&(Weights){{{weights}}}"]
            case "max_pool":
                return [*arguments, self._window()]
            case "avg_pool":
                return [*arguments, self._window(), f"{names['multiplier']}[0], {names['shift']}[0]"]
            case "add":
                return [*arguments, f"{names['multiplier']}, {names['shift']}[0]"]
            case _:
                return [*arguments, f"{names['multiplier']}[0], {names['shift']}[0]"]

    def _tensor(self, position: int, offsets: Mapping[int, int]) -> str:
        """Address, channels, height, width and zero point."""
        activation = self.graph.activations[position]
        channels, *spatial = activation.shape if len(activation.shape) <= 3 else (activation.numel,)
        height, width = [*[1] * (2 - len(spatial)), *spatial]
        return f"arena + {offsets[position]}, {channels}, {height}, {width}, {activation.zero_point}"

    def _window(self) -> str:
        """Kernel, stride, padding before and dilation, each over two axes; the only axis of a signal is the second."""
        operator = self.operator
        options = operator.options
        kernel = options["kernel"] if operator.weight is None else tuple(operator.weight.shape[2:])
        padding = options.get("padding", (0,) * len(kernel))
        before = padding if operator.weight is None else padding[0::2]
        dilation = options.get("dilation", (1,) * len(kernel))
        rows = [(kernel, 1), (options["stride"], 1), (before, 0), (dilation, 1)]
        pairs = [", ".join(map(str, [*[fill] * (2 - len(values)), *values])) for values, fill in rows]
        return f"&(Window){{{', '.join(f'{{{pair}}}' for pair in pairs)}}}"


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
