"""Bytes of RAM that the activations of one inference take, as a memory plan that a device can follow.

A buffer lives from the operator that writes it to the last one that reads it; weights stay in flash and do not count
[Liberis2021]. Buffers get fixed offsets, largest first, each at the lowest place that is free throughout its life.

[Liberis2021] uNAS: constrained neural architecture search for microcontrollers, EuroMLSys 2021, arXiv 2010.14246.
"""

from collections.abc import Mapping
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
    buffer = _buffers(graph)
    born, dies = {buffer[0]: 0}, {buffer[0]: 0}
    for step, operator in enumerate(graph.operators):
        born.setdefault(buffer[operator.output], step)
        for position in (*operator.inputs, operator.output):
            dies[buffer[position]] = step
    dies[buffer[graph.output]] = len(graph.operators)
    sizes = {root: _aligned(graph.activations[root].nbytes) for root in born}
    alive = [
        sum(size for root, size in sizes.items() if born[root] <= step <= dies[root])
        for step in range(max(len(graph.operators), 1))
    ]
    offsets: dict[int, int] = {}
    for root in sorted(sizes, key=lambda root: (-sizes[root], born[root])):
        taken = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if born[other] <= dies[root] and born[root] <= dies[other]
        )
        offsets[root] = _first_gap(taken, sizes[root])
    arena = max(offsets[root] + sizes[root] for root in offsets)
    return Plan(arena, max(alive), {position: offsets[buffer[position]] for position in range(len(graph.activations))
                                    if buffer[position] in offsets})  # fmt: skip


def _buffers(graph: Graph) -> dict[int, int]:
    """The activation whose memory each activation uses: itself, or the source of a reshape."""
    buffer = {position: position for position in range(len(graph.activations))}
    for operator in graph.operators:
        if operator.kind == "reshape":
            buffer[operator.output] = buffer[operator.inputs[0]]
    return buffer


def _first_gap(taken: list[tuple[int, int]], size: int) -> int:
    offset = 0
    for start, end in taken:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
