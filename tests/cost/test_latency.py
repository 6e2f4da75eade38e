from dataclasses import replace

import pytest
import torch

from sparsemod.cost import latency_ms
from sparsemod.device import DEVICES, Device
from sparsemod.graph import Activation, Graph, Operator

DEVICE = Device(
    *("example", 1000, 1000, 1e6),
    cycles_per_mac={"conv": 4, "depthwise": 10, "linear": 2},
    cycles_per_element=5,
    cycles_per_operator=100,
    source="by hand",
)
"""A microsecond per cycle."""


def graph(kind: str, macs: int = 0, inputs: tuple[int, ...] = (0,), sparse: bool = False) -> Graph:
    """One operator that writes 2 x 3 x 4 elements."""
    weight = (torch.zeros(2, 1) if sparse else torch.ones(2, 1)) if macs else None
    operator = Operator(kind, kind, inputs, 1, macs=macs, weight=weight)
    return Graph((operator,), (Activation((2, 3, 4), 1), Activation((2, 3, 4), 1)))


@pytest.mark.parametrize(("kind", "cycles"), [("conv", 4000), ("depthwise", 10_000), ("linear", 2000)])
def test_layer_takes_cycles_per_mac_and_a_fixed_part(kind: str, cycles: int) -> None:
    assert latency_ms(graph(kind, macs=1000), DEVICE) == pytest.approx((cycles + 100) / 1000)


@pytest.mark.parametrize("kind", ["max_pool", "avg_pool", "relu"])
def test_operator_without_weights_takes_cycles_per_element(kind: str) -> None:
    assert latency_ms(graph(kind), DEVICE) == pytest.approx((24 * 5 + 100) / 1000)


def test_addition_reads_two_elements_for_each_it_writes() -> None:
    assert latency_ms(graph("add", inputs=(0, 0)), DEVICE) == pytest.approx((2 * 24 * 5 + 100) / 1000)


def test_reshape_takes_no_time() -> None:
    assert latency_ms(graph("reshape"), DEVICE) == 0


def test_operators_add_up() -> None:
    parts = [graph("conv", macs=1000), graph("linear", macs=500), graph("max_pool"), graph("reshape")]
    together = Graph([part.operators[0] for part in parts], parts[0].activations)
    assert latency_ms(together, DEVICE) == pytest.approx((4000 + 1000 + 120 + 3 * 100) / 1000)


def test_network_without_operators_takes_no_time() -> None:
    assert latency_ms(Graph((), (Activation((4,), 1),)), DEVICE) == 0


def test_twice_the_clock_takes_half_the_time() -> None:
    fast = replace(DEVICE, clock_hz=2 * DEVICE.clock_hz)
    assert latency_ms(graph("conv", macs=1000), fast) == latency_ms(graph("conv", macs=1000), DEVICE) / 2


def test_zero_weights_are_multiplied_too() -> None:
    assert latency_ms(graph("conv", 1000, sparse=True), DEVICE) == latency_ms(graph("conv", 1000), DEVICE)


def test_flops_replace_the_table_of_cycles() -> None:
    flops = replace(DEVICE, flops=1e6)
    assert latency_ms(graph("conv", macs=1000), flops) == 1.0
    assert latency_ms(graph("linear", macs=1000), flops) == 1.0
    assert latency_ms(graph("max_pool"), flops) == 0.0


@pytest.mark.parametrize("name", DEVICES)
def test_more_macs_take_more_time_on_every_preset(name: str) -> None:
    one, two = (latency_ms(graph("conv", macs), DEVICES[name]) for macs in (1000, 2000))
    assert 0 < one < two < 2 * one
