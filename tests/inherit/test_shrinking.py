"""A narrower child keeps its most important channels, and whatever reads them their weights."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from families import FAMILIES, Branches, trained
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.inherit import inherit

# --- by hand ---------------------------------------------------------------------------------------------------------


class Chain(nn.Module):
    """(N, 1, 4, 4) through a convolution, norm, ReLU and pooling to planes of 2 x 2, flattened, to two scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, width, 1), nn.BatchNorm2d(width), nn.Linear(4 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2).flatten(1))


def chain(filters: Sequence[float], scales: Sequence[float]) -> Chain:
    """Column i of the head holds i, mean i of the norm holds 10 * i."""
    network = Chain(len(filters))
    network.conv.weight.data = torch.tensor(filters).reshape(-1, 1, 1, 1)
    network.conv.bias.data = 7 * torch.tensor(filters)
    network.norm.weight.data = torch.tensor(scales)
    network.norm.running_mean = 10 * torch.arange(len(filters)).float()
    network.head.weight.data = torch.arange(4.0 * len(filters)).expand(2, -1).clone()
    return network


@pytest.mark.parametrize(
    ("filters", "scales", "kept"),
    [
        ([1.0, -5, 3], [1.0, 1, 1], [1, 2]),
        ([1.0, 1, 1], [0.1, 1, -2], [1, 2]),
        ([4.0, 1, 2], [1.0, 8, 1], [0, 1]),
        ([2.0, 2, 2], [1.0, 1, 1], [0, 1]),
        ([0.0, 2, 5], [9.0, 1, 1], [1, 2]),
    ],
)
def test_kept_are_the_largest_filters_times_the_scale_of_their_norm(
    filters: list[float], scales: list[float], kept: list[int]
) -> None:
    """Also their statistics, and the four columns of each in the layer that reads the flattened planes."""
    parent, child = chain(filters, scales), Chain(2)
    inherit(child, parent.state_dict(), Chain(3), (1, 4, 4))
    assert child.conv.weight.flatten().tolist() == [filters[channel] for channel in kept]
    assert child.conv.bias.tolist() == [7 * filters[channel] for channel in kept]
    assert child.norm.running_mean.tolist() == [10 * channel for channel in kept]
    columns = [float(4 * channel + place) for channel in kept for place in range(4)]
    assert child.head.weight.tolist() == [columns, columns]


