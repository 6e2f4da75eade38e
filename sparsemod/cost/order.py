"""The order of execution that needs the least memory.

What is alive depends on which operators have run, not on their order. So an order is a path through sets of executed
operators, from none to all, and the best is the one on which the largest sum of bytes is least. It is found by branch
and bound, depth first: each order that is found bounds the next, and where there are too many the best so far is
kept. An operator that needs no more memory than is needed anyway, and leaves no more behind, runs at once: to wait with
it is never better. That leaves few choices.
"""

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from sparsemod.cost.liveness import Flow
from sparsemod.graph import Graph

_STATES = 4_000
"""How many are looked at; half of them take about 20 ms."""


def best_order(graph: Graph, flow: Flow, peak: int) -> tuple[int, ...] | None:
    """An order whose largest sum of bytes is below that of the graph's own order; None if none is found.

    The least one, if no more than `_STATES` states have to be looked at to know.

    Args:
        graph: A network.
        flow: What its operators read and write.
        peak: Largest sum of bytes in the order of the graph.
    """
    least = _most_demanding(flow)
    if _is_chain(graph) or least >= peak:
        return None
    network = _network(graph, flow)
    ready = tuple(number for number, needs in enumerate(network.needs) if not needs)
    start = _State(0, flow.sizes[0], ready)
    best, reached, pushed = None, {0: least}, 0
    waiting = [(0, least, pushed, start)]
    for _ in range(_STATES):
        if not waiting:
            break
        _, bottleneck, _, state = heapq.heappop(waiting)
        if bottleneck >= peak or bottleneck > reached[state.done]:
            continue
        state, choices = network.settled(state, bottleneck)
        if not choices:
            best, peak = state.order(), bottleneck
        for operator, highest, live in choices:
            done, needed = state.done | 1 << operator, max(bottleneck, highest)
            if needed < reached.get(done, peak):
                reached[done] = needed
                pushed += 1  # of equals, the one that is found first
                entry = (-done.bit_count(), needed, pushed, network.after(state, operator, live))
                heapq.heappush(waiting, entry)
    return best


def _is_chain(graph: Graph) -> bool:
    """Whether each operator reads what the one before it writes, so that there is one order only."""
    return all(before.output in after.inputs for before, after in pairwise(graph.operators))


def _most_demanding(flow: Flow) -> int:
    """Bytes that no order can do without: inputs, output and own memory of one operator."""
    most = 0
    for number, (reads, value, over) in enumerate(zip(flow.reads, flow.writes, flow.over, strict=True)):
        needed = flow.sizes[flow.own(number)] + (0 if over or value in reads else flow.sizes[value])
        for source in reads:
            needed += flow.sizes[source]
        most = max(most, needed)
    return most


class _State(NamedTuple):
    """What has been executed.

    Attributes:
        done: Operators, as bits.
        live: Bytes that will still be read.
        ready: Operators that can run next.
        last: The operator that ran last; none at the start.
        before: The state in which it ran.
    """

    done: int
    live: int
    ready: tuple[int, ...]
    last: int | None = None
    before: "_State | None" = None

    def order(self) -> tuple[int, ...]:
        """What has been executed, from the first operator on."""
        found: list[int] = []
        state = self
        while state.last is not None and state.before is not None:
            found.append(state.last)
            state = state.before
        return tuple(reversed(found))


class _Network(NamedTuple):
    """Operators as the search sees them, by their position in the graph; sets of operators are bits.

    Attributes:
        reads: Of each value that is read: its other readers, its bytes, and whether the output may be written over it.
        writes: Bytes of the output; none of a reshape, which shares the memory of its input.
        keeps: Bytes of the output that will be read.
        own: Bytes that it needs for itself while it runs.
        needs: Operators that must have run.
        followers: Operators that need this one.
    """

    reads: Sequence[Sequence[tuple[int, int, bool]]]
    writes: Sequence[int]
    keeps: Sequence[int]
    own: Sequence[int]
    needs: Sequence[int]
    followers: Sequence[Sequence[int]]

    def settled(self, state: _State, bottleneck: int) -> tuple[_State, list[tuple[int, int, int]]]:
        """Runs whatever needs no more than the bottleneck and leaves no more alive than there is, then says what next.

        Returns:
            The state in which there is a choice, and the choices: operator, bytes while it runs, bytes alive after it.
        """
        while True:
            choices = []
            for operator in state.ready:
                highest, live = self._bytes(state, operator)
                if highest <= bottleneck and live <= state.live:
                    state = self.after(state, operator, live)
                    break
                choices.append((operator, highest, live))
            else:
                return state, choices

    def after(self, state: _State, operator: int, live: int) -> _State:
        """The state after an operator, which leaves so many bytes alive."""
        left = ~(state.done | 1 << operator)
        ready = [other for other in state.ready if other != operator]
        ready += [other for other in self.followers[operator] if not self.needs[other] & left]
        return _State(~left, live, tuple(sorted(ready)), operator, state)

    def _bytes(self, state: _State, operator: int) -> tuple[int, int]:
        """What is needed while an operator runs, and what is alive after it."""
        freed, written = 0, self.writes[operator]
        for others, size, writable in self.reads[operator]:
            if not others & ~state.done:
                freed += size
                if writable:
                    written = 0
        return state.live + written + self.own[operator], state.live - freed + self.keeps[operator]


def _network(graph: Graph, flow: Flow) -> _Network:
    writer = {operator.output: number for number, operator in enumerate(graph.operators)}
    readers = [0] * len(flow.value)
    needs = [0] * len(writer)
    followers: list[list[int]] = [[] for _ in writer]
    for number, operator in enumerate(graph.operators):
        for value in flow.reads[number]:
            readers[value] |= 1 << number
        before = {writer[position] for position in operator.inputs if position in writer}
        if number == len(writer) - 1:
            before = set(range(number))  # the output is written last, and stays
        for other in before:
            needs[number] |= 1 << other
            followers[other].append(number)
    reads = [
        [(readers[value] & ~(1 << number), flow.sizes[value], value in over) for value in values]
        for number, (values, over) in enumerate(zip(flow.reads, flow.over, strict=True))
    ]
    writes = [
        0 if value in values else flow.sizes[value] for value, values in zip(flow.writes, flow.reads, strict=True)
    ]
    keeps = [written if readers[value] else 0 for value, written in zip(flow.writes, writes, strict=True)]
    own = [flow.sizes[flow.own(number)] for number in range(len(writer))]
    return _Network(reads, writes, keeps, own, needs, followers)
