from dataclasses import replace

import pytest
import torch
from torch import nn

from sparsemod.compress.quantize import lower
from sparsemod.errors import SparsemodError
from sparsemod.export.whole import compare, inputs_of
from sparsemod.graph import Graph, run


@pytest.fixture
def graph() -> Graph:
    torch.manual_seed(0)
    return lower(nn.Sequential(nn.Linear(4, 3)).eval(), [torch.randn(8, 4)])


def test_network_agrees_with_itself(graph: Graph) -> None:
    whole = compare(graph, lambda x: run(graph, x))
    assert (whole.largest, whole.same, whole.agreement, whole.vectors, whole.integer) == (0, 1, 1, 64, True)
    assert str(whole) == "largest difference 0 steps, 100.00% of the outputs the same, same class 100.00%"


def test_difference_counts_steps_of_the_output(graph: Graph) -> None:
    step = graph.activations[graph.output].scale
    whole = compare(graph, lambda x: run(graph, x) + 2 * step)
    assert (whole.largest, whole.same, whole.agreement) == (2, 0, 1)


@pytest.mark.parametrize("wrong", [lambda y: -y, lambda y: y * float("nan")])
def test_another_class_is_refused(graph: Graph, wrong) -> None:
    with pytest.raises(SparsemodError, match=r"computes something else for 64 inputs: .* nothing was written"):
        compare(graph, lambda x: wrong(run(graph, x)))


def test_one_of_several_largest_outputs_agrees(graph: Graph) -> None:
    """All outputs of a layer without weights are zero: any of them is a largest one."""
    dead = replace(graph.operators[0], weight=graph.operators[0].weight * 0, bias=graph.operators[0].bias * 0)
    graph = replace(graph, operators=(dead,))
    nudged = torch.tensor([[0.0, 0.0, 0.1 * graph.activations[graph.output].scale]])
    whole = compare(graph, lambda x: run(graph, x) + nudged)
    assert (whole.largest, whole.agreement) == (0, 1)


def test_inputs_reach_both_ends_of_int8(graph: Graph) -> None:
    source = graph.activations[0]
    steps = inputs_of(graph) / source.scale + source.zero_point
    assert [steps[row].round().unique().tolist() for row in range(3)] == [[source.zero_point], [-128], [127]]


@pytest.fixture
def number() -> Graph:
    torch.manual_seed(0)
    return lower(nn.Sequential(nn.Linear(4, 1)).eval(), [torch.randn(8, 4)])


def test_single_number_agrees_within_a_step_and_no_further(number: Graph) -> None:
    """It is always the largest output, which would say nothing."""
    step = number.activations[number.output].scale
    assert compare(number, lambda x: run(number, x) + step).agreement == 1
    with pytest.raises(SparsemodError, match="computes something else"):
        compare(number, lambda x: run(number, x) + 2 * step)


def test_outputs_that_are_all_within_a_step_agree_whichever_is_the_largest(graph: Graph) -> None:
    step = graph.activations[graph.output].scale
    nudged = step * torch.tensor([1.0, -1.0, 1.0])
    assert compare(graph, lambda x: run(graph, x) + nudged).agreement == 1