class Joined(nn.Module):
    """Two convolutions side by side or added, and a layer that reads both."""

    def __init__(self, left: int, right: int, added: bool = False) -> None:
        super().__init__()
        self.left, self.right, self.added = nn.Conv1d(1, left, 1), nn.Conv1d(1, right, 1), added
        self.head = nn.Conv1d(left if added else left + right, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        return self.head(left + right if self.added else torch.cat([left, right], 1))


def joined(left: Sequence[float], right: Sequence[float], added: bool) -> Joined:
    network = Joined(len(left), len(right), added)
    network.left.weight.data, network.right.weight.data = (torch.tensor(w).reshape(-1, 1, 1) for w in (left, right))
    network.head.weight.data = torch.arange(float(network.head.in_channels)).reshape(1, -1, 1)
    return network


def test_one_part_of_a_concatenation_narrows() -> None:
    parent, child = joined([1.0, 3, 2], [5.0, 6], added=False), Joined(2, 2)
    inherit(child, parent.state_dict(), Joined(3, 2), (1, 4))
    assert child.left.weight.flatten().tolist() == [3, 2]
    assert child.right.weight.flatten().tolist() == [5, 6]
    assert child.head.weight.flatten().tolist() == [1, 2, 3, 4]


def test_one_part_of_a_concatenation_widens_in_the_middle() -> None:
    parent, child = joined([1.0, 3], [5.0, 6], added=False), Joined(3, 2)
    inherit(child, parent.state_dict(), Joined(2, 2), (1, 4))
    assert child.left.weight.flatten().tolist()[:2] == [1, 3]
    assert child.head.weight.flatten().tolist() == [0, 1, 0, 2, 3]


def test_channels_that_are_added_stay_or_go_together() -> None:
    """|1| + |9|, |3| + |1|, |2| + |4|."""
    parent, child = joined([1.0, 3, 2], [-9.0, 1, 4], added=True), Joined(2, 2, added=True)
    inherit(child, parent.state_dict(), Joined(3, 3, added=True), (1, 4))
    assert child.left.weight.flatten().tolist() == [1, 2]
    assert child.right.weight.flatten().tolist() == [-9, 4]
    assert child.head.weight.flatten().tolist() == [0, 2]


def test_depthwise_layer_follows_what_it_reads() -> None:
    """2 * 1, 1 * 5 and 3 * 1."""

    def network(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv1d(1, width, 1), nn.Conv1d(width, width, 1, groups=width), nn.Conv1d(width, 1, 1))

    parent, child = network(3), network(2)
    for layer, values in zip(parent, ([2.0, 1, 3], [1.0, 5, 1], [7.0, 8, 9]), strict=True):
        layer.weight.data = torch.tensor(values).reshape(layer.weight.shape)
    inherit(child, parent.state_dict(), network(3), (1, 4))
    assert [layer.weight.flatten().tolist() for layer in child] == [[1, 3], [5, 1], [8, 9]]


# --- dead channels ---------------------------------------------------------------------------------------------------

WRITERS = {
    "stem": ("stem", "depthwise"),
    "left": ("left",),
    "right": ("right",),
    "width": ("join", "grouped", "residual.0", "residual.1", "excite", "beside"),
}


def kill(network: nn.Module, names: Sequence[str], channels: Sequence[int]) -> None:
    """Lets some channels of layers, and of their norms, give zero."""
    for name in names:
        for module in network.get_submodule(name).modules():
            for parameter in (getattr(module, "weight", None), getattr(module, "bias", None)):
                if parameter is not None:
                    parameter.data[list(channels)] = 0


@pytest.mark.parametrize("size", WRITERS)
@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_network_without_its_dead_channels_computes_the_same(size: str, seed: int) -> None:
    """Through norms, depthwise and grouped convolutions, concatenation, residual sums, pooling and flattening."""
    family, rng = FAMILIES["branches"], np.random.default_rng(seed)
    sizes = {**family.sample(rng), "depth": 2, "hidden": 0, "kernel": 3, size: 8}
    parent = trained(Branches(sizes), seed)
    half = rng.permutation(4)  # in each of two groups
    gone = [*half[:2], *(4 + rng.permutation(4)[:2])] if size == "width" else rng.permutation(8)[: 3 + seed % 3]
    kill(parent, WRITERS[size], gone)
    child = Branches({**sizes, size: 8 - len(gone)}).eval()
    features, old_features = child.head.in_features, parent.head.in_features
    assert features < old_features or size in ("stem", "left")
    inherit(child, parent.state_dict(), Branches(sizes), family.shape)
    expected = parent(family.inputs())
    assert torch.allclose(child(family.inputs()), expected, rtol=0, atol=1e-5 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@torch.no_grad()
def test_recurrent_network_without_its_dead_units_computes_the_same(kind: type) -> None:
    class Reads(nn.Module):
        def __init__(self, units: int) -> None:
            super().__init__()
            self.rnn, self.head = kind(3, units, batch_first=True), nn.Linear(units, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    parent, child, x = trained(Reads(4), 0), Reads(2), torch.randn(5, 6, 3)
    for tensor in parent.rnn.parameters():
        tensor.unflatten(0, (-1, 4))[:, [0, 2]] = 0
    inherit(child, parent.state_dict(), Reads(4), (6, 3))
    assert torch.allclose(child(x), parent(x), atol=1e-6)


# --- planes of another size ------------------------------------------------------------------------------------------


class Plane(nn.Module):
    """Two channels, pooled and flattened."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        self.pool, self.conv, self.head = pool, nn.Conv2d(1, 2, 1), nn.Linear(2 * (4 // pool) ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.avg_pool2d(self.conv(x), self.pool).flatten(1))


def test_smaller_plane_gets_the_weights_of_what_it_covers() -> None:
    """Four of each; in 4 x 4 the first channel has rows of 0, 1, 2, 3, the second the same and 100 more."""
    parent, child = Plane(1), Plane(2)
    rows = torch.arange(4.0)[:, None].expand(4, 4)
    parent.head.weight.data = torch.stack([rows, rows + 100]).reshape(1, -1)
    inherit(child, parent.state_dict(), Plane(1), (1, 4, 4))
    assert child.head.weight.tolist() == [[2, 2, 10, 10, 402, 402, 410, 410]]


@torch.no_grad()
def test_larger_plane_of_means_computes_the_same() -> None:
    """A mean of four pixels with weight w is four pixels with weight w / 4."""
    parent, child, x = trained(Plane(2), 0), Plane(1), torch.randn(3, 1, 4, 4)
    inherit(child, parent.state_dict(), Plane(2), (1, 4, 4))
    assert torch.allclose(child(x), parent(x), atol=1e-6)


# --- where the structure cannot be followed --------------------------------------------------------------------------


class Mixed(nn.Module):
    """Two convolutions with something between them, on three steps."""

    def __init__(self, width: int, mixing: str) -> None:
        super().__init__()
        self.first, self.last, self.mixing = nn.Conv1d(1, width, 1), nn.Conv1d(width, 1, 1), mixing

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.mixing == "refused":
            raise RuntimeError("no")
        return self.last(x if self.mixing == "none" else x @ x.transpose(1, 2) @ x)


@pytest.mark.parametrize(("mixing", "kept"), [("none", [1, 2]), ("product", [0, 1]), ("refused", [0, 1])])
def test_channels_stay_in_order_where_it_is_not_known_who_reads_them(mixing: str, kept: list[int]) -> None:
    parent, child = Mixed(3, mixing), Mixed(2, mixing)
    parent.first.weight.data = torch.tensor([1.0, 2, 3]).reshape(3, 1, 1)
    parent.last.weight.data = torch.tensor([4.0, 5, 6]).reshape(1, 3, 1)
    inherit(child, parent.state_dict(), Mixed(3, mixing), (1, 3))
    assert child.first.weight.flatten().tolist() == [1.0 + channel for channel in kept]
    assert child.last.weight.flatten().tolist() == [4.0 + channel for channel in kept]


def test_parent_of_another_shape_than_its_weights_is_not_followed() -> None:
    parent, child = chain([1.0, 2, 3], [1.0, 1, 1]), Chain(2)
    inherit(child, parent.state_dict(), Chain(4), (1, 4, 4))
    assert child.conv.weight.flatten().tolist() == [1, 2]
