"""The network of one step, which keeps its states from call to call, in place of that of a whole sequence.

A sensor gives one step after the other, so only a step and the states of the recurrent layers have to be held: time,
the first axis of the input, gets a length of one. It is followed from operator to operator, and each that it passes
must treat every step alike and apart from the others. It ends where the last step alone is read. What comes behind is
computed at every step, and after the last one is what the network of the whole sequence gives, bit for bit.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph.network import Activation, Graph, Operator
from sparsemod.graph.recurrence import GATES

_ALIKE = ("relu", "function", "add", "mul", "embedding", "permute")
"""Kinds that compute each element from those at its place."""


def streamed(graph: Graph) -> Graph:
    """The same network one step at a time, traced or lowered.

    Args:
        graph: Of whole sequences, (T, ...).

    Returns:
        A network whose input is a step, (1, ...), and whose `steps` are T. Its multiply-accumulates are those of a
        step, with all that comes behind the last one.

    Raises:
        Infeasible: An operator needs another step than the one that comes.
        InputError: A front end makes the input, of all steps at once.
    """
    if graph.frontend is not None:
        raise InputError(
            "[TRAIN] streaming takes one step at a time, but the front end of this problem gives all steps at once; "
            "set streaming = false, or bring data that hold the features"
        )
    time: dict[int, int | None] = {0: 0}
    operators = []
    for operator in graph.operators:
        axes = [time[position] for position in operator.inputs]
        time[operator.output] = _followed(graph, operator, axes)
        operators.append(operator if set(axes) == {None} else _of_one_step(graph, operator, time[operator.output]))
    if time[graph.output] is not None:
        raise _refusal(None, "gives something for every step")
    activations = [_one_step(activation, time[position]) for position, activation in enumerate(graph.activations)]
    steps = graph.activations[0].shape[0]
    return replace(graph, operators=tuple(operators), activations=tuple(activations), steps=steps)


def _one_step(activation: Activation, time: int | None) -> Activation:
    if time is None:
        return activation
    return replace(activation, shape=(*activation.shape[:time], 1, *activation.shape[time + 1 :]))


def _of_one_step(graph: Graph, operator: Operator, time: int | None) -> Operator:
    """An operator on one step; of what cut out the last one nothing is left to do."""
    if operator.kind == "slice" and time is None:
        return replace(operator, kind="reshape", options={})
    return replace(operator, macs=operator.macs // graph.activations[0].shape[0])


def _followed(graph: Graph, operator: Operator, axes: Sequence[int | None]) -> int | None:
    """The axis of time in what an operator writes, from those in what it reads; None behind the last step."""
    before, after = (graph.activations[position].shape for position in (operator.inputs[0], operator.output))
    axis = axes[0]
    if operator.kind in GATES:
        return _through_recurrence(operator, axis)
    if any(other != axis for other in axes):
        raise _refusal(operator, "joins every step with what is known behind the last one")
    if axis is None:
        return None
    options = operator.options
    if operator.kind == "slice" and options["axis"] == (axis,):
        if (options["start"], options["count"]) != ((before[axis] - 1,), (1,)):
            raise _refusal(operator, "reads other steps than the last one")
        return None
    if operator.kind == "reshape":
        return _through_reshape(operator, before, after, axis)
    if not _apart(operator, before, axis):
        raise _refusal(operator, "reads several steps at once")
    if operator.kind == "permute":
        return options["axes"].index(axis)
    return axis - (len(after) < len(before) and options["axis"][0] < axis)  # one place of another axis was cut out


def _through_recurrence(operator: Operator, axis: int | None) -> int | None:
    if axis != 0:
        raise _refusal(operator, "goes along something else than the first axis of the input")
    if operator.options["reverse"][0]:
        raise _refusal(operator, "begins with the last step")
    return None if operator.options["last"][0] else 0


def _through_reshape(operator: Operator, before: Sequence[int], after: Sequence[int], axis: int) -> int:
    """Where an axis is after a reshape that keeps it: as much is before it as there was."""
    for position, size in enumerate(after):
        if size == before[axis] and math.prod(after[:position]) == math.prod(before[:axis]):
            return position
    raise _refusal(operator, "flattens all steps to one vector")


def _apart(operator: Operator, shape: Sequence[int], axis: int) -> bool:
    """Whether what an operator writes at one place along an axis depends on what it reads there alone, and how."""
    options = operator.options
    match operator.kind:
        case "concat" | "slice":
            return options["axis"] != (axis,)
        case "layer_norm":
            return axis < len(shape) - len(options["shape"])
        case "softmax":
            return axis < len(shape) - 1
        case "conv" | "depthwise":
            return axis > 0 and _is_point(operator, axis - 1)
        case "max_pool" | "avg_pool":
            return axis == 0
        case kind:
            return kind in _ALIKE


def _is_point(operator: Operator, axis: int) -> bool:
    """Whether a convolution sees one place along a spatial axis, for each place."""
    assert operator.weight is not None
    padding = operator.options["padding"][2 * axis : 2 * axis + 2]
    return operator.weight.shape[2 + axis] == operator.options["stride"][axis] == 1 and padding == (0, 0)


def _refusal(operator: Operator | None, why: str) -> Infeasible:
    """What is wrong with an operator, or with the network as a whole."""
    who = "the network" if operator is None else f"{operator.name}: this {operator.kind}"
    return Infeasible(
        f"{who} {why}, which cannot be streamed; read each step forward and the last one in the end, or set [TRAIN] "
        "streaming = false"
    )
