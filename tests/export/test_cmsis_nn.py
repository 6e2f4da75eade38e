"""A network in the operators of CMSIS-NN computes what it computed before, bit for bit."""

from dataclasses import replace

import pytest
import torch
from problems.exported import every_operator, int8, member
from problems.random_networks import Joined, Random
from torch import nn

from sparsemod.export.cmsis_nn import rewritten
from sparsemod.export.whole import inputs_of
from sparsemod.graph import Graph, run


def kinds(graph: Graph) -> list[str]:
    return [operator.kind for operator in graph.operators]


def assert_same(graph: Graph) -> Graph:
    """That the network is the same in other operators, which are returned."""
    x, made = inputs_of(graph)[:16], rewritten(graph)
    assert torch.equal(run(made, x), run(graph, x))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_members_of_the_space_stay_what_they_are(seed: int) -> None:
    made = assert_same(member(seed))
    for operator in made.operators:
        pads = operator.options.get("padding", ())
        assert operator.kind in ("pad", "max_pool") or pads[0::2] == pads[1::2]


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_stay_what_they_are(seed: int) -> None:
    module = Random(seed, sequence=False)
    assert_same(int8(module, *module.shape))


def test_operators_with_bounds_stay_what_they_are() -> None:
    assert_same(every_operator(0.5))


def test_linear_layers_become_convolutions_of_one_pixel() -> None:
    made = assert_same(int8(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), 4))
    assert kinds(made) == ["reshape", "conv", "conv", "reshape"]
    assert [tuple(operator.weight.shape) for operator in made.operators[1:3]] == [(8, 4, 1, 1), (3, 8, 1, 1)]


def test_signals_get_a_height() -> None:
    made = assert_same(int8(nn.Sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.Flatten()), 2, 8))
    first, layer = made.operators[:2]
    assert made.activations[first.output].shape == (2, 1, 8)
    assert layer.options == {"stride": (1, 2), "padding": (0, 0, 1, 1), "dilation": (1, 1), "groups": (1,)}


def test_uneven_pads_are_an_operator() -> None:
    made = assert_same(int8(nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(1, 2, 2)), 1, 4, 5))
    assert kinds(made)[-2:] == ["pad", "conv"]
    assert made.activations[made.operators[-2].output].shape == (1, 6, 6)


def test_average_keeps_its_steps_or_is_a_convolution_with_ones() -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2)), 1, 4, 4)
    before, after = graph.activations[1:]
    assert before.scale > after.scale
    made = assert_same(graph)
    assert kinds(made) == ["conv", "depthwise"]
    assert made.operators[1].weight.tolist() == [[[[1, 1], [1, 1]]]] * 2
    alike = replace(after, scale=before.scale, zero_point=before.zero_point)
    assert kinds(rewritten(Graph(graph.operators, (*graph.activations[:2], alike)))) == ["conv", "avg_pool"]


def test_parts_of_a_concatenation_have_its_steps_before() -> None:
    made = assert_same(int8(Joined("cat", nn.Conv2d(1, 2, 1), nn.Tanh(), nn.Identity()), 1, 4, 4))
    join = made.operators[-1]
    ends = [made.activations[position] for position in (*join.inputs, join.output)]
    assert join.kind == "concat" and len({(end.scale, end.zero_point) for end in ends}) == 1


def test_bounds_of_a_product_are_an_operator() -> None:
    graph = int8(Joined("mul", nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1), nn.Hardtanh(-0.1, 0.1)), 1, 4, 4)
    clamped = replace(graph.operators[-1], low=-100.0, high=100.0)
    made = assert_same(Graph((*graph.operators[:-1], clamped), graph.activations))
    assert [(operator.kind, operator.low, operator.high) for operator in made.operators[-2:]] == [
        ("mul", -128, 127),
        ("relu", -100, 100),
    ]
