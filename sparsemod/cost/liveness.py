"""Which activations share memory, and from when to when each piece of memory is needed.

Memory is needed from the operator that writes it to the last one that reads it [Liberis2021]. A reshape hands on the
memory of its input. An element-wise operator writes over an input that nothing reads after it. A recurrent operator
needs memory of its own while it runs, for what it keeps from one step to the next. In a network of one step it needs
that memory between inferences, too: nothing else may lie there, and it is no part of the flow.

[Liberis2021] uNAS: constrained neural architecture search for microcontrollers, EuroMLSys 2021, arXiv 2010.14246.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sparsemod.graph import Graph, Operator
from sparsemod.graph.recurrence import GATES

IN_PLACE = ("add", "relu", "function", "mul")
"""Kinds that read element i of their inputs before they write element i of their output, and never again after."""

_ALIGNMENT = 4


@dataclass(frozen=True, eq=False)
class Flow:
    """What the operators of a graph read and write, as values: activations, a reshaped one being the same value.

    A value goes by the position in `Graph.activations` of the first activation that holds it. What an operator needs
    for itself is a value that it alone reads and writes; such values follow, one for each operator.

    Attributes:
        value: By activation.
        sizes: Bytes by activation, then by operator, in whole words.
        reads: Values by operator, each once.
        writes: Value by operator; of a reshape the one that it reads.
        over: Values by operator that it may write over if nothing reads them later.
    """

    value: Sequence[int]
    sizes: Sequence[int]
    reads: Sequence[Sequence[int]]
    writes: Sequence[int]
    over: Sequence[Sequence[int]]

    def own(self, operator: int) -> int:
        """The value that an operator needs for itself; of no bytes for most of them."""
        return len(self.value) + operator


def own_bytes(graph: Graph, operator: Operator) -> int:
    """What a recurrent operator keeps, in whole words.

    The cell or exact state of each unit; and the state before, if that is not to be found in what it writes. In float
    a state is exact itself, and where it is written in eight bits both the new one and that before are kept.
    """
    if operator.kind not in GATES:
        return 0
    alone = bool(operator.options["last"][0] or graph.steps)
    if graph.integer(operator):
        return _words(operator.options["units"][0] * (2 + alone))
    rounded = graph.activations[operator.output].itemsize == 1
    return operator.options["units"][0] * 4 * ((operator.kind == "lstm") + (alone or rounded) + rounded)


def kept_bytes(graph: Graph) -> dict[int, int]:
    """What a network of one step keeps between inferences, by position of the operator; nothing of other networks."""
    if not graph.steps:
        return {}
    each = {number: own_bytes(graph, operator) for number, operator in enumerate(graph.operators)}
    return {number: size for number, size in each.items() if size}


def flow(graph: Graph) -> Flow:
    """What the operators of a graph read and write."""
    value = list(range(len(graph.activations)))
    reads: list[list[int]] = []
    over: list[list[int]] = []
    for operator in graph.operators:
        sources = [value[position] for position in operator.inputs]
        if operator.kind == "reshape":
            value[operator.output] = sources[0]
        reads.append(sources if len(sources) == 1 else list(dict.fromkeys(sources)))
        over.append(_same_size(graph, operator.inputs, operator.output, value) if operator.kind in IN_PLACE else [])
    sizes = [_words(activation.nbytes) for activation in graph.activations]
    sizes += [0 if graph.steps else own_bytes(graph, operator) for operator in graph.operators]
    return Flow(value, sizes, reads, [value[operator.output] for operator in graph.operators], over)


def _words(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _same_size(graph: Graph, inputs: Sequence[int], output: int, value: Sequence[int]) -> list[int]:
    """Values as large as the output, element by element; one that is broadcast is smaller, and read again."""
    target = graph.activations[output]
    sources = [(position, graph.activations[position]) for position in inputs]
    return [
        value[position]
        for position, source in sources
        if source.itemsize == target.itemsize and source.numel == target.numel
    ]


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory for one value, or for several of the same size of which each is written over the one before.

    Attributes:
        values: As in `Flow`.
        size: Bytes, in whole words.
        born: First step at which it is needed.
        dies: Last step.
    """

    values: Sequence[int]
    size: int
    born: int
    dies: int


def buffers(flow: Flow, order: Sequence[int]) -> list[Buffer]:
    """The memory of one inference, in the order in which it is first written.

    Args:
        flow: Of the graph.
        order: Operators in order of execution; each value is written before it is read.
    """
    last = {0: 0}
    for step, operator in enumerate(order):
        last[flow.writes[operator]] = step
        for source in flow.reads[operator]:
            last[source] = step
    home, values, born = {0: 0}, {0: [0]}, {0: 0}
    for step, operator in enumerate(order):
        own, value = flow.own(operator), flow.writes[operator]
        if flow.sizes[own]:
            values[own], born[own], last[own] = [own], step, step
        if value in home:
            continue
        for source in flow.over[operator]:
            if last[source] == step:
                home[value] = home[source]
                values[home[value]].append(value)
                break
        else:
            home[value], values[value], born[value] = value, [value], step
    return [Buffer(values[first], flow.sizes[first], born[first], last[values[first][-1]]) for first in born]


def peak(needed: Sequence[Buffer], steps: int) -> int:
    """Largest sum of bytes that are needed at one step."""
    change = [0] * (steps + 2)
    for buffer in needed:
        change[buffer.born] += buffer.size
        change[buffer.dies + 1] -= buffer.size
    return max(accumulate(change))
