import dataclasses
import itertools
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsemod.cost import cost, plan
from sparsemod.cost.layers import alive_bytes, layer_costs, total_costs
from sparsemod.cost.size import ENDS
from sparsemod.device import DEVICES, Device
from sparsemod.errors import InputError
from sparsemod.graph import Activation, Graph, Operator, trace

DEVICE = Device(
    *("example", 1000, 1000, 1e6),
    cycles_per_mac={"conv": 4, "depthwise": 10, "linear": 2},
    cycles_per_element=5,
    cycles_per_operator=100,
    source="by hand",
    active_power_mw=20,
)
"""A microsecond per cycle, and 20 nJ."""


class Small(nn.Module):
    """1 x 4 x 4 -> 2 channels of 3 x 3 -> 1 of the 2 maxima -> 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2)
        self.pool = nn.MaxPool2d(3)
        self.head = nn.Linear(2, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.relu(self.conv(x))).flatten(1))


@pytest.fixture
def graph() -> Graph:
    """`Small` with three of the eight weights of its convolution at zero, and no bias of its second channel."""
    network = Small()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network.conv.weight.view(-1)[:3] = 0
        network.conv.bias[1] = 0
    return trace(network, (1, 4, 4))


def test_every_figure_of_a_layer_by_hand(graph: Graph) -> None:
    """2 x 3 x 3 outputs of 4 weights are 72 MACs; 5 of 8 weights are left.

    Flash: 8 weights (a bitmap would take 1 + 5) and 2 channels of 9 bytes. RAM: 16 in and 18, in words 20, out.
    """
    (row, *_) = layer_costs(graph, DEVICE)
    assert (row.name, row.kind, row.output_shape) == ("conv", "conv", (2, 3, 3))
    assert (row.macs, row.params, row.nnz, row.sparsity) == (72, 10, 5 + 1, 3 / 8)
    assert (row.dense_flops, row.sparse_flops) == (144, 2 * 5 * 9)
    assert (row.weight_bits, row.encoding) == (8, "bitmap")
    assert row.flash_bytes == (1 + 5) + 2 * 9
    assert (row.alive_bytes, row.arena_share) == (16 + 20, 1.0)
    assert row.latency_ms == pytest.approx((72 * 4 + 100) / 1e3)


def test_rows_follow_the_operators(graph: Graph) -> None:
    rows = layer_costs(graph, DEVICE)
    assert [row.kind for row in rows] == ["conv", "max_pool", "reshape", "linear"]
    assert [row.alive_bytes for row in rows] == [36, 24, 4, 8]
    assert [row.macs for row in rows] == [72, 0, 0, 6]
    assert [(row.weight_bits, row.encoding) for row in rows[1:]] == [(0, ""), (0, ""), (8, "dense")]
    assert rows[1].sparsity == 0
    assert rows[2].latency_ms == 0


def residual(width: int) -> nn.Module:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
            self.head = nn.Linear(width, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(x))
            return self.head((x + self.second(x)).mean((2, 3)))

    return Residual()


@pytest.mark.parametrize("scheme", ["post", "dynamic", "none"])
@pytest.mark.parametrize("kept", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("device", [DEVICE, DEVICES["arduino-uno"], replace(DEVICE, flops=1e6)], ids=lambda d: d.name)
def test_rows_add_up_to_the_costs_of_the_network(scheme: str, kept: float, device: Device) -> None:
    torch.manual_seed(0)
    network = residual(4)
    with torch.no_grad():
        for weight in (network.first.weight, network.second.weight):
            weight.mul_(torch.rand_like(weight) < kept)
    graph = trace(network, (1, 6, 6), scheme)
    rows, costs = layer_costs(graph, device), cost(graph, device)
    assert sum(row.flash_bytes for row in rows) + ENDS == costs["model_size"]
    assert sum(row.latency_ms for row in rows) == costs["latency"]
    assert sum(row.latency_share for row in rows) == pytest.approx(1)
    for name in ("macs", "params", "nnz"):
        assert sum(getattr(row, name) for row in rows) == costs[name]
    assert max(row.alive_bytes for row in rows) == plan(graph).lower_bound
    assert all(0 <= row.arena_share <= 1 for row in rows)


def test_totals_have_units_in_their_names(graph: Graph) -> None:
    total, costs = total_costs(graph, DEVICE), cost(graph, DEVICE)
    assert total == {
        "model_size_bytes": costs["model_size"],
        "working_memory_bytes": 36,
        "latency_ms": costs["latency"],
        "energy_mj": pytest.approx(costs["latency"] * 20 / 1e3),
        "macs": 78,
        "params": 16,
        "nnz": 12,
        "dense_flops": 2 * 78,
        "sparse_flops": 2 * (5 * 9 + 6),
        "nnz_bytes": 12,
        "input_and_weights_bytes": 16 + 6,
        "input_and_output_bytes": 16 + 18,
    }
    assert "energy_mj" not in total_costs(graph, replace(DEVICE, active_power_mw=None))


def test_rows_are_plain_data(graph: Graph) -> None:
    rows = [dataclasses.asdict(row) for row in layer_costs(graph, DEVICE)]
    assert json.loads(json.dumps(rows))[0]["output_shape"] == [2, 3, 3]


def test_module_without_values_counts_as_dense() -> None:
    with torch.device("meta"):
        network = Small()
    (row, *_) = layer_costs(trace(network, (1, 4, 4)), DEVICE)
    assert (row.nnz, row.sparsity, row.flash_bytes) == (10, 0, 8 + 2 * 9)


def test_zeros_of_which_only_the_share_is_known_are_refused() -> None:
    with torch.device("meta"):
        graph = replace(trace(Small(), (1, 4, 4)), sparsity=0.5)
    with pytest.raises(InputError, match="which weights will be zero is not known yet"):
        layer_costs(graph, DEVICE)


def test_network_without_operators_has_no_rows() -> None:
    assert layer_costs(Graph((), (Activation((4,), 1),)), DEVICE) == []


def test_network_that_takes_no_time_has_no_shares() -> None:
    graph = Graph((Operator("reshape", "flat", (0,), 1),), (Activation((2, 2), 1), Activation((4,), 1)))
    (row,) = layer_costs(graph, DEVICE)
    assert (row.latency_ms, row.latency_share, row.flash_bytes, row.alive_bytes) == (0, 0, 0, 4)


def test_shortcut_stays_alive_until_it_is_added() -> None:
    """x -> a -> b -> b + x, all of 8 bytes; the sum is written over b and takes no bytes of its own."""
    steps = [("conv", (0,), 1), ("conv", (1,), 2), ("add", (2, 0), 3)]
    graph = Graph([Operator(kind, kind, inputs, output) for kind, inputs, output in steps], [Activation((8,), 1)] * 4)
    assert alive_bytes(graph, (0, 1, 2)) == [16, 24, 16]


@given(st.lists(st.integers(1, 100), min_size=2, max_size=8))
def test_chain_holds_input_and_output_of_each_operator(sizes: list[int]) -> None:
    operators = [Operator("linear", str(n), (n,), n + 1) for n in range(len(sizes) - 1)]
    graph = Graph(operators, [Activation((size,), 1) for size in sizes])
    words = [-(-size // 4) * 4 for size in sizes]
    expected = [one + other for one, other in itertools.pairwise(words)]
    assert alive_bytes(graph, plan(graph).order) == expected
