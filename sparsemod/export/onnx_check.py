"""Compares an ONNX file with the network it was written from, layer by layer, in ONNX Runtime.

Each layer is cut out of the file and gets the very integers that the network has there, so that differences do not add
up: what a layer shows is its own. Then the file runs as a whole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsemod.errors import InputError
from sparsemod.export.onnx import model
from sparsemod.export.whole import inputs_of
from sparsemod.graph import Graph
from sparsemod.graph.run import activations

if TYPE_CHECKING:
    import onnx

Values = NDArray[Any]

_STEPS = 1.0
_RELATIVE = 1e-5


@dataclass(frozen=True)
class Layer:
    """How far ONNX Runtime is from the network.

    Attributes:
        name: Of the operator, or `whole network`.
        kind: Of the operator; empty for the whole network.
        largest: Largest difference: in steps if the output is int8, else relative to the largest value.
        allowed: The most that is right: one step, or 1e-5.
        same: Share of values without any difference.
    """

    name: str
    kind: str
    largest: float
    allowed: float
    same: float

    @property
    def ok(self) -> bool:
        """Whether the difference is one of rounding."""
        return self.largest <= self.allowed

    @property
    def difference(self) -> str:
        """The largest difference for people."""
        return (
            f"{self.largest:.0f} step{'s' * (self.largest != 1)}"
            if self.allowed >= _STEPS
            else f"{self.largest:.1e} relative"
        )


@dataclass(frozen=True)
class Comparison:
    """An ONNX file beside its network.

    Attributes:
        layers: Each with the network's own inputs.
        whole: The file from input to output, where differences add up.
        agreement: Share of vectors with the same largest output.
        vectors: How many inputs were compared.
    """

    layers: tuple[Layer, ...]
    whole: Layer
    agreement: float
    vectors: int

    @property
    def ok(self) -> bool:
        """Whether every layer is right."""
        return all(layer.ok for layer in self.layers)


def check(path: str | Path, graph: Graph, vectors: Tensor | None = None, optimize: bool = False) -> Comparison:
    """Runs an exported file and its layers in ONNX Runtime.

    Args:
        path: As `onnx.export` wrote it.
        graph: The network it was written from.
        vectors: Real inputs, (N, *input shape); 64 extreme and random ones unless given.
        optimize: Let ONNX Runtime fuse operators. Without, what runs is what the specification says; with, its integer
            kernels round once more on their own, and differently by processor.

    Raises:
        InputError: The file cannot be read or is not of this network, or onnx or onnxruntime is missing.
    """
    path = Path(path)
    names = model(graph)[1]
    from onnx.utils import Extractor  # after model(), which says it where the package is missing

    read = _load(path)
    parts = Extractor(read)
    vectors = inputs_of(graph) if vectors is None else vectors
    ours = {position: values.numpy() for position, values in activations(graph, vectors).items()}
    layers = []
    for operator in graph.operators:
        inputs = {names[position]: ours[position] for position in operator.inputs}
        try:
            part = parts.extract_model(list(inputs), [names[operator.output]])
        except ValueError as error:
            raise InputError(f"{path} is not of this network: {error}") from None
        found = _run(part, inputs, optimize)
        layers.append(_layer(operator.name, operator.kind, found, ours[operator.output]))
    whole = _run(read, {"input": vectors.numpy()}, optimize)
    target, expected = graph.activations[graph.output], ours[graph.output]
    if target.itemsize == 1:
        whole = np.round(whole / np.float32(target.scale)) + target.zero_point
    agreement = np.mean(_largest(whole) == _largest(expected))
    return Comparison(tuple(layers), _layer("whole network", "", whole, expected), float(agreement), len(vectors))


def _layer(name: str, kind: str, found: Values, expected: Values) -> Layer:
    integer = expected.dtype == np.int8
    difference = np.abs(found.astype(np.float64) - expected)
    unit = 1.0 if integer else float(np.abs(expected).max()) or 1.0  # a dead layer has no largest value
    allowed = _STEPS if integer else _RELATIVE
    return Layer(name, kind, float(difference.max()) / unit, allowed, float((difference == 0).mean()))


def _largest(values: Values) -> Values:
    """Position of the largest value of each sample, (N,)."""
    found: Values = np.argmax(values.reshape(len(values), -1), axis=1)
    return found


def _load(path: Path) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        read = onnx.load(path)
        onnx.checker.check_model(read, full_check=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise InputError(f"{path} is damaged, or no ONNX file; export the network again") from error
    return onnx.shape_inference.infer_shapes(read)


def _run(part: "onnx.ModelProto", inputs: dict[str, Values], optimize: bool) -> Values:
    """What ONNX Runtime computes, on one thread; operator by operator where it fails at what it has fused itself."""
    try:
        import onnxruntime as ort
        from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
    except ModuleNotFoundError:
        raise InputError("onnxruntime is not installed, to compare with: pip install 'sparsemod[export]'") from None

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    session = ort.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    try:
        result: Values = session.run(None, inputs)[0]
    except RuntimeException:
        if not optimize:
            raise
        return _run(part, inputs, optimize=False)
    return result
