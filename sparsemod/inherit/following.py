"""Follows the channels of a network from its input to its output.

A forward pass is recorded and walked through again, with marks in the place of numbers. What only moves elements
(flatten, permute, concatenate, slice) moves the marks by the very same operation; a layer writes new marks and notes
which ones it read. What is not known here is taken to work element by element if its shapes say so; else the channels
that go in keep their order, and what comes out has no marks.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.graph.record import Call, evaluating, record
from sparsemod.graph.trace import reads_tokens
from sparsemod.inherit.channels import Channels, Layout, Walk
from sparsemod.inherit.marks import along, channel_of, repeats, spread

_MOVES = {
    *("reshape", "view", "_unsafe_view", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "expand"),
    *("slice", "select", "split", "split_with_sizes", "unbind", "cat", "stack", "flip", "roll", "repeat"),
    *("index", "index_select", "channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"),
}
_MIXING = {"mm", "bmm", "baddbmm", "matmul", "dot", "einsum", "sort", "topk", "gather", "scatter", "cumsum", "cumprod"}
_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def follow(module: nn.Module, input_shape: Sequence[int]) -> Channels:
    """The channels of a module.

    Args:
        module: Of one input and one output; left as it was.
        input_shape: Without the batch.

    Raises:
        RuntimeError: The module cannot process an input of this shape.
    """
    parameter = next(module.parameters(), None)
    dtype = torch.int64 if reads_tokens(module) else torch.float32
    example = torch.zeros(1, *input_shape, dtype=dtype, device=None if parameter is None else parameter.device)
    with evaluating(module):
        calls, output = record(module, example)
    walk = Walk({id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())})
    axis = 1 if _first_layer(calls) == "convolution" else -1
    walk.write(example, "", walk.new("", example.shape[axis]), axis)
    walk.fix(example)
    for call in calls:
        _step(walk, call)
    walk.fix(output)
    return walk.found()


def _first_layer(calls: Sequence[Call]) -> str:
    return next((call.name for call in calls if call.name in ("convolution", "mm", "addmm", "lstm", "gru")), "")


def _step(walk: Walk, call: Call) -> None:
    name = call.name
    if name in ("t", "alias", "detach") and id(call.args[0]) in walk.names:
        walk.names[id(call.output)] = walk.names[id(call.args[0])]
        walk.turned.update({id(call.output)} if name == "t" else ())
    elif name in _RULES:
        _RULES[name](walk, call)
    elif "pool" in name or "upsample" in name:
        _spatial(walk, call)
    elif name in _MIXING:
        walk.lose(call.args)
    else:
        _each(walk, call)


# --- layers ---


def _convolution(walk: Walk, call: Call) -> None:
    x, weight, bias, *_, transposed, _, groups = call.args
    name = walk.names.get(id(weight))
    if name is None or (transposed and groups > 1):
        return walk.lose(call.args)
    inputs, outputs, kernel = walk.read(x, 1), call.output.shape[1], (None,) * (weight.dim() - 2)
    if inputs is not None and groups == outputs == len(inputs) > 1:
        walk.depthwise.add(name)
        written = inputs
    else:
        written = walk.new(name, outputs, groups)
        if groups > 1 and inputs is not None:
            found = enumerate(channel_of(inputs).tolist())
            walk.tags += [(c, (name, "reads", i * groups // len(inputs))) for i, c in found if c >= 0]
    if transposed:  # its weight is (I, O, *kernel)
        walk.note(weight, Layout((inputs, written, *kernel), outputs=(1,)))
    else:
        walk.note(weight, Layout((written, inputs, *kernel), groups=groups))
    walk.note(bias, Layout((written,)))
    walk.write(call.output, name, written, 1)


def _linear(walk: Walk, call: Call) -> None:
    bias, x, weight = call.args[:3] if call.name == "addmm" else (None, *call.args[:2])
    name = walk.names.get(id(weight))
    if name is None:
        return walk.lose(call.args)
    inputs, written = walk.read(x, 1), walk.new(name, weight.shape[1])
    turned = id(weight) in walk.turned  # as nn.Linear does it: its weight is (O, I)
    walk.note(weight, Layout((written, inputs)) if turned else Layout((inputs, written), outputs=(1,)))
    walk.note(bias, Layout((written,)))
    walk.write(call.output, name, written, 1)


def _embedding(walk: Walk, call: Call) -> None:
    table = call.args[0]
    name = walk.names.get(id(table))
    if name is None:
        return walk.lose(call.args)
    written = walk.new(name, table.shape[1])
    walk.note(table, Layout((None, written), outputs=(1,)))
    walk.write(call.output, name, written, -1)


def _norm(walk: Walk, call: Call) -> None:
    """Batch, group and instance norm: one parameter each for a channel."""
    x, *parameters = call.args[:5] if "batch_norm" in call.name else call.args[:3]
    inputs = walk.read(x, 1)
    if inputs is not None:
        for parameter in parameters:
            walk.note(parameter, Layout((inputs,)))
        if id(x) in walk.written_by and id(parameters[0]) in walk.names:
            walk.norms[walk.written_by[id(x)]] = walk.names[id(parameters[0])]
    walk.follow(x, call.output)


def _layer_norm(walk: Walk, call: Call) -> None:
    x, shape, *parameters = call.args[:4]
    axes = [walk.read(x, axis - len(shape)) for axis in range(len(shape))]
    for parameter in parameters:
        walk.note(parameter, Layout(tuple(axes), outputs=tuple(range(len(shape)))))
    walk.follow(x, call.output)


def _recurrent(walk: Walk, call: Call) -> None:
    """All layers and directions; a place says which gate of a unit a row belongs to."""
    x, _, parameters, biased, layers, _, _, both, _ = call.args
    each, directions, gates = 4 if biased else 2, 2 if both else 1, _GATES[call.name]
    named = all(id(parameter) in walk.names for parameter in parameters)
    if not named or not isinstance(biased, bool) or len(parameters) != each * layers * directions:
        return walk.lose(call.args)  # a packed sequence, or a projection
    inputs, states = walk.read(x, -1), []
    for layer in range(layers):
        for direction in range(directions):
            start = (layer * directions + direction) * each
            of_input, of_state, *biases = parameters[start : start + each]
            units = walk.new(walk.names[id(of_input)], of_state.shape[1])
            rows = torch.cat([units + gate for gate in range(gates)])
            walk.note(of_input, Layout((rows, inputs)))
            walk.note(of_state, Layout((rows, units)))
            for bias in biases:
                walk.note(bias, Layout((rows,)))
            states.append(units)
        inputs = torch.cat(states[-directions:])
    walk.marks[id(call.output)] = spread(torch.cat(states[-directions:]), call.output.shape, -1)
    for other in call.others:  # the last states, (layers * directions, N, H)
        walk.marks[id(other)] = torch.stack(states)[:, None].expand(other.shape)


# --- everything else ---


def _move(walk: Walk, call: Call) -> None:
    """The same operation on marks."""
    parts = call.args[0] if call.name in ("cat", "stack") else [call.args[0]]
    if not any(id(part) in walk.marks for part in parts):
        return
    marks = [walk.marks.get(id(part), torch.full(part.shape, -1)) for part in parts]
    move = getattr(torch.ops.aten, "reshape" if "view" in call.name else call.name)
    moved = move(marks[0] if parts is not call.args[0] else marks, *call.args[1:])
    outputs = [call.output, *call.others]
    for output, found in zip(outputs, moved if isinstance(moved, (tuple, list)) else [moved], strict=True):
        walk.marks[id(output)] = found


def _pad(walk: Walk, call: Call) -> None:
    if id(call.args[0]) in walk.marks:
        walk.marks[id(call.output)] = F.pad(walk.marks[id(call.args[0])], call.args[1], value=-1)


def _spatial(walk: Walk, call: Call) -> None:
    """Poolings and upsampling: channels stay, places are those of the result."""
    inputs = walk.read(call.args[0], 1)
    if inputs is not None:
        walk.marks[id(call.output)] = spread(inputs, call.output.shape, 1)


def _reduce(walk: Walk, call: Call) -> None:
    """A mean or sum over axes along which channels do not change."""
    x = call.args[0]
    axes = sorted({axis % x.dim() for axis in call.args[1]}) if call.args[1:] and call.args[1] else []
    kept = [axis for axis in range(1, x.dim()) if axis not in axes]
    inputs = walk.read(x, kept[0]) if len(kept) == 1 else None
    if inputs is None:
        return walk.lose(call.args)
    axis = kept[0] if len(call.output.shape) == x.dim() else sum(other not in axes for other in range(kept[0]))
    walk.marks[id(call.output)] = spread(inputs, call.output.shape, axis)


def _each(walk: Walk, call: Call) -> None:
    """Element by element, with one operand or several; a parameter among them belongs to the channels it meets."""
    operands = [arg for arg in call.args if isinstance(arg, Tensor)]
    marked = [operand for operand in operands if id(operand) in walk.marks]
    if not marked:
        return
    shape = call.output.shape
    if not all(repeats(operand.shape, shape) for operand in operands):
        return walk.lose(call.args)
    first, *others = sorted((walk.marks[id(operand)] for operand in marked), key=lambda marks: -marks.numel())
    first = first.expand(shape)
    for other in others:
        walk.unite(first, other.expand(shape))
        walk.fixed.update(channel_of(other.expand(shape)[first < 0]).unique().tolist())
        first = torch.where(first < 0, other.expand(shape), first)
    walk.marks[id(call.output)] = first
    for operand in operands:
        if id(operand) not in walk.marks and operand.numel() > 1:
            _meet(walk, operand, first, call)


def _meet(walk: Walk, operand: Tensor, marks: Tensor, call: Call) -> None:
    """A parameter that is added to channels or scales them; anything else keeps them in order."""
    axes = [None if size == 1 else along(marks, axis - operand.dim()) for axis, size in enumerate(operand.shape)]
    if id(operand) not in walk.names or id(operand) in walk.turned or all(axis is None for axis in axes):
        return walk.fix(call.output)
    walk.note(operand, Layout(tuple(axes), outputs=tuple(range(len(axes)))))


_RULES: Mapping[str, Callable[[Walk, Call], None]] = {
    "convolution": _convolution,
    **dict.fromkeys(("addmm", "mm"), _linear),
    "embedding": _embedding,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _norm),
    **dict.fromkeys(("cudnn_batch_norm", "native_group_norm"), _norm),
    "native_layer_norm": _layer_norm,
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
    "constant_pad_nd": _pad,
    **dict.fromkeys(_GATES, _recurrent),
    **dict.fromkeys(_MOVES, _move),
}
