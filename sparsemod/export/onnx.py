"""A `Graph` as an ONNX file: real numbers in and out, and int8 between wherever the network is int8.

    input -> QuantizeLinear -> (DequantizeLinear -> operator -> QuantizeLinear)* -> DequantizeLinear -> output

This is the QDQ form, in which importers recognise integer operators. Weights, biases, scales and zero points are those
of the network that was scored; nothing is calibrated again. A float network is the same file without the pairs.

The specification rounds halves to even and `graph.run` rounds them up, so that an activation may be one step apart:
`onnx_check` compares. A recurrent layer, which would add such steps up, is a Scan of its integer formulas instead: see
`onnx_recurrent`. Zeros of a pruned layer are written out, because ONNX has no sparse weights that importers read.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sparsemod.errors import InputError
from sparsemod.export import artefact
from sparsemod.export.layer import identifiers
from sparsemod.export.onnx_draft import Draft
from sparsemod.export.onnx_kinds import KINDS
from sparsemod.export.whole import require_whole
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
        InputError: An operator cannot be written or has no trained weights, the network takes one step at a time, the
            file exists or cannot be written, or the package onnx is missing.
    """
    path = Path(path)
    artefact.require_new(path)
    artefact.write_file(path, model(graph)[0].SerializeToString(deterministic=True))


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
    draft = Draft(graph)
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
    require_whole(graph)
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


def _bounded(draft: Draft, name: str, operator: Operator, real: str) -> str:
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
