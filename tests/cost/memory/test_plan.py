"""How many bytes the activations of a network need, and where each of them lies."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems.arenas import chain, check_by_running, most_alive, network, networks

from sparsemod.cost import plan
from sparsemod.cost.liveness import own_bytes
from sparsemod.graph import Activation, Graph, Operator


def test_chain_holds_input_and_output_of_one_operator() -> None:
    found = plan(chain(4096, 1024, 12))
    assert found.size == found.lower_bound == 4096 + 1024
    assert plan(chain(100, 1000, 100)).size == 1100


@given(st.lists(st.integers(1, 500), min_size=2, max_size=10))
def test_plan_of_a_chain_with_memory_of_its_own_is_optimal(sizes: list[int]) -> None:
    graph = chain(*sizes, kind="gru")
    assert plan(graph).size == most_alive(graph, range(len(graph.operators)))
    check_by_running(graph, plan(graph))


@pytest.mark.parametrize(
    ("kind", "itemsize", "last", "numbers"),
    [("lstm", 4, 0, 1), ("lstm", 4, 1, 2), ("gru", 4, 0, 0), ("gru", 4, 1, 1), ("lstm", 1, 0, 3), ("gru", 1, 1, 2)],
)
def test_float_recurrent_layer_keeps_cells_and_states_that_it_does_not_write(
    kind: str, itemsize: int, last: int, numbers: int
) -> None:
    """A cell for each unit; the state before, where only the last is written; both states where eight bits are."""
    operator = Operator(kind, "rnn", (0,), 1, options={"units": (3,), "last": (last,)}, weight_itemsize=4)
    graph = Graph((operator,), (Activation((5, 2), 4), Activation((3,) if last else (5, 3), itemsize, 0.1)))
    assert own_bytes(graph, operator) == 4 * 3 * numbers


def test_float_activations_take_four_bytes_per_element() -> None:
    assert plan(network([4096, 1024], ("linear", (0,), 1), itemsize=4)).size == 4 * 5120


def test_sizes_are_rounded_up_to_words() -> None:
    assert plan(chain(5, 3)).size == 8 + 4


def test_residual_keeps_its_shortcut() -> None:
    """x (100) -> a (100) -> b (100) -> b + x: x lives until the addition, so b is written beside a and x."""
    graph = network([100, 100, 100, 100], ("conv", (0,), 1), ("conv", (1,), 2), ("add", (2, 0), 3))
    found = plan(graph)
    assert found.size == found.lower_bound == 300
    assert plan(chain(100, 100, 100, 100)).size == 200


def test_residual_with_projection_by_hand() -> None:
    """x (64) -> a (32) -> b (16), x -> p (16), b + p: beside x and a there is b, or p, whichever comes first."""
    graph = network([64, 32, 16, 16, 16], ("conv", (0,), 1), ("conv", (1,), 2), ("conv", (0,), 3), ("add", (2, 3), 4))
    assert plan(graph).size == plan(graph).lower_bound == 64 + 32 + 16
    assert plan(graph).order == (0, 1, 2, 3)


def test_reshape_shares_the_buffer_of_its_input() -> None:
    found = plan(network([100, 80, 80, 8], ("conv", (0,), 1), ("reshape", (1,), 2), ("linear", (2,), 3)))
    assert found.size == 180
    assert found.offsets[1] == found.offsets[2]


def test_input_that_is_reshaped_first_is_held_once() -> None:
    assert plan(network([784, 784, 8], ("reshape", (0,), 1), ("linear", (1,), 2))).size == 792


def test_buffer_lives_until_the_last_reader_of_its_reshape() -> None:
    """x (8) -> a (8), flat a -> b (8) -> c (8), flat a + c: a is there until the addition, which replaces a or c."""
    steps = [("conv", (0,), 1), ("reshape", (1,), 2), ("linear", (2,), 3), ("linear", (3,), 4), ("add", (2, 4), 5)]
    graph = network([8] * 6, *steps)
    found = plan(graph)
    assert found.size == 24
    assert found.offsets[1] == found.offsets[2] != found.offsets[4]
    check_by_running(graph, found)


def test_network_without_operators_holds_its_input() -> None:
    found = plan(network([10]))
    assert (found.size, found.lower_bound, found.offsets) == (12, 12, {0: 0})


def test_activation_that_no_operator_touches_takes_no_place() -> None:
    found = plan(network([8, 1000, 8], ("linear", (0,), 2)))
    assert found.size == 16
    assert set(found.offsets) == {0, 2}


@given(networks())
def test_no_activation_is_overwritten_before_its_last_reader(graph: Graph) -> None:
    check_by_running(graph, plan(graph))


@given(networks())
def test_plan_is_never_below_what_is_alive_at_once(graph: Graph) -> None:
    found = plan(graph)
    assert found.lower_bound == most_alive(graph, found.order)
    assert found.lower_bound <= found.size
    assert found.lower_bound <= most_alive(graph, range(len(graph.operators)))


@given(st.lists(st.integers(1, 500), min_size=2, max_size=10))
def test_plan_of_a_chain_is_optimal(sizes: list[int]) -> None:
    words = [-(-size // 4) * 4 for size in sizes]
    found = plan(chain(*sizes))
    assert found.lower_bound == max(one + other for one, other in itertools.pairwise(words))
    assert found.size == found.lower_bound


def test_buffers_of_a_chain_alternate_between_both_ends() -> None:
    """Largest first would put both buffers of 8 at the bottom and need 16 bytes."""
    found = plan(chain(8, 4, 4, 8))
    assert found.size == 12
    assert found.offsets == {0: 0, 1: 8, 2: 0, 3: 4}


@pytest.mark.parametrize("width", [1, 10, 100])
def test_wider_network_needs_more(width: int) -> None:
    assert plan(chain(width * 8, width * 16, 8)).size == width * 24
