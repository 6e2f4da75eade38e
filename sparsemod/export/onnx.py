"""A `Graph` as an ONNX file: real numbers in and out, and int8 between wherever the network is int8.

    input -> QuantizeLinear -> (DequantizeLinear -> operator -> QuantizeLinear)* -> DequantizeLinear -> output

This is the QDQ form, in which importers recognise integer operators. Weights, biases, scales and zero points are those
of the network that was scored; nothing is calibrated again. A float network is the same file without the pairs.

The specification rounds halves to even and `graph.run` rounds them up, so that an activation may be one step apart:
`onnx_check` compares. Zeros of a pruned layer are written out, because ONNX has no sparse weights that importers read.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsemod.errors import InputError
from sparsemod.export.layer import identifiers
from sparsemod.graph import Graph, Operator

if TYPE_CHECKING:
    import onnx

OPSET = 13
"""The first with one scale per output channel. Nothing here needs a later one, and importers for microcontrollers read
older opsets longer than they wait for new ones."""

_INFINITY = float("inf")


def export(graph: Graph, path: str | Path) -> None:
    """Writes a network as ONNX: `input` (batch, *input shape) to `output` (batch, *output shape), both float32.

    Args:
        graph: As `compress.quantize.lower` makes it, of any scheme.
        path: A new file.

    Raises:
        InputError: An operator cannot be written or has no trained weights, or the file exists or cannot be written,
            or the package onnx is missing.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} exists, and an export never overwrites; choose another file, or delete it")
    content = model(graph)[0].SerializeToString(deterministic=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def model(graph: Graph) -> "tuple[onnx.ModelProto, dict[int, str]]":
    """The network as an ONNX model, and the name of the tensor in which each activation is kept, by its position.

    There is no metadata: no doc strings, no producer, no paths.

    Raises:
        InputError: As `export`.
    """
    try:
        import onnx
        from onnx import helper
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed, which ONNX needs: pip install 'sparsemod[export]'") from None

    _require_writable(graph)
    draft = _Draft(graph)
    real = {0: draft.keep("input", 0, "input")}
    names = identifiers(["input", "output", *(operator.name for operator in graph.operators)])[2:]
    for name, operator in zip(names, graph.operators, strict=True):
        result = KINDS[operator.kind](draft, name, operator, [real[position] for position in operator.inputs])
        real[operator.output] = draft.keep(name, operator.output, _bounded(draft, name, operator, result))
    draft.call_output()
    body = helper.make_graph(
        draft.nodes, "network", [_interface(graph, 0, "input")], [_interface(graph, graph.output, "output")],
        draft.constants,
    )  # fmt: skip
    opset = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(body, opset_imports=opset, ir_version=helper.find_min_ir_version_for(opset))
    onnx.checker.check_model(made, full_check=True)
    return made, draft.kept


def _require_writable(graph: Graph) -> None:
    if not graph.operators:
        raise InputError("the network computes nothing: there is nothing to write")
    for operator in graph.operators:
        if operator.kind not in KINDS:
            raise InputError(f"{operator.name}: the ONNX export has no operator {operator.kind!r}")
        if not _has_shipped_weights(operator):
            raise InputError(
                f"{operator.name}: the network is only traced, and its weights are not those that ship; export what "
                "`Study.load_model` or `compress.quantize.lower` gives"
            )


def _has_shipped_weights(operator: Operator) -> bool:
    """Whether there are values, and int8 ones with their scale where the weights are costed as int8."""
    weight = operator.weight
    if weight is None:
        return True
    if weight.is_meta:
        return False
    return operator.weight_itemsize == 4 or (weight.dtype == torch.int8 and operator.weight_scale is not None)


def _interface(graph: Graph, position: int, name: str) -> "onnx.ValueInfoProto":
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *graph.activations[position].shape])


