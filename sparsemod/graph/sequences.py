"""Rules of sequences: recurrent layers, single steps of what they give, and embeddings.

A recurrent layer becomes one operator per layer and direction, from (T, F) to (T, H). Its weights stand unit by unit:
all gates of the first unit, then all of the second, so that a device needs no memory for the gates of a whole step.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sparsemod.graph.assembly import LOST, Assembly, Constant, States, Unsupported
from sparsemod.graph.network import Graph, Operator
from sparsemod.graph.record import Call
from sparsemod.graph.recurrence import GATES, STATE_SCALE, unit_biases

_TOKENS = 256
"""What an input of eight bits can tell apart."""


def recurrent(state: Assembly, call: Call) -> None:
    """`aten.lstm.input` or `aten.gru.input`: all layers and directions."""
    _require_supported(state, call)
    x, _, parameters, _, layers, _, _, both, _ = call.args
    directions = 2 if both else 1
    each = len(parameters) // (layers * directions)
    source, last, found = state.activation(x), x.shape[1] - 1, []
    for layer in range(layers):
        ends = []
        for reverse in range(directions):
            start = (layer * directions + reverse) * each
            suffix = f".l{layer}{'_reverse' * reverse}" if layers * directions > 1 else ""
            ends.append(_direction(state, call, source, parameters[start : start + each], suffix, reverse))
            found.append((ends[-1], 0 if reverse else last))
        if layer == layers - 1 and not state.uses[id(call.output)]:
            break
        source = ends[0] if len(ends) == 1 else _side_by_side(state, call, ends)
    state.known[id(call.output)] = source
    state.known[id(call.others[0])] = States(tuple(found))
    state.known.update((id(cells), States(())) for cells in call.others[1:])


def _require_supported(state: Assembly, call: Call) -> None:
    name = call.name
    if not isinstance(call.args[3], bool):
        raise Unsupported(
            f"{name} of a packed sequence cannot be costed; give it x as it comes: with [TRAIN] streaming = true each "
            "sequence is read at its own length, and none is padded"
        )
    _, start, parameters, biased, layers, _, _, both, batch_first = call.args
    if not batch_first:
        raise Unsupported(f"{name} with time as its first axis cannot be costed; set batch_first=True")
    if len(parameters) != (4 if biased else 2) * layers * (2 if both else 1):
        raise Unsupported(f"{name} with proj_size cannot be costed; leave it out, and make hidden_size smaller")
    for tensor in [start] if isinstance(start, Tensor) else start:
        if id(tensor) in state.known or id(tensor) in state.sources or (not tensor.is_meta and tensor.any()):
            raise Unsupported(f"{name} is supported from zero on; call it without initial states")


def _direction(
    state: Assembly, call: Call, source: int, parameters: Sequence[Tensor], suffix: str, reverse: int
) -> int:
    """One layer in one direction: the activation that it writes."""
    inputs, states = (state.constant(weight) for weight in parameters[:2])
    gates, units = GATES[call.name], states.value.shape[1]
    scale = None
    if inputs.scale is not None and states.scale is not None:
        scale = torch.stack([_by_unit(part.scale, gates) for part in (inputs, states) if part.scale is not None], 1)
    name = f"{inputs.source.name or call.name}{suffix}"
    weight = Constant(_rows(inputs.value, states.value, gates), scale, replace(inputs.source, name=name))
    biases = [state.constant(bias).value.detach() for bias in parameters[2:]]
    bias = _biases(call.name, *biases) if biases else None
    steps = call.args[0].shape[1]
    whole = replace(call, output=torch.empty(state.batch, steps, units, device="meta"))
    options = {"units": (units,), "reverse": (reverse,), "last": (0,)}
    state.weighted(whole, call.name, source, weight, bias, macs=steps * weight.value.numel(), options=options)
    output = state.popped(whole.output)
    if weight.source.scheme == "post":
        state.narrow([output], scale=STATE_SCALE, zero_point=0)
    _fix_steps(state, call, output)
    return output


def _fix_steps(state: Assembly, call: Call, output: int) -> None:
    """All states have one scale, also those that no call quantizes, as they do not leave the layer."""
    if any(state.rounded.get(id(tensor)) == (STATE_SCALE, 0) for tensor in (call.output, *call.others)):
        state.narrow([output], scale=STATE_SCALE, zero_point=0)
        state.quantized.add(output)


def _rows(inputs: Tensor, states: Tensor, gates: int) -> Tensor:
    """The weights of input and state side by side, (units * gates, F + H), unit by unit."""
    if inputs.is_meta:  # quickly: thousands of networks are traced so
        return torch.empty(len(inputs), inputs.shape[1] + states.shape[1], device="meta")
    return _by_unit(torch.cat([inputs, states], 1), gates)


def _biases(kind: str, inputs: Tensor, states: Tensor) -> Tensor:
    """Four for each unit; those of input and state are one wherever their sums are added at once."""
    gates = GATES[kind]
    if inputs.is_meta:
        return torch.empty(len(inputs) // gates * 4, device="meta")
    of_input, of_state = _by_unit(inputs, gates), _by_unit(states, gates)
    alone = torch.zeros_like(of_state)
    if kind == "gru":
        alone[2::3] = of_state[2::3]
    return unit_biases(kind, of_input + of_state - alone, alone)


def _by_unit(rows: Tensor, gates: int) -> Tensor:
    """From gate by gate to unit by unit, along the first axis."""
    return rows.reshape(gates, -1, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)


def _side_by_side(state: Assembly, call: Call, ends: Sequence[int]) -> int:
    """Both directions as one activation, (T, 2 H)."""
    shapes = [state.activations[end].shape for end in ends]
    width = sum(shape[1] for shape in shapes)
    joined = replace(call, output=torch.empty(state.batch, shapes[0][0], width, device="meta"))
    state.new(joined, "concat", ends, options={"axis": (1,)})
    output = state.popped(joined.output)
    _fix_steps(state, call, output)
    return output


# --- steps -----------------------------------------------------------------------------------------------------------


def select(state: Assembly, call: Call) -> None:
    """One step of a sequence, or one row of any other activation; one of the last states."""
    x, axis, index = call.args[:3]
    found = state.known.get(id(x))
    if isinstance(found, States):
        axis %= x.dim()
        if axis != 0 or not found.steps:
            raise Unsupported(LOST)
        last_state(state, call, found, index)
    elif found is not None and not isinstance(found, Constant):
        _cut(state, call, axis, index % x.shape[axis], 1)


def cut(state: Assembly, call: Call) -> None:
    """`aten.slice`: some elements along one axis."""
    x = call.args[0]
    given: list[Any] = [*call.args[1:], *[0, None, None, 1][len(call.args) - 1 :]]
    axis, start, _, step = given
    found = state.known.get(id(x))
    if x.shape == call.output.shape and found is not None:
        state.uses[id(call.output)] += state.uses[id(x)] - 1
        state.known[id(call.output)] = found
    elif isinstance(found, States):
        raise Unsupported(LOST)
    elif found is not None and not isinstance(found, Constant):
        if step != 1:
            raise Unsupported("a slice is supported without steps between its elements")
        start, size = start or 0, x.shape[axis]
        _cut(state, call, axis, max(start + size, 0) if start < 0 else start, call.output.shape[axis])


def last_state(state: Assembly, call: Call, states: States, index: int) -> None:
    """The last state of one layer and direction."""
    position, step = states.steps[index]
    state.new(call, "slice", [position], options={"axis": (0,), "start": (step,), "count": (1,)})


def mean_over_time(state: Assembly, call: Call) -> None:
    """Mean of all steps, (T, F) -> (F,): average pooling, once time is the last axis."""
    batch, steps, features = call.args[0].shape
    turned = replace(call, output=torch.empty(batch, features, steps, device="meta"))
    state.new(turned, "permute", [state.activation(call.args[0])], options={"axes": (1, 0)})
    pooled = replace(call, output=torch.empty(batch, features, 1, device="meta"))
    state.new(pooled, "avg_pool", [state.popped(turned.output)], options={"kernel": (steps,), "stride": (steps,)})
    state.new(call, "reshape", [state.popped(pooled.output)])


def _cut(state: Assembly, call: Call, axis: int, start: int, count: int) -> None:
    axis %= call.args[0].dim()
    if axis == 0:
        raise Unsupported("a part of the batch cannot be costed")
    options = {"axis": (axis - 1,), "start": (start,), "count": (count,)}
    state.new(call, "slice", [state.activation(call.args[0])], options=options)


def last_steps(graph: Graph) -> Graph:
    """The same network, where a recurrent layer of which only the last step is read keeps no other."""
    for operator in graph.operators:
        if operator.kind not in GATES:
            continue
        readers = [other for other in graph.operators if operator.output in other.inputs]
        if len(readers) == 1 and operator.output != graph.output and _is_last_step(graph, operator, readers[0]):
            return last_steps(_joined(graph, operator, readers[0]))
    return graph


def _is_last_step(graph: Graph, operator: Operator, reader: Operator) -> bool:
    steps = graph.activations[operator.output].shape[0]
    options = {"axis": (0,), "start": (0 if operator.options["reverse"][0] else steps - 1,), "count": (1,)}
    shape = graph.activations[operator.output].shape[1:]
    return reader.kind == "slice" and reader.options == options and graph.activations[reader.output].shape == shape


def _joined(graph: Graph, operator: Operator, reader: Operator) -> Graph:
    """With a recurrent operator that writes what its reader cut out, and without that reader."""
    gone = operator.output
    activations = [activation for position, activation in enumerate(graph.activations) if position != gone]
    last = replace(operator, output=reader.output, options={**operator.options, "last": (1,)})
    kept = [last if other is operator else other for other in graph.operators if other is not reader]
    return replace(graph, operators=tuple(_renumbered(other, gone) for other in kept), activations=tuple(activations))


def _renumbered(operator: Operator, gone: int) -> Operator:
    """The operator in a graph without one of the activations."""
    inputs = tuple(position - (position > gone) for position in operator.inputs)
    return replace(operator, inputs=inputs, output=operator.output - (operator.output > gone))


# --- embeddings ------------------------------------------------------------------------------------------------------


def embedding(state: Assembly, call: Call) -> None:
    """A table of which each token reads one row. In eight bits a token is an integer from -128 on."""
    table, tokens = state.constant(call.args[0]), state.activation(call.args[1])
    narrow = table.source.scheme == "post" or table.scale is not None
    if tokens != 0:
        raise Unsupported("an embedding is supported of the input of the network, as it is")
    if narrow and len(table.value) > _TOKENS:
        raise Unsupported(
            f"an embedding of {len(table.value)} tokens; eight bits tell {_TOKENS} apart: make one of the rare tokens, "
            "or set quant_scheme = none"
        )
    state.new(call, "embedding", [tokens], table.source.name, weight=table.value.detach().clone(), prunable=False,
              weight_itemsize=1 if narrow else 4, weight_scale=table.scale)  # fmt: skip
    output = len(state.activations) - 1
    if table.scale is None and narrow:
        state.static.add(output)
        state.narrow([tokens, output])
    if table.scale is not None:
        state.narrow([tokens], scale=1.0, zero_point=-128)
        state.narrow([output], scale=float(table.scale[0]), zero_point=0)
        state.quantized.update((tokens, output))
