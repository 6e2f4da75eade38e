"""Exported ONNX is the network that was scored: every layer within one step, in ONNX Runtime."""

from pathlib import Path

import pytest
import torch
from problems.exported import every_operator, int8, member
from problems.onnx_files import compared, onnx
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.export import layer, onnx_kinds
from sparsemod.export.onnx import KINDS
from sparsemod.export.onnx_check import check
from sparsemod.graph.functions import FUNCTIONS


@pytest.mark.parametrize("seed", range(20))
def test_members_of_the_space_are_within_one_step_per_layer(tmp_path: Path, seed: int) -> None:
    graph = member(seed)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok and found.vectors == 64
    assert [layer.name for layer in found.layers] == [operator.name for operator in graph.operators]
    assert max(layer.largest for layer in found.layers) <= 1
    assert min(layer.same for layer in found.layers) > 0.9
    assert found.agreement > 0.95


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_every_operator_is_within_one_step(tmp_path: Path, share: float) -> None:
    graph = every_operator(share)
    assert compared(graph, tmp_path / "net.onnx").ok
    assert check(tmp_path / "net.onnx", graph, optimize=True).ok


def test_a_signal_has_one_axis(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 6, 4, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 4, 3, stride=2, dilation=2)]
    graph = int8(nn.Sequential(*layers, nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 3)), 3, 17)
    assert compared(graph, tmp_path / "net.onnx").ok


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d((2, 3), (1, 2), (1, 1), (2, 1)), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.MaxPool2d(2, 2, 1, 4),
     nn.MaxPool2d(3, 3, 0, 3, ceil_mode=True)],
)  # fmt: skip
def test_max_pools_see_the_same_windows(tmp_path: Path, pool: nn.Module) -> None:
    assert compared(int8(pool, 2, 12, 11), tmp_path / "net.onnx").whole.same == 1


def test_unequal_padding_is_on_the_right_side(tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(F.pad(x, (3, 0, 0, 1)))

    torch.manual_seed(0)
    assert compared(int8(Shifted(), 1, 5, 6), tmp_path / "net.onnx").ok
    (conv,) = (node for node in onnx.load(tmp_path / "net.onnx").graph.node if node.op_type == "Conv")
    assert [list(attribute.ints) for attribute in conv.attribute if attribute.name == "pads"] == [[0, 3, 1, 0]]


class Moved(nn.Module):
    """Everything that hands on numbers or puts them in other places."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(F.relu(F.pad(x, (1, 0, 2, 3))), scale_factor=(2, 3))
        return torch.cat([x.permute(0, 3, 1, 2), x.transpose(1, 3).transpose(2, 3)], 1)


def test_what_moves_numbers_is_exact(tmp_path: Path) -> None:
    graph = int8(Moved(), 2, 4, 5)
    assert {operator.kind for operator in graph.operators} == {"relu", "pad", "upsample", "permute", "concat"}
    found = compared(graph, tmp_path / "net.onnx")
    assert (found.whole.largest, found.whole.same) == (0, 1)


class Gated(nn.Module):
    """Squeeze and excitation, and a share of attention, on a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.norm, self.inner = nn.AdaptiveAvgPool1d(1), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.norm(self.pool(x).flatten(1)).sigmoid()
        return self.inner(x * gate[..., None]) * x.softmax(-1)


def test_products_and_norms_are_within_one_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(Gated(), 3, 8)
    assert {"avg_pool", "depthwise", "function", "mul", "softmax"} < {operator.kind for operator in graph.operators}
    assert compared(graph, tmp_path / "net.onnx").ok


FUNCTIONS_OF_ONE_ELEMENT = [
    *(nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid(inplace=True), nn.Hardswish(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")),
    *(nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.ELU(), nn.ELU(0.7), nn.SELU()),
]


@pytest.mark.parametrize("function", FUNCTIONS_OF_ONE_ELEMENT, ids=str)
def test_functions_are_their_tables(tmp_path: Path, function: nn.Module) -> None:
    """All 256 inputs; float32 rounds hardly any of them to another step."""
    x = (torch.arange(-128.0, 128.0) / 32)[:, None]
    found = compared(lower(function, [x]), tmp_path / "int8.onnx", x)
    assert found.ok and found.layers[0].same > 0.98
    assert compared(lower(function, [x], "none"), tmp_path / "float.onnx", x).ok


def test_every_kind_that_c_has_is_written() -> None:
    assert set(KINDS) == set(layer.KINDS)
    assert set(onnx_kinds.FUNCTIONS) == set(FUNCTIONS)
