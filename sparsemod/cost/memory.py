"""Bytes of RAM that the activations of one inference take, as a memory plan that a device can follow.

A plan says in which order the operators run and where each activation lies in one arena. Weights stay in flash and do
not count. `liveness` says what is needed when, `order` finds the order, `offsets` the places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from sparsemod.cost.liveness import Buffer, Flow, buffers, flow, kept_bytes, peak
from sparsemod.cost.offsets import arena, offsets
from sparsemod.cost.order import best_order
from sparsemod.graph import Graph


@dataclass(frozen=True)
class Plan:
    """Where every activation lies in one static arena, and when it is computed.

    Attributes:
        size: Bytes of the arena.
        lower_bound: Largest sum of bytes alive at one operator; no plan for this order is smaller.
        offsets: Start of each activation, by position in `Graph.activations`; a reshaped activation has that of its
            source, and so has one that is written over an input.
        order: Positions in `Graph.operators`, in order of execution.
        scratch: Start of what an operator needs for itself, by position in `Graph.operators`, where it needs anything.
            What a network of one step keeps between inferences are the last bytes of the arena.
        frontend: Start of what the front end needs, if there is one: beside the input, where the network works later.
    """

    size: int
    lower_bound: int
    offsets: Mapping[int, int]
    order: tuple[int, ...]
    scratch: Mapping[int, int] = field(default_factory=dict)
    frontend: int = 0


def plan(graph: Graph) -> Plan:
    """Working memory of one inference, the input included, and a front end if there is one.

    A front end runs before the network, in the same memory: all but the input, which it fills. It reads raw samples a
    few at a time and keeps no more than a window of them; where they come from does not count. What a network of one
    step keeps lies apart from all else.

    The better of two plans: that of the graph's own order, which is kept wherever no other needs less, and that of the
    best order that is found.

    Example:
        >>> from sparsemod.graph import Activation, Operator
        >>> sizes = [Activation((4096,), 1), Activation((1024,), 1), Activation((10,), 1)]
        >>> plan(Graph((Operator("linear", "a", (0,), 1), Operator("linear", "b", (1,), 2)), sizes)).size
        5120
    """
    return _with_kept(graph, _with_frontend(graph, _of_network(graph)))


def _of_network(graph: Graph) -> Plan:
    values, order = flow(graph), tuple(range(len(graph.operators)))
    needed = buffers(values, order)
    bound = peak(needed, len(order))
    better = best_order(graph, values, bound)
    if better is None:
        return _placed(values, needed, bound, order)
    fewer = buffers(values, better)
    found = _placed(values, fewer, peak(fewer, len(better)), better)
    if found.size <= bound:
        return found
    return min(_placed(values, needed, bound, order), found, key=lambda plan: plan.size)


def _with_frontend(graph: Graph, plan: Plan) -> Plan:
    """The plan with room for a front end before or behind the input."""
    if graph.frontend is None:
        return plan
    needed, features = graph.frontend.ram_bytes, graph.activations[0].nbytes
    start = 0 if plan.offsets[0] >= needed else -(-(plan.offsets[0] + features) // 4) * 4
    size = -(-max(plan.size, start + needed) // 4) * 4
    return replace(plan, size=size, lower_bound=max(plan.lower_bound, needed + features), frontend=start)


def _with_kept(graph: Graph, plan: Plan) -> Plan:
    """The plan with room, behind all else, for what a network of one step keeps."""
    kept = kept_bytes(graph)
    if not kept:
        return plan
    starts, size = dict(zip(kept, accumulate(kept.values(), initial=plan.size), strict=False)), sum(kept.values())
    return replace(plan, size=plan.size + size, lower_bound=plan.lower_bound + size, scratch=starts)


def _placed(values: Flow, needed: Sequence[Buffer], bound: int, order: tuple[int, ...]) -> Plan:
    starts = offsets(needed, bound)
    at = {value: start for buffer, start in zip(needed, starts, strict=True) for value in buffer.values}
    places = {position: at[value] for position, value in enumerate(values.value) if value in at}
    own = {operator: at[values.own(operator)] for operator in order if values.own(operator) in at}
    return Plan(arena(needed, starts), bound, places, order, own)
