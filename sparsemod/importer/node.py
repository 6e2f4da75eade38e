"""One operator of an ONNX file on its way into a layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsemod.errors import InputError


@dataclass(frozen=True)
class Node:
    """An operator with the constants that it reads.

    Attributes:
        kind: Operator of ONNX, such as Conv.
        name: In the file, or kind and position.
        inputs: Names; empty where an input is left out.
        output: Name of the first output; the others are not read.
        attributes: By name.
        constants: Values of those inputs that are constant, by the position of the input.
        opset: Version of the operators.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    constants: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    opset: int = 13

    @property
    def activations(self) -> tuple[str, ...]:
        """Inputs that are not constant."""
        return tuple(name for place, name in enumerate(self.inputs) if name and place not in self.constants)

    def tensor(self, place: int) -> Tensor | None:
        """A constant input as float32; None where it is left out."""
        values = self.constants.get(place)
        return None if values is None else torch.from_numpy(np.array(values, np.float32))

    def integers(self, place: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an input in some versions of ONNX and an attribute in others."""
        values = self.constants[place] if place in self.constants else self.attributes.get(attribute)
        return None if values is None else [int(value) for value in np.ravel(values)]

    def refused(self, reason: str) -> InputError:
        """The error that names this node."""
        return InputError(f"{self.kind} {self.name!r}: {reason}")


class Layer(nn.Module):
    """What a node computes, with its parameters.

    Args:
        compute: Takes the activations, then the parameters.
        weight: Any shape, or None.
        bias: Any shape, or None.
    """

    def __init__(self, compute: Callable[..., Tensor], weight: Tensor | None = None, bias: Tensor | None = None):
        super().__init__()
        self.compute, self.weighted = compute, weight is not None
        self.weight = None if weight is None else nn.Parameter(weight.contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.contiguous(), requires_grad=False)

    def forward(self, *activations: Tensor) -> Tensor:
        """The output of the node."""
        return self.compute(*activations, self.weight, self.bias) if self.weighted else self.compute(*activations)


def evaluated(node: Node, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The first output of a node by the reference implementation of ONNX.

    Args:
        node: Of any operator.
        values: Of its inputs, by name.

    Raises:
        InputError: They are not what the operator takes, or the reference does not know it.
    """
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in values]
    output = helper.make_tensor_value_info(node.output, TensorProto.UNDEFINED, None)
    proto = helper.make_node(node.kind, node.inputs, [node.output], **node.attributes)
    graph = helper.make_graph([proto], "node", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    try:
        results: Any = ReferenceEvaluator(model).run(None, dict(values))
    except Exception as error:  # of any type: the reference checks little before it computes
        raise node.refused(f"computes a constant that cannot be read: {error}") from error
    return np.asarray(results[0])
