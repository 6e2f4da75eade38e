"""In which order operators run so that little is alive at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems.arenas import branches, chain, check_by_running, most_alive, network, networks, orders

from sparsemod.cost import plan
from sparsemod.graph import Graph


def test_one_branch_is_finished_before_the_next_begins() -> None:
    """x (8) -> 100 -> 4 and x -> 40 -> 4, both first layers before both second ones: 8 + 100 + 40 bytes.

    Branch by branch the worst step is the second layer of the first branch: 8 + 100 + 4.
    """
    steps = [("conv", (0,), 1), ("conv", (0,), 2), ("conv", (1,), 3), ("conv", (2,), 4), ("concat", (3, 4), 5)]
    found = plan(network([8, 100, 40, 4, 4, 8], *steps))
    assert found.size == found.lower_bound == 112
    assert found.order == (0, 2, 1, 3, 4)


def test_branch_that_leaves_little_runs_first() -> None:
    """Branches 60 -> 40 and 100 -> 4 of an input of 8.

    In this order 8 + 40 + 100 bytes are alive, the other way round 8 + 100 + 4, then 8 + 4 + 60 and 4 + 60 + 40.
    """
    found = plan(branches([60, 40], [100, 4]))
    assert found.size == found.lower_bound == 112
    assert found.order == (2, 3, 0, 1, 4)


def test_projection_runs_before_the_widest_layer() -> None:
    """x (8) -> a (80) -> b (80), x -> p (4), b and p are read: beside a and b there is x, or p if that is written."""
    graph = network([8, 80, 80, 4, 4], ("conv", (0,), 1), ("conv", (1,), 2), ("conv", (0,), 3), ("concat", (2, 3), 4))
    found = plan(graph)
    assert found.size == 80 + 80 + 4
    assert found.order.index(2) < found.order.index(1)


@pytest.mark.parametrize("graph", [branches([40, 8], [40, 8]), branches([8] * 3, [8] * 3), chain(8, 100, 4, 60)])
def test_order_of_the_graph_stays_where_no_other_is_better(graph: Graph) -> None:
    assert plan(graph).order == tuple(range(len(graph.operators)))


def test_order_of_a_reshape_follows_its_source() -> None:
    """As above with reshapes between: they cost nothing, and stay between their neighbours."""
    steps = [("conv", (0,), 1), ("reshape", (1,), 2), ("conv", (2,), 3), ("reshape", (3,), 4)]
    steps += [("conv", (0,), 5), ("reshape", (5,), 6), ("conv", (6,), 7), ("concat", (4, 7), 8)]
    graph = network([8, 60, 60, 40, 40, 100, 100, 4, 8], *steps)
    found = plan(graph)
    assert found.size == 112
    check_by_running(graph, found)


@settings(max_examples=60, deadline=None)
@given(networks(longest=7))
def test_order_is_the_best_of_all(graph: Graph) -> None:
    best = min(most_alive(graph, order) for order in orders(graph))
    found = plan(graph)
    assert best <= found.lower_bound <= found.size
    # Only where an arena of that size is not found may the order of the graph be the better plan.
    assert found.lower_bound == best or found.order == tuple(range(len(graph.operators)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=3), min_size=2, max_size=3))
def test_order_of_branches_is_the_best_of_all(sizes: list[list[int]]) -> None:
    graph = branches(*sizes[:2]) if sum(map(len, sizes)) > 7 else branches(*sizes)
    assert plan(graph).lower_bound == min(most_alive(graph, order) for order in orders(graph))


@pytest.mark.parametrize("count", [2, 4, 8, 13])
def test_forty_operators_in_branches(count: int) -> None:
    """Too many orders to try them all; what is found is valid, and no worse than branch by branch."""
    sizes = [[1 + (37 * layer + 11 * branch) ** 2 % 199 for layer in range(39 // count)] for branch in range(count)]
    graph = branches(*sizes)
    found = plan(graph)
    check_by_running(graph, found)
    assert found.size <= most_alive(graph, range(len(graph.operators)))


def test_long_networks_are_planned() -> None:
    graph = chain(*range(1, 1500))
    assert plan(graph).size == plan(graph).lower_bound
    graph = branches([8, 4] * 300, [4] * 300)
    check_by_running(graph, plan(graph))
