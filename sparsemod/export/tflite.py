"""An int8 `Graph` as a model of LiteRT, once TensorFlow Lite; TensorFlow Lite Micro and vendors' importers take it too.

Weights, biases, scales and zero points are those of the network that was scored; nothing is calibrated again. Input
and output are int8, images with channels last: (1, H, W, C). LiteRT rounds on its own, so that an activation may be a
step apart: the model is run with its reference kernels, which TensorFlow Lite Micro shares, before it is written.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsemod.errors import InputError
from sparsemod.export import artefact
from sparsemod.export.layer import identifiers
from sparsemod.export.tflite_draft import Draft, stored
from sparsemod.export.tflite_kinds import KINDS, written
from sparsemod.export.whole import Whole, compare, require_whole
from sparsemod.graph import Graph

_VERSION = 3
_IDENTIFIER = b"TFL3"


def export(graph: Graph, path: str | Path) -> Whole:
    """Writes a network as `.tflite`, after LiteRT has computed the same with it.

    Args:
        graph: Int8 throughout, as `compress.quantize.lower` makes it.
        path: A new file.

    Returns:
        How far LiteRT is from the network.

    Raises:
        InputError: The network has float parts or operators that cannot be written, or takes one step at a time; the
            file exists or cannot be written, or the package ai-edge-litert is missing.
        SparsemodError: LiteRT computes something else; nothing is written.
    """
    path = Path(path)
    artefact.require_new(path)
    content = model(graph)
    whole = compare(graph, _Runner(graph, content))
    artefact.write_file(path, content)
    return whole


def model(graph: Graph) -> bytes:
    """The network as a file.

    Raises:
        InputError: As `export`.
    """
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed, for LiteRT: pip install 'sparsemod[litert]'") from None

    _require_writable(graph)
    draft = Draft(graph, schema, buffers=[schema.BufferT()])
    source = graph.activations[0]
    values = {0: draft.tensor("input", stored(source), (source.scale, source.zero_point))}
    names = identifiers(["input", *(operator.name for operator in graph.operators)])[1:]
    for name, operator in zip(names, graph.operators, strict=True):
        values[operator.output] = written(draft, name, operator, [values[position] for position in operator.inputs])
    body = schema.SubGraphT(
        tensors=draft.tensors, inputs=[0], outputs=[values[graph.output].index], operators=draft.operators, name=b"main"
    )
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code) for code in draft.codes]
    made = schema.ModelT(version=_VERSION, operatorCodes=codes, subgraphs=[body], buffers=draft.buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _require_writable(graph: Graph) -> None:
    require_whole(graph)
    if not graph.operators:
        raise InputError("the network computes nothing: there is nothing to write")
    if not graph.exact:
        raise InputError(
            "the network has float parts. LiteRT is written for networks that are int8 throughout; search with [TRAIN] "
            "quant_scheme = post"
        )
    refused = [f"{operator.name} ({operator.kind})" for operator in graph.operators if operator.kind not in KINDS]
    if refused:
        raise InputError(f"LiteRT has no such operators: {', '.join(refused)}")


class _Runner:
    """Runs a model: real inputs (1, *input shape) to real outputs."""

    def __init__(self, graph: Graph, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._source, self._target = graph.activations[0], graph.activations[graph.output]
        self._interpreter: Any = Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        self._interpreter.allocate_tensors()

    def __call__(self, x: Tensor) -> Tensor:
        (entry,), (end,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        steps = torch.floor(x / self._source.scale + 0.5) + self._source.zero_point
        last = steps.clamp(-128, 127).to(torch.int8).movedim(1, -1)
        self._interpreter.set_tensor(entry["index"], last.reshape(stored(self._source)).numpy())
        self._interpreter.invoke()
        found = torch.from_numpy(np.array(self._interpreter.get_tensor(end["index"]))).movedim(-1, 1)
        return (found.reshape(1, *self._target.shape).float() - self._target.zero_point) * self._target.scale