@dataclass(eq=False)
class _Draft:
    """A model in the making.

    Attributes:
        graph: What is written.
        nodes: In execution order.
        constants: Weights, biases, scales and zero points.
        kept: Name of the tensor in which each activation is kept: int8, or float where the network is float.
    """

    graph: Graph
    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    constants: "list[onnx.TensorProto]" = field(default_factory=list)
    kept: dict[int, str] = field(default_factory=dict)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node of one output, and returns the output's name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

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


# --- one function per kind: adds its nodes, and returns the name of the result ---------------------------------------


def _convolution(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    options = operator.options
    return draft.node(
        "Conv",
        [inputs[0], *_parameters(draft, name, operator)],
        f"{name}.result",
        strides=options["stride"],
        pads=(*options["padding"][0::2], *options["padding"][1::2]),
        dilations=options["dilation"],
        group=options["groups"][0],
    )


def _linear(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    return draft.node("Gemm", [inputs[0], *_parameters(draft, name, operator)], f"{name}.result", transB=1)


def _parameters(draft: _Draft, name: str, operator: Operator) -> list[str]:
    """Weight, and bias if there is one; its integers count products of one input step and one weight step."""
    assert operator.weight is not None
    scale = operator.weight_scale
    found = [draft.parameter(f"{name}.weight", operator.weight, scale)]
    if operator.bias is not None:
        product = None if scale is None else scale.double() * draft.graph.activations[operator.inputs[0]].scale
        found.append(draft.parameter(f"{name}.bias", operator.bias, product))
    return found


def _max_pool(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """Padding after is what the windows reach: PyTorch and ONNX count windows differently when they round up."""
    options = operator.options
    sizes, counts = (draft.graph.activations[p].shape[1:] for p in (operator.inputs[0], operator.output))
    geometry = zip(sizes, counts, *(options[key] for key in ("kernel", "stride", "padding", "dilation")), strict=True)
    after = [
        max((count - 1) * stride + (kernel - 1) * dilation + 1 - padding - size, 0)
        for size, count, kernel, stride, padding, dilation in geometry
    ]
    return draft.node(
        "MaxPool",
        inputs,
        f"{name}.result",
        kernel_shape=options["kernel"],
        strides=options["stride"],
        pads=(*options["padding"], *after),
        dilations=options["dilation"],
    )


def _avg_pool(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    kernel, stride = operator.options["kernel"], operator.options["stride"]
    return draft.node("AveragePool", inputs, f"{name}.result", kernel_shape=kernel, strides=stride)


def _add(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    return draft.node("Add", inputs, f"{name}.result")


def _relu(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """Nothing but its bounds, which every operator may have."""
    return inputs[0]


def _reshape(draft: _Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    shape = draft.graph.activations[operator.output].shape
    if len(shape) == 1:
        return draft.node("Flatten", inputs, f"{name}.result")
    target = draft.constant(f"{name}.shape", torch.tensor((0, *shape)))  # 0: the batch stays as it is
    return draft.node("Reshape", [inputs[0], target], f"{name}.result")


KINDS: Mapping[str, Callable[[_Draft, str, Operator, Sequence[str]], str]] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "linear": _linear,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "add": _add,
    "relu": _relu,
    "reshape": _reshape,
}
"""What can be written."""


def _bounded(draft: _Draft, name: str, operator: Operator, real: str) -> str:
    """Relu or Clip if the operator bounds its output; bounds at the ends of int8 hold by themselves."""
    low, high = operator.low, operator.high
    if operator.multiplier is not None:
        to = draft.graph.activations[operator.output]
        low = (low - to.zero_point) * to.scale if low > -128 else -_INFINITY
        high = (high - to.zero_point) * to.scale if high < 127 else _INFINITY
    if (low, high) == (0, _INFINITY):
        return draft.node("Relu", [real], f"{name}.bounded")
    limits = {"low": low, "high": high}
    given = [
        "" if abs(limit) == _INFINITY else draft.constant(f"{name}.{key}", torch.tensor(limit))
        for key, limit in limits.items()
    ]
    return draft.node("Clip", [real, *given], f"{name}.bounded") if any(given) else real
