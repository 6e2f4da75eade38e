"""What an ONNX file holds of the network it was exported from, and what is not exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems.exported import SHAPE, Everything, int8, member
from problems.onnx_files import compared, halved, initializers, onnx, onnxruntime, operators
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.errors import InputError
from sparsemod.export.onnx import OPSET, export
from sparsemod.graph import Activation, Graph, Operator, trace


@pytest.mark.parametrize("bits", [4, 2])
def test_weights_of_few_bits_are_int8_in_the_file(tmp_path: Path, bits: int) -> None:
    torch.manual_seed(0)
    module = Everything()
    module.weight_bits = bits
    found = compared(int8(module, 2, 9, 10), tmp_path / "net.onnx")
    assert found.ok
    weights = [
        values for values in initializers(tmp_path / "net.onnx").values() if values.dtype == np.int8 and values.ndim > 1
    ]
    assert weights and max(int(np.abs(values).max()) for values in weights) == 2 ** (bits - 1) - 1


def test_weights_are_the_int8_values_and_scales_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), 4)
    (operator,) = graph.operators
    export(graph, tmp_path / "net.onnx")
    constants = list(initializers(tmp_path / "net.onnx").values())
    assert [(array.dtype.name, array.shape) for array in constants] == [
        *(("float32", ()), ("int8", ())),
        *(("int8", (3, 4)), ("float32", (3,)), ("int8", (3,))),
        *(("int32", (3,)), ("float32", (3,)), ("int32", (3,))),
        *(("float32", ()), ("int8", ())),
    ]
    assert operator.weight is not None and operator.bias is not None and operator.weight_scale is not None
    assert np.array_equal(constants[2], operator.weight) and np.array_equal(constants[5], operator.bias)
    assert np.allclose(constants[6], operator.weight_scale * graph.activations[0].scale, rtol=1e-6, atol=0)
    assert not constants[4].any() and not constants[7].any()
    assert operators(tmp_path / "net.onnx") == [
        *("QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "DequantizeLinear", "Gemm"),
        *("QuantizeLinear", "DequantizeLinear"),
    ]


@pytest.mark.parametrize(
    ("bounds", "nodes"),
    [((-9.0, 9.0), []), ((0.0, 9.0), ["Relu"]), ((-0.1, 9.0), ["Clip"]), ((-9.0, 0.1), ["Clip"]), ((0, 0.1), ["Clip"])],
)
def test_bounds_that_int8_does_not_hold_by_itself_are_written(
    tmp_path: Path, bounds: tuple[float, float], nodes: list[str]
) -> None:
    """Steps of 0.01: int8 reaches from -1.28 to 1.27."""
    low, high = (max(-128, min(127, round(bound / 0.01))) for bound in bounds)
    scale = {"multiplier": torch.tensor([2**20]), "shift": torch.tensor([20])}
    operator = Operator("relu", "relu", (0,), 1, low=float(low), high=float(high), **scale)
    graph = Graph((operator,), (Activation((4,), 1, 0.01), Activation((4,), 1, 0.01)))
    assert compared(graph, tmp_path / "net.onnx").whole.same == 1
    assert [kind for kind in operators(tmp_path / "net.onnx") if kind in ("Relu", "Clip")] == nodes


def messages(message: Any) -> list[Any]:
    """A protobuf message and all messages in it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            found += [inner for part in (value if field.is_repeated else [value]) for inner in messages(part)]
    return found


def test_a_file_has_opset_and_names_but_no_metadata(tmp_path: Path) -> None:
    export(member(1), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)] == [("", 13)]
    assert (model.ir_version, model.producer_name, model.producer_version, model.domain) == (7, "", "", "")
    for message in messages(model):
        assert not getattr(message, "doc_string", "") and not list(getattr(message, "metadata_props", []))
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"input": ["batch", *SHAPE], "output": ["batch", 3]}
    assert str(tmp_path).encode() not in (tmp_path / "net.onnx").read_bytes()


def test_a_file_is_its_weights_and_less_than_a_kilobyte_per_operator(tmp_path: Path) -> None:
    """A channel has 4 bytes of bias, two scales of 4, zero points of 1 and 4."""
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)), 300)
    export(graph, tmp_path / "net.onnx")
    overhead = (tmp_path / "net.onnx").stat().st_size - (300 * 100 + 100 * 10) - (100 + 10) * (4 + 8 + 5)
    assert 0 < overhead < 1000 * len(graph.operators)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = member(2)
    export(graph, tmp_path / "one.onnx")
    export(graph, tmp_path / "folder" / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "folder" / "two.onnx").read_bytes()


# --- float -----------------------------------------------------------------------------------------------------------


def test_a_float_network_computes_what_torch_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Everything().eval()
    graph, x = lower(module, [torch.randn(8, 2, 9, 10)], "none"), torch.randn(33, 2, 9, 10)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok and found.agreement == 1
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(operators(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), module(x),
                                   rtol=1e-5, atol=1e-5)  # fmt: skip


class Mixed(nn.Module):
    """A layer of each scheme, and both kinds of borders between int8 and float."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.real = nn.Conv2d(4, 4, 3)
        self.real.quant_scheme = "none"
        self.hidden = nn.Linear(16, 5)
        self.hidden.quant_scheme = "dynamic"
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.real(F.relu(self.conv(x))))
        return self.head(F.relu(self.hidden(x.flatten(1))))


@pytest.mark.parametrize("scheme", ["dynamic", "both", "none", "post"])
def test_every_scheme_is_written_as_it_was_scored(tmp_path: Path, scheme: str) -> None:
    torch.manual_seed(0)
    graph = lower(Mixed().eval(), [torch.randn(8, 2, 6, 6)], scheme)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok
    weights = [operator.weight for operator in graph.operators if operator.weight is not None]
    stored = [array for name, array in initializers(tmp_path / "net.onnx").items() if "weight" in name]
    assert [weight.numpy().dtype for weight in weights] == [array.dtype for array in stored if array.ndim > 1]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_network_without_its_integer_weights_is_refused(tmp_path: Path, device: str) -> None:
    graph = trace(nn.Sequential(nn.Linear(4, 2)).to(device), (4,))
    with pytest.raises(InputError, match=r"0: the network is only traced.*`Study.load_model` or"):
        export(graph, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    graph = Graph((Operator("sort", "order", (0,), 1),), (Activation((1,), 1), Activation((1,), 1)))
    with pytest.raises(InputError, match="order: the ONNX export has no operator 'sort'"):
        export(graph, tmp_path / "net.onnx")


def test_a_network_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network computes nothing"):
        export(Graph((), (Activation((1,), 4),)), tmp_path / "net.onnx")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists, and an export never overwrites"):
        export(halved(), path)
    assert path.read_text() == "mine"


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export(halved(), tmp_path / "file" / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
