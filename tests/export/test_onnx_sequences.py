"""Recurrent layers, embeddings and slices in ONNX Runtime, layer by layer."""

from pathlib import Path

import pytest
import torch
from problems.exported import int8
from problems.onnx_files import compared, onnx, onnxruntime, operators
from problems.random_networks import Sequence
from torch import Tensor, nn

from sparsemod.compress.quantize import lower
from sparsemod.export.onnx import export
from sparsemod.export.onnx_check import check
from sparsemod.graph import Activation, Graph, Operator


class Steps(nn.Module):
    """All steps of a recurrent layer, or the last one, and what a linear layer makes of them."""

    def __init__(self, layer: nn.Module, last: bool, tokens: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, layer.input_size) if tokens else nn.Identity()
        self.layer, self.last, self.head = layer, last, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.layer(self.embedding(x))[0]
        return self.head(steps[:, -1] if self.last else steps.flatten(1))


@pytest.mark.parametrize("scheme", ["post", "dynamic", "none"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "layer",
    [nn.LSTM(4, 6, batch_first=True), nn.GRU(4, 6, batch_first=True), nn.LSTM(4, 6, 2, False, True, bidirectional=True),
     nn.GRU(4, 6, 2, True, True, bidirectional=True)],
)  # fmt: skip
def test_recurrent_layers_are_those_of_the_network(tmp_path: Path, layer: nn.Module, last: bool, scheme: str) -> None:
    """Bit for bit in integers, and the operators of ONNX in real numbers."""
    torch.manual_seed(0)
    module, x = Steps(layer, last), torch.randn(16, 7, 4)
    module(x)
    graph = lower(module.eval(), [x], scheme)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok
    of_layers = [one for one in found.layers if one.kind in ("lstm", "gru")]
    assert max(one.largest for one in of_layers) <= (0 if scheme == "post" else 1e-6)
    written = [kind for kind in operators(tmp_path / "net.onnx") if kind in ("Scan", "LSTM", "GRU")]
    kind = "Scan" if scheme == "post" else "GRU" if isinstance(layer, nn.GRU) else "LSTM"
    assert written == [kind] * len(of_layers)


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("read", ["all", "state"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_large_weights_and_many_steps_do_not_add_up(tmp_path: Path, kind: type, read: str, times: int) -> None:
    """Weights up to four times as large as PyTorch starts them, over 60 steps, in both directions."""
    torch.manual_seed(times)
    layer = kind(5, 9, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter *= times
    graph = lower(Sequence(layer, read).eval(), [torch.randn(16, 60, 5)])
    found = compared(graph, tmp_path / "net.onnx")
    options = [operator.options for operator in graph.operators if operator.kind in ("lstm", "gru")]
    assert [(one["reverse"], one["last"]) for one in options] == [((way,), (int(read == "state"),)) for way in (0, 1)]
    assert [one.same for one in found.layers if one.kind in ("lstm", "gru")] == [1, 1]
    assert [one.largest for one in check(tmp_path / "net.onnx", graph, optimize=True).layers[:2]] == [0, 0]


def random_layer(kind: str, shifts: tuple[int, int], bits: int) -> Graph:
    """Any multipliers and biases that fit, so that gates leave their curves and cells reach 16."""
    rows, activations = {"lstm": 20, "gru": 15}[kind], (Activation((12, 3), 1, 0.1, -7), Activation((12, 5), 1, 2**-7))
    operator = Operator(
        *(kind, "rnn", (0,), 1),
        options={"units": (5,), "reverse": (0,), "last": (0,)},
        weight=torch.randint(-127, 128, (rows, 8), dtype=torch.int8),
        weight_scale=torch.ones(rows, 2),
        bias=torch.randint(-(2**bits), 2**bits, (20,), dtype=torch.int32) if bits else None,
        multiplier=torch.randint(1, 2**22, (rows, 2), dtype=torch.int32),
        shift=torch.randint(*shifts, (rows, 2), dtype=torch.int32),
    )
    return Graph((operator,), activations)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(("shifts", "bits"), [((1, 8), 0), ((12, 24), 0), ((24, 32), 16), ((34, 45), 29)])
def test_whole_range_of_the_arithmetic_is_exact(tmp_path: Path, kind: str, shifts: tuple[int, int], bits: int) -> None:
    """Shifts go from 1 to 44, and biases to 29 bits."""
    torch.manual_seed(0)
    assert compared(random_layer(kind, shifts, bits), tmp_path / "net.onnx").whole.same == 1


@pytest.mark.parametrize("last", [False, True])
def test_a_batch_of_any_size_gives_the_same_states(tmp_path: Path, last: bool) -> None:
    torch.manual_seed(0)
    module, x = Steps(nn.GRU(4, 6, batch_first=True), last), torch.randn(5, 7, 4)
    module(x)
    graph = lower(module.eval(), [x])
    export(graph, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    each = [session.run(None, {"input": one.numpy()})[0] for one in x.split(1)]
    assert (session.run(None, {"input": x.numpy()})[0] == [row for one in each for row in one]).all()
    assert session.get_inputs()[0].shape == ["batch", 7, 4]


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_a_recurrent_layer_is_its_int8_weights_and_seven_kilobytes(tmp_path: Path, kind: type, gates: int) -> None:
    """A row has two factors and a bias of 4 bytes, a unit of a GRU one bias more."""
    graph = lower(Sequence(kind(20, 30, batch_first=True), "last").eval(), [torch.randn(8, 7, 20)])
    export(graph, tmp_path / "net.onnx")
    (scan,) = (node for node in onnx.load(tmp_path / "net.onnx").graph.node if node.op_type == "Scan")
    (body,) = (attribute.g for attribute in scan.attribute if attribute.name == "body")
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in body.initializer]
    weights = [values for values in constants if values.ndim == 2]
    assert [(values.dtype.name, values.shape) for values in weights] == [
        ("int8", (20, 30 * gates)),
        ("int8", (30, 30 * gates)),
    ]
    overhead = (tmp_path / "net.onnx").stat().st_size - 50 * 30 * gates - 12 * 30 * gates
    assert 0 < overhead < 7000


@pytest.mark.parametrize("scheme", ["post", "none"])
def test_tokens_read_the_same_rows(tmp_path: Path, scheme: str) -> None:
    """Also those beyond the table, which are among the random ones."""
    module, x = Steps(nn.GRU(4, 6, batch_first=True), True, 9), torch.randint(9, (16, 7))
    module(x)
    found = compared(lower(module.eval(), [x], scheme), tmp_path / "net.onnx")
    assert found.ok and found.layers[0].same == 1


def test_slices_are_exact(tmp_path: Path) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[:, 1:, 2:3], x[:, 1:, :1]], 2)[:, :, 1]

    assert compared(int8(nn.Sequential(nn.ReLU(), Cut()), 3, 4, 5), tmp_path / "net.onnx").whole.same == 1
