"""Which operators write over what they read."""

from dataclasses import replace

import pytest
from problems.arenas import chain, check_by_running, network

from sparsemod.cost import plan
from sparsemod.graph import Activation


@pytest.mark.parametrize("kind", ["relu", "function"])
def test_element_wise_operator_writes_over_its_input(kind: str) -> None:
    found = plan(chain(100, 100, 100, kind=kind))
    assert found.size == 100
    assert set(found.offsets.values()) == {0}


@pytest.mark.parametrize("kind", ["add", "mul"])
@pytest.mark.parametrize("inputs", [(0, 1), (1, 0)])
def test_either_input_can_be_written_over(kind: str, inputs: tuple[int, int]) -> None:
    """x (100) -> a (100), a + x -> b, and x is read again: only a is free to be replaced."""
    steps = [("conv", (0,), 1), (kind, inputs, 2), ("concat", (0, 2), 3)]
    found = plan(network([100, 100, 100, 4], *steps))
    assert found.size == 204
    assert found.offsets[2] == found.offsets[1]


def test_input_that_is_added_to_itself_is_written_over() -> None:
    assert plan(network([100, 100], ("add", (0, 0), 1))).size == 100


def test_broadcast_input_is_not_written_over() -> None:
    """x (100) -> s (4), x * s: the product replaces x, never s."""
    steps = [("avg_pool", (0,), 1), ("mul", (0, 1), 2)]
    found = plan(network([100, 4, 100], *steps))
    assert found.size == 104
    assert found.offsets[2] == found.offsets[0]
    kept = network([100, 4, 100, 4], *steps, ("concat", (0, 2), 3))
    assert plan(kept).size == 100 + 4 + 100
    check_by_running(kept, plan(kept))


def test_wider_output_is_not_written_over_its_input() -> None:
    graph = chain(100, 100, kind="relu")
    wide = replace(graph, activations=[Activation((100,), 1), Activation((100,), 4)])
    assert plan(wide).size == 500
    as_many_bytes = replace(graph, activations=[Activation((25,), 4), Activation((100,), 1)])
    assert plan(as_many_bytes).size == 200


@pytest.mark.parametrize("kind", ["conv", "linear", "max_pool", "avg_pool"])
def test_other_operators_never_write_over_their_input(kind: str) -> None:
    assert plan(chain(100, 100, kind=kind)).size == 200


def test_activation_that_is_read_through_a_reshape_is_not_written_over() -> None:
    """x (8) -> a (40), flat a is read after relu(a): two buffers of 40."""
    steps = [("conv", (0,), 1), ("reshape", (1,), 2), ("relu", (1,), 3), ("concat", (2, 3), 4)]
    graph = network([8, 40, 40, 40, 8], *steps)
    assert plan(graph).size == 40 + 40 + 8
    check_by_running(graph, plan(graph))


def test_reshaped_activation_is_written_over_after_its_last_reader() -> None:
    steps = [("conv", (0,), 1), ("reshape", (1,), 2), ("relu", (2,), 3), ("reshape", (3,), 4), ("function", (4,), 5)]
    found = plan(network([8, 40, 40, 40, 40, 40], *steps))
    assert found.size == 48
    assert len({found.offsets[position] for position in range(1, 6)}) == 1


def test_residual_is_added_in_place() -> None:
    """x (20) -> a (60) -> b (20) -> b + x -> c (60): the sum replaces b or x, so c is computed with 80 bytes."""
    steps = [("conv", (0,), 1), ("conv", (1,), 2), ("add", (2, 0), 3), ("conv", (3,), 4)]
    found = plan(network([20, 60, 20, 20, 60], *steps))
    assert found.size == 20 + 60 + 20
    assert found.offsets[3] in (found.offsets[0], found.offsets[2])
