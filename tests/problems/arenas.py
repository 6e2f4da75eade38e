"""Networks of flat activations, and what a plan of their memory must keep to, found by trying and by running."""

import itertools
from collections.abc import Iterator, Sequence

from hypothesis import strategies as st

from sparsemod.cost.memory import Plan
from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.recurrence import STATE_SCALE

OVERWRITING = ("add", "relu", "function", "mul")


def network(sizes: list[int], *steps: tuple[str, tuple[int, ...], int], itemsize: int = 1) -> Graph:
    """Operators (kind, inputs, output) on flat activations; a GRU also needs two bytes for each of its outputs."""
    operators = [
        Operator(kind, f"{kind}_{n}", inputs, output, options={"units": (sizes[output],), "last": (0,)})
        for n, (kind, inputs, output) in enumerate(steps)
    ]
    return Graph(operators, [Activation((size,), itemsize, STATE_SCALE) for size in sizes])


def chain(*sizes: int, kind: str = "linear") -> Graph:
    return network(list(sizes), *((kind, (n,), n + 1) for n in range(len(sizes) - 1)))


def branches(*sizes: list[int], source: int = 8, result: int = 8) -> Graph:
    """The input, chains of activations of these sizes that all begin at it, and an operator that reads their ends."""
    flat, steps, ends = [source], [], []
    for branch in sizes:
        position = 0
        for size in branch:
            steps.append(("conv", (position,), len(flat)))
            position = len(flat)
            flat.append(size)
        ends.append(position)
    return network([*flat, result], *steps, ("concat", tuple(ends), len(flat)))


def words(graph: Graph, position: int) -> int:
    return -(-graph.activations[position].nbytes // 4) * 4


def own_words(operator: Operator) -> int:
    return -(-2 * operator.options["units"][0] // 4) * 4 if operator.kind == "gru" else 0


def owners(graph: Graph) -> list[int]:
    """By activation the one whose memory it has, when nothing is written over an input."""
    owner = list(range(len(graph.activations)))
    for operator in graph.operators:
        if operator.kind == "reshape":
            owner[operator.output] = owner[operator.inputs[0]]
    return owner


def most_alive(graph: Graph, order: Sequence[int]) -> int:
    """Bytes alive at the worst step: what was written and will be read, and the output unless it replaces an input."""
    owner, most, alive = owners(graph), 0, {0}
    for step, number in enumerate(order):
        operator, later = graph.operators[number], [graph.operators[other] for other in order[step + 1 :]]
        still_read = {owner[position] for other in later for position in other.inputs}
        written = owner[operator.output]
        dying = [position for position in operator.inputs if owner[position] not in still_read]
        sizes = [graph.activations[position].nbytes for position in dying]
        takes_over = operator.kind in OVERWRITING and graph.activations[operator.output].nbytes in sizes
        extra = own_words(operator) + (0 if written in alive or takes_over else words(graph, written))
        most = max(most, sum(words(graph, position) for position in alive) + extra)
        alive = (alive | {written}) & still_read
    return most


def orders(graph: Graph) -> Iterator[tuple[int, ...]]:
    """All orders in which every input is written before it is read and the last operator stays last."""
    *rest, last = range(len(graph.operators))
    for order in itertools.permutations(rest):
        written = {0}
        for number in order:
            if not written.issuperset(graph.operators[number].inputs):
                break
            written.add(graph.operators[number].output)
        else:
            yield (*order, last)


def check_by_running(graph: Graph, found: Plan) -> None:
    """Runs the plan in an arena whose bytes say which activation they hold: nothing is overwritten before its time."""
    arena: list[int | None] = [None] * found.size
    same = owners(graph)  # a reshape hands on the same bytes

    def bytes_of(position: int) -> range:
        return range(found.offsets[position], found.offsets[position] + graph.activations[position].nbytes)

    def write(position: int) -> None:
        assert bytes_of(position).start % 4 == 0
        assert 0 <= bytes_of(position).start <= bytes_of(position).stop <= found.size
        for byte in bytes_of(position):
            arena[byte] = same[position]

    def check(position: int) -> None:
        assert all(arena[byte] == same[position] for byte in bytes_of(position)), position

    assert sorted(found.order) == list(range(len(graph.operators)))
    write(0)
    for number in found.order:
        operator = graph.operators[number]
        for position in operator.inputs:
            check(position)
            apart = set(bytes_of(position)).isdisjoint(bytes_of(operator.output))
            replaced = bytes_of(position) == bytes_of(operator.output)
            assert apart or (replaced and operator.kind in (*OVERWRITING, "reshape"))
        if operator.kind == "gru":
            start = found.scratch[number]
            own = range(start, start + own_words(operator))
            assert own.stop <= found.size and set(own).isdisjoint(bytes_of(operator.output))
            for byte in own:
                arena[byte] = None
            for position in operator.inputs:
                check(position)
        if operator.kind != "reshape":
            write(operator.output)
    check(graph.output)


@st.composite
def networks(draw: st.DrawFn, longest: int = 12) -> Graph:
    """Any order of operators with one or two inputs that were written before; sizes from one byte."""
    sizes, steps = [draw(st.integers(1, 200))], []
    for output in range(1, draw(st.integers(1, longest)) + 1):
        kind = draw(st.sampled_from(["conv", "gru", "concat", "add", "mul", "relu", "reshape"]))
        first = draw(st.integers(0, output - 1))
        second = (draw(st.integers(0, output - 1)),) if kind in ("concat", "add", "mul") else ()
        same = kind in ("relu", "reshape") or draw(st.booleans())
        sizes.append(sizes[first] if same else draw(st.integers(1, 200)))
        steps.append((kind, (first, *second), output))
    return network(sizes, *steps)
