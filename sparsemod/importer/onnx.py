"""Reads a float ONNX file as a module.

Each node becomes a `Layer` under the name of its weights (`block.conv` of `block.conv.weight`), or else of the node, so
that a table of costs speaks of the layers that the author knows. What does not depend on the input is computed once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsemod.errors import InputError
from sparsemod.importer.formulas import simplified
from sparsemod.importer.node import Node, evaluated
from sparsemod.importer.operators import JOINING, OPERATORS

if TYPE_CHECKING:
    import onnx

_BATCH = 2
"""Of the run that finds shapes: no other axis is taken for it by mistake where that is of one element."""

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
              "ConvInteger", "MatMulInteger")  # fmt: skip


class Network(nn.Module):
    """The layers of a file, in its order.

    Attributes:
        input_shape: Of one sample, without the batch.
    """

    def __init__(self, input_shape: tuple[int, ...], ends: tuple[str, str]) -> None:
        """Without layers; `ends` are the names of input and output."""
        super().__init__()
        self.input_shape, self._ends = input_shape, ends
        self._steps: list[tuple[nn.Module, tuple[str, ...], str]] = []

    def append(self, path: Sequence[str], layer: nn.Module, inputs: tuple[str, ...], output: str) -> None:
        """Adds a layer under a path, with a number if that is taken, and the names of what it reads and writes."""
        parent: nn.Module = self
        for part in path[:-1]:
            part = part if isinstance(getattr(parent, part, parent), nn.Module) else f"{part}_"
            if not hasattr(parent, part):
                parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        name, count = path[-1], 1
        while hasattr(parent, name):
            count += 1
            name = f"{path[-1]}_{count}"
        parent.add_module(name, layer)
        self._steps.append((layer, inputs, output))

    def forward(self, x: Tensor) -> Tensor:
        """(N, *input shape) to the output of the file."""
        values = {self._ends[0]: x}
        for layer, inputs, output in self._steps:
            values[output] = layer(*(values[name] for name in inputs))
        return values[self._ends[1]]


def read(path: str | Path) -> Network:
    """The network of an ONNX file, with its weights and in evaluation mode; its `input_shape` is that of the file.

    Args:
        path: Of one input and one output, whose first axis is the batch; all other axes have fixed sizes.

    Raises:
        InputError: The file cannot be read, is not such a network, or uses an operator that is not known.
    """
    path = Path(path)
    model = _load(path)
    try:
        return _network(model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _load(path: Path) -> "onnx.ModelProto":
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed, to read {path}: pip install 'sparsemod[export]'") from None
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is damaged, or no ONNX file that the installed onnx reads: {reason}") from error
    return model


def _network(model: "onnx.ModelProto") -> Network:
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    name, shape = _input(model.graph, constants)
    if len(model.graph.output) != 1:
        raise InputError(f"has {len(model.graph.output)} outputs; a network must have one")
    output = model.graph.output[0].name
    nodes = simplified(_nodes(model, constants), constants, output)
    network = Network(shape, (name, output))
    values = {name: torch.zeros(_BATCH, *shape)}
    for node in nodes:
        known = {place: constants[name] for place, name in enumerate(node.inputs) if name in constants}
        node = replace(node, constants=known)
        if missing := [name for name in node.activations if name not in values]:
            raise node.refused(f"reads {missing[0]!r}, which is another than the first output of its node")
        if node.kind == "Shape":
            constants[node.output] = np.array(values[node.inputs[0]].shape)
        elif not node.activations:
            constants[node.output] = evaluated(node, {node.inputs[place]: value for place, value in known.items()})
        else:
            values[node.output] = _append(network, node, values)
    if output not in values:
        raise InputError("the output does not depend on the input")
    return network.eval()


def _input(graph: "onnx.GraphProto", constants: Mapping[str, object]) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the one input."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"has {len(inputs)} inputs ({', '.join(value.name for value in inputs)}); must have one")
    sizes = [axis.dim_value or axis.dim_param or "?" for axis in inputs[0].type.tensor_type.shape.dim]
    if len(sizes) < 2 or not all(isinstance(size, int) for size in sizes[1:]):
        raise InputError(
            f"the input {inputs[0].name!r} has the axes ({', '.join(map(str, sizes))}); the first must be the batch, "
            "and only that may be open: fix the size of the others where the file is made"
        )
    return inputs[0].name, tuple(int(size) for size in sizes[1:])


def _nodes(model: "onnx.ModelProto", constants: dict[str, NDArray[Any]]) -> list[Node]:
    """The nodes; the values of those that are constant are put with the constants."""
    from onnx import helper

    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    nodes = []
    for position, proto in enumerate(model.graph.node):
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in proto.attribute}
        kind = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
        name = proto.name or f"{kind}_{position}"
        node = Node(kind, name, tuple(proto.input), proto.output[0], attributes, opset=opset)
        if kind in _QUANTIZED:
            raise node.refused("the network is quantized; read are float networks, which are costed as int8 anyway")
        if all(name in constants for name in node.inputs if name):
            constants[node.output] = evaluated(node, {name: constants[name] for name in node.inputs if name})
        else:
            nodes.append(node)
    return nodes


def _append(network: Network, node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """Adds the layer of a node, and gives its output for the inputs so far."""
    build = OPERATORS.get(node.kind)
    if build is None:
        raise node.refused(f"the operator is not read; known are {', '.join(sorted(OPERATORS))}")
    inputs = [values[name] for name in node.activations]
    if len(inputs) != 1 and node.kind not in JOINING:
        raise node.refused(f"{len(inputs)} of its inputs are computed by the network; only one may be")
    try:
        with torch.no_grad():
            layer = build(node, *inputs)
            result: Tensor = layer(*inputs)
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
        shapes = ", ".join(str(tuple(value.shape[1:])) for value in inputs)
        raise node.refused(f"cannot process inputs of {shapes}: {error}") from None
    network.append(_path(node), layer, node.activations, node.output)
    return result


def _path(node: Node) -> Sequence[str]:
    """Names of the modules around a layer and its own: of its weights, where those say it."""
    named = [node.inputs[place] for place in sorted(node.constants) if node.constants[place].ndim]
    prefix = named[0].rpartition(".")[0] if named else ""
    return [part for part in (prefix or node.name).split(".") if part] or [node.kind]
