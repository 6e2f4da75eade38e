"""Bytes of RAM that the activations of one inference take, as a memory plan that a device can follow.

A buffer lives from the operator that writes it to the last one that reads it; weights stay in flash and do not count
[Liberis2021]. Buffers get fixed offsets: alternately from both ends of an arena of the least possible size, which every
chain of operators fits into; otherwise largest first, each at the lowest place that is free throughout its life.

[Liberis2021] uNAS: constrained neural architecture search for microcontrollers, EuroMLSys 2021, arXiv 2010.14246.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsemod.graph import Graph

_ALIGNMENT = 4


@dataclass(frozen=True)
class Plan:
    """Where every activation lies in one static arena.

    Attributes:
        size: Bytes of the arena.
        lower_bound: Largest sum of bytes alive at one operator; no plan for this order is smaller.
        offsets: Start of each activation, by position in `Graph.activations`; a reshaped activation shares its
            buffer.
    """

    size: int
    lower_bound: int
    offsets: Mapping[int, int]


def plan(graph: Graph) -> Plan:
    """Working memory of one inference in graph order, the input included.

    Example:
        >>> from sparsemod.graph import Activation, Operator
        >>> sizes = [Activation((4096,), 1), Activation((1024,), 1), Activation((10,), 1)]
        >>> plan(Graph((Operator("linear", "a", (0,), 1), Operator("linear", "b", (1,), 2)), sizes)).size
        5120
    """
    owner = _owners(graph)
    buffers = _buffers(graph, owner)
    steps = range(max(len(graph.operators), 1))
    bound = max(sum(buffer.size for buffer in buffers if buffer.born <= step <= buffer.dies) for step in steps)
    places = _from_both_ends(buffers, bound) or _largest_first(buffers)
    offsets = {buffer.position: offset for buffer, offset in places.items()}
    return Plan(
        max(offset + buffer.size for buffer, offset in places.items()),
        bound,
        {position: offsets[owner[position]] for position in range(len(owner)) if owner[position] in offsets},
    )


@dataclass(frozen=True)
class _Buffer:
    """Memory that must be kept from one step to another, both included."""

    position: int
    size: int
    born: int
    dies: int


def _owners(graph: Graph) -> list[int]:
    """The activation whose memory each activation uses: itself, or the source of a reshape."""
    owner = list(range(len(graph.activations)))
    for operator in graph.operators:
        if operator.kind == "reshape":
            owner[operator.output] = owner[operator.inputs[0]]
    return owner


def _buffers(graph: Graph, owner: Sequence[int]) -> list[_Buffer]:
    """In the order in which they are written."""
    born, dies = {owner[0]: 0}, {owner[0]: 0}
    for step, operator in enumerate(graph.operators):
        born.setdefault(owner[operator.output], step)
        for position in (*operator.inputs, operator.output):
            dies[owner[position]] = step
    return [
        _Buffer(position, _aligned(graph.activations[position].nbytes), born[position], dies[position])
        for position in born
    ]


def _from_both_ends(buffers: Sequence[_Buffer], end: int) -> dict[_Buffer, int] | None:
    """A place for each, lowest and highest in turn, so that an operator's input and output lie at opposite ends."""
    places: dict[_Buffer, int] = {}
    for number, buffer in enumerate(buffers):
        gaps = _gaps(buffer, places, end)
        if not gaps:
            return None
        places[buffer] = gaps[-1][1] - buffer.size if number % 2 else gaps[0][0]
    return places


def _largest_first(buffers: Sequence[_Buffer]) -> dict[_Buffer, int]:
    places: dict[_Buffer, int] = {}
    end = sum(buffer.size for buffer in buffers)
    for buffer in sorted(buffers, key=lambda buffer: -buffer.size):
        places[buffer] = _gaps(buffer, places, end)[0][0]
    return places


def _gaps(buffer: _Buffer, places: Mapping[_Buffer, int], end: int) -> list[tuple[int, int]]:
    """Start and end of all places before `end` that are large enough and free throughout the buffer's life."""
    taken = sorted(
        (offset, offset + other.size)
        for other, offset in places.items()
        if other.born <= buffer.dies and buffer.born <= other.dies
    )
    gaps, free = [], 0
    for start, stop in (*taken, (end, end)):
        if start - free >= buffer.size:
            gaps.append((free, start))
        free = max(free, stop)
    return gaps


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
