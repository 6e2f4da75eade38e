"""Recurrent layers, embeddings and slices in ONNX Runtime, layer by layer."""

from pathlib import Path

import pytest
import torch
from problems.exported import int8
from problems.onnx_files import compared, operators
from torch import Tensor, nn

from sparsemod.compress.quantize import lower


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
def test_recurrent_layers_are_those_of_onnx(tmp_path: Path, layer: nn.Module, last: bool, scheme: str) -> None:
    torch.manual_seed(0)
    module, x = Steps(layer, last), torch.randn(16, 7, 4)
    module(x)
    graph = lower(module.eval(), [x], scheme)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok
    of_layers = [one for one in found.layers if one.kind in ("lstm", "gru")]
    assert max(one.largest for one in of_layers) <= (1 if scheme == "post" else 1e-6)
    assert {one.allowed for one in of_layers} == {8.0 if scheme == "post" else 1e-5}
    assert operators(tmp_path / "net.onnx").count("GRU" if isinstance(layer, nn.GRU) else "LSTM") == len(of_layers)


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
