"""What a front end adds to the costs of a network."""

from dataclasses import replace

import pytest

from sparsemod.cost import cost, latency_ms, model_size_bytes, plan
from sparsemod.cost.layers import layer_costs, total_costs
from sparsemod.device import DEVICES
from sparsemod.frontend import FilterBank
from sparsemod.graph import Activation, Graph, Operator

FRONT = FilterBank(samples=1_600, rate=8_000, window_ms=16, stride_ms=16, filters=10)
BOARD = DEVICES["microbit-v2"]


def behind(front: FilterBank | None, hidden: int) -> Graph:
    """Two layers on 12 frames of 10 features."""
    shapes = [(1, 12, 10), (hidden,), (3,)]
    operators = [Operator("linear", f"l{n}", (n,), n + 1, macs=shapes[n][-1] * shapes[n + 1][0]) for n in range(2)]
    return Graph(operators, [Activation(shape, 1) for shape in shapes], frontend=front)


def test_memory_is_the_larger_one_of_front_end_and_network() -> None:
    assert FRONT.output_shape == (1, 12, 10)
    assert FRONT.ram_bytes == 4 * 128 + 2 * 128 + 4  # transform, window, counters
    small, large = behind(FRONT, 40), behind(FRONT, 2_000)
    assert plan(replace(small, frontend=None)).size == 120 + 40
    assert plan(small).size == 120 + 772
    assert plan(large).size == plan(replace(large, frontend=None)).size == 120 + 2_000


@pytest.mark.parametrize("hidden", [4, 640, 650, 2_000])
def test_front_end_does_not_lie_in_the_input(hidden: int) -> None:
    planned = plan(behind(FRONT, hidden))
    begin, end = planned.frontend, planned.frontend + FRONT.ram_bytes
    assert end <= planned.offsets[0] or begin >= planned.offsets[0] + 120
    assert begin % 4 == 0
    assert end <= planned.size
    assert planned.size % 4 == 0


def test_flash_and_time_are_added() -> None:
    graph = behind(FRONT, 40)
    alone = replace(graph, frontend=None)
    assert model_size_bytes(graph) - model_size_bytes(alone) == FRONT.flash_bytes
    seconds = FRONT.macs * 3.9 / 64e6
    assert latency_ms(graph, BOARD) - latency_ms(alone, BOARD) == pytest.approx(1e3 * seconds)
    fast = replace(BOARD, flops=1e6)
    assert latency_ms(graph, fast) - latency_ms(alone, fast) == pytest.approx(FRONT.macs / 1e3)
    assert cost(graph, BOARD)["macs"] == graph.macs  # of the network


def test_front_end_has_the_first_row_of_the_layers() -> None:
    first, *others = layer_costs(behind(FRONT, 40), BOARD)
    assert (first.name, first.kind, first.output_shape) == ("FilterBank", "frontend", (1, 12, 10))
    assert (first.flash_bytes, first.alive_bytes) == (FRONT.flash_bytes, 120 + 772)
    assert first.latency_share + sum(row.latency_share for row in others) == pytest.approx(1)
    assert total_costs(behind(FRONT, 40), BOARD)["dense_flops"] == 2 * (FRONT.macs + sum(row.macs for row in others))
