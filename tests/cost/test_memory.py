import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.cost import plan
from sparsemod.graph import Activation, Graph, Operator


def network(sizes: list[int], *steps: tuple[str, tuple[int, ...], int], itemsize: int = 1) -> Graph:
    """Operators (kind, inputs, output) on flat activations."""
    operators = [Operator(kind, f"{kind}_{n}", inputs, output) for n, (kind, inputs, output) in enumerate(steps)]
    return Graph(operators, [Activation((size,), itemsize) for size in sizes])


def chain(*sizes: int, kind: str = "linear") -> Graph:
    return network(list(sizes), *((kind, (n,), n + 1) for n in range(len(sizes) - 1)))


def lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """First and last step at which each buffer is needed; a reshape shares the buffer of its input."""
    owner = {position: position for position in range(len(graph.activations))}
    found = {0: (0, 0)}
    for step, operator in enumerate(graph.operators):
        if operator.kind == "reshape":
            owner[operator.output] = owner[operator.inputs[0]]
        for position in (*operator.inputs, operator.output):
            first, _ = found.get(owner[position], (step, step))
            found[owner[position]] = (first, step)
    return found


def test_chain_holds_input_and_output_of_one_operator() -> None:
    found = plan(chain(4096, 1024, 12))
    assert found.size == found.lower_bound == 4096 + 1024
    assert plan(chain(100, 1000, 100)).size == 1100


def test_float_activations_take_four_bytes_per_element() -> None:
    assert plan(network([4096, 1024], ("linear", (0,), 1), itemsize=4)).size == 4 * 5120


def test_sizes_are_rounded_up_to_words() -> None:
    assert plan(chain(5, 3)).size == 8 + 4


def test_residual_keeps_its_shortcut() -> None:
    """x (100) -> a (100) -> b (100) -> b + x: x lives until the addition, so three buffers of 100 lie side by side."""
    graph = network([100, 100, 100, 100], ("conv", (0,), 1), ("conv", (1,), 2), ("add", (2, 0), 3))
    found = plan(graph)
    assert found.size == found.lower_bound == 300
    assert plan(chain(100, 100, 100, 100)).size == 200


def test_residual_with_projection_by_hand() -> None:
    """x (64) -> a (32) -> b (16), x -> p (16), b + p: while p is computed x, b and p are alive."""
    graph = network([64, 32, 16, 16, 16], ("conv", (0,), 1), ("conv", (1,), 2), ("conv", (0,), 3), ("add", (2, 3), 4))
    assert plan(graph).size == plan(graph).lower_bound == 64 + 32 + 16


def test_reshape_shares_the_buffer_of_its_input() -> None:
    found = plan(network([100, 80, 80, 8], ("conv", (0,), 1), ("reshape", (1,), 2), ("linear", (2,), 3)))
    assert found.size == 180
    assert found.offsets[1] == found.offsets[2]


def test_input_that_is_reshaped_first_is_held_once() -> None:
    assert plan(network([784, 784, 8], ("reshape", (0,), 1), ("linear", (1,), 2))).size == 792


def test_buffer_lives_until_the_last_reader_of_its_reshape() -> None:
    """x (8) -> a (8), flat a -> b (8) -> c (8), flat a + c: three buffers at the addition."""
    steps = [("conv", (0,), 1), ("reshape", (1,), 2), ("linear", (2,), 3), ("linear", (3,), 4), ("add", (2, 4), 5)]
    found = plan(network([8] * 6, *steps))
    assert found.size == 24
    assert len({found.offsets[position] for position in (1, 4, 5)}) == 3


def test_network_without_operators_holds_its_input() -> None:
    found = plan(network([10]))
    assert (found.size, found.lower_bound, found.offsets) == (12, 12, {0: 0})


def test_activation_that_no_operator_touches_takes_no_place() -> None:
    found = plan(network([8, 1000, 8], ("linear", (0,), 2)))
    assert found.size == 16
    assert set(found.offsets) == {0, 2}


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """Any order of operators with one or two inputs that were written before; sizes from one byte."""
    sizes, steps = [draw(st.integers(1, 200))], []
    for output in range(1, draw(st.integers(1, 12)) + 1):
        kind = draw(st.sampled_from(["conv", "add", "reshape"]))
        first = draw(st.integers(0, output - 1))
        second = (draw(st.integers(0, output - 1)),) if kind == "add" else ()
        sizes.append(sizes[first] if kind == "reshape" else draw(st.integers(1, 200)))
        steps.append((kind, (first, *second), output))
    return network(sizes, *steps)


@given(networks())
def test_no_two_buffers_share_memory_while_both_are_alive(graph: Graph) -> None:
    found, alive = plan(graph), lifetimes(graph)
    places = [(range(first, last + 1), found.offsets[n], found.offsets[n] + graph.activations[n].nbytes)
              for n, (first, last) in alive.items()]  # fmt: skip
    for number, (steps, start, end) in enumerate(places):
        assert start >= 0
        assert start % 4 == 0
        assert end <= found.size
        for others, other_start, other_end in places[:number]:
            together = set(steps) & set(others)
            assert not together or end <= other_start or other_end <= start


@given(networks())
def test_plan_is_never_below_what_is_alive_at_once(graph: Graph) -> None:
    found, alive = plan(graph), lifetimes(graph)
    needed = [
        sum(-(-graph.activations[n].nbytes // 4) * 4 for n, (first, last) in alive.items() if first <= step <= last)
        for step in range(len(graph.operators))
    ]
    assert found.lower_bound == max(needed)
    assert found.size >= found.lower_bound


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
