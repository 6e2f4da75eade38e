"""An ONNX model in the making: nodes, constants, and the name under which each activation is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsemod.graph import Graph

if TYPE_CHECKING:
    import onnx


@dataclass(eq=False)
class Draft:
    """A model in the making.

    Attributes:
        graph: What is written.
        nodes: In execution order.
        constants: Weights, biases, scales and zero points.
        kept: Name of the tensor in which each activation is kept: int8, or float where the network is float.
        numbers: Type of the numbers in formulas.
    """

    graph: Graph
    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    constants: "list[onnx.TensorProto]" = field(default_factory=list)
    kept: dict[int, str] = field(default_factory=dict)
    numbers: torch.dtype = torch.float32

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node of one output, and returns the output's name."""
        return self.several(kind, inputs, [output], **attributes)[0]

    def several(self, kind: str, inputs: Sequence[str], outputs: list[str], **attributes: Any) -> list[str]:
        """Adds a node of several outputs, and returns their names."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def step(self, name: str, kind: str, *inputs: str | float | Tensor, **attributes: Any) -> str:
        """Adds one step of a formula, and returns the name of its result; numbers in it become constants."""
        result = f"{name}.{kind.lower()}_{len(self.nodes)}"
        names = [
            value if isinstance(value, str) else self.constant(f"{result}.{place}", self._number(value))
            for place, value in enumerate(inputs)
        ]
        return self.node(kind, names, result, **attributes)

    def _number(self, value: float | Tensor) -> Tensor:
        return value if isinstance(value, Tensor) else torch.tensor(value, dtype=self.numbers)

    def constant(self, name: str, values: Tensor) -> str:
        """Adds a constant, and returns its name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(values.contiguous().numpy(), name))
        return name

    def parameter(self, name: str, values: Tensor, scale: Tensor | None) -> str:
        """A weight or a bias in real values; integers with a scale (O,) are stored as such."""
        if values.dtype == torch.float32 or scale is None:
            return self.constant(name, values)
        stored = self.constant(f"{name}.integers", values)
        steps = self.steps(name, scale, torch.zeros_like(scale, dtype=values.dtype))
        return self.node("DequantizeLinear", [stored, *steps], name, axis=0)

    def keep(self, name: str, position: int, real: str) -> str:
        """The real values of an activation as later operators see them: through int8 if it is kept as int8."""
        activation = self.graph.activations[position]
        if activation.itemsize == 4:
            self.kept[position] = real
            return real
        steps = self.steps(name, torch.tensor(activation.scale), torch.tensor(activation.zero_point, dtype=torch.int8))
        self.kept[position] = self.node("QuantizeLinear", [real, *steps], f"{name}.int8")
        return self.node("DequantizeLinear", [self.kept[position], *steps], f"{name}.real")

    def steps(self, name: str, scale: Tensor, zero_point: Tensor) -> list[str]:
        """Scale and zero point. Without one importers take uint8 for granted, so zeros are written too."""
        return [self.constant(f"{name}.scale", scale.float()), self.constant(f"{name}.zero_point", zero_point)]

    def call_output(self) -> None:
        """Gives the result of the last node the name `output`."""
        position, last = self.graph.output, self.nodes[-1].output
        if self.kept[position] == last[0]:
            self.kept[position] = "output"
        last[0] = "output"
