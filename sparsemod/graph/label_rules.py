"""One rule per ATen call: the labels of what it writes; see `labels`.

A rule returns False where it does not apply, and what the call reads and writes then stays: a missing rule removes too
little, never too much.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.labels import STAYS, Walk
from sparsemod.graph.record import Call, axis_order


def unknown(state: Walk, call: Call) -> None:
    """Everything that the call reads and writes stays."""
    for tensor in _tensors((call.args, tuple(call.kwargs.values()))):
        state.keep(tensor)
    for tensor in _tensors((call.output, call.others)):
        if tensor.dim() > 0:
            state.write(tensor, STAYS)


def _tensors(args: object) -> list[Tensor]:
    if isinstance(args, Tensor):
        return [args]
    return [tensor for arg in args for tensor in _tensors(arg)] if isinstance(args, (list, tuple)) else []


def _same(state: Walk, call: Call) -> bool:
    """Element by element."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.shape[1:] != labels.shape:
        return False
    state.known[id(call.output)] = labels
    return True


def _view(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.shape[:1] != (state.batch,) or math.prod(call.output.shape[1:]) != labels.size:
        return False
    state.write(call.output, labels.reshape(tuple(call.output.shape[1:])))
    return True


def _convolution(state: Walk, call: Call) -> bool:
    x, weight, bias, *_, transposed, _, groups = call.args
    labels = state.known.get(id(x))
    if labels is None or transposed:
        return False
    inputs = state.by_channel(labels)
    depthwise = groups == len(inputs) > 1
    made = state.made(weight, groups=1 if depthwise else groups)
    if depthwise:  # a channel goes with its input
        state.unite(made, np.repeat(inputs, len(made) // groups))
    else:
        state.reads(weight, 1, inputs, groups, ranked=True)
    if bias is not None:
        state.reads(bias, 0, made)
    state.write(call.output, made.reshape(-1, *[1] * (call.output.dim() - 2)))
    return True


def _linear(state: Walk, call: Call) -> bool:
    bias, x, transposed = call.args if call.name == "addmm" else (None, *call.args)
    labels, weight = state.known.get(id(x)), state.weights.get(id(transposed))
    if labels is None or weight is None or labels.ndim != 1:
        return False
    made = state.made(weight)
    state.reads(weight, 1, labels, ranked=True)
    if bias is not None:
        state.reads(bias, 0, made)
    state.write(call.output, made)
    return True


def _batch_norm(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    if labels is None:
        return False
    channels = state.by_channel(labels)
    for position, tensor in enumerate(call.args[1:5]):
        if tensor is not None:
            state.reads(tensor, 0, channels, ranked=position == 0)
    state.known[id(call.output)] = labels
    return True


def _layer_norm(state: Walk, call: Call) -> bool:
    x, shape, *affine = call.args[:4]
    labels = state.known.get(id(x))
    if labels is None or len(shape) != 1 or affine[0] is None:
        return False
    channels = state.along(labels, range(labels.ndim - 1)).ravel()
    for position, tensor in enumerate(affine):
        if tensor is not None:
            state.reads(tensor, 0, channels, ranked=position == 0)
    state.known[id(call.output)] = labels
    return True


def _spatial(state: Walk, call: Call) -> bool:
    """Poolings, zeros around an image, and upsampling: channels stay apart."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.dim() != labels.ndim + 1 or call.output.shape[1] != len(labels):
        return False
    state.write(call.output, state.by_channel(labels).reshape(-1, *[1] * (labels.ndim - 1)))
    return True


def _mean(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    axes = [axis % call.args[0].dim() for axis in call.args[1]] if len(call.args) > 1 else []
    if labels is None or not axes or 0 in axes:
        return False
    state.write(call.output, state.along(labels, [axis - 1 for axis in axes]).reshape(tuple(call.output.shape[1:])))
    return True


def _pair(state: Walk, call: Call) -> bool:
    """A sum or a product of two activations."""
    one, other = (state.known.get(id(part)) for part in call.args[:2])
    if one is None or other is None or one.ndim != other.ndim:
        return False
    state.unite(one, other)
    state.write(call.output, one if one.shape == call.output.shape[1:] else other)
    return True


def _concat(state: Walk, call: Call) -> bool:
    found = [state.known.get(id(part)) for part in call.args[0]]
    parts = [labels for labels in found if labels is not None]
    axis = (call.args[1] if len(call.args) > 1 else 0) % call.output.dim() - 1
    if axis < 0 or len(parts) < len(found):
        return False
    steps = zip(*(part.strides for part in parts), strict=True)
    thin = tuple(slice(None) if at == axis or any(each) else slice(1) for at, each in enumerate(steps))
    state.write(call.output, np.concatenate([part[thin] for part in parts], axis))
    return True


def _permute(state: Walk, call: Call) -> bool:
    labels, order = state.known.get(id(call.args[0])), axis_order(call)
    if labels is None or order[0] != 0:
        return False
    state.known[id(call.output)] = labels.transpose([axis - 1 for axis in order[1:]])
    return True


def _recurrent(state: Walk, call: Call) -> bool:
    """All layers and directions of a module have one size, so that their units go together."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or len(call.args) != 9 or not call.args[8]:
        return False
    _, _, parameters, biased, layers, _, _, both, _ = call.args
    directions = 2 if both else 1
    each = len(parameters) // (layers * directions)
    if each != (4 if biased else 2):
        return False
    units, inputs = state.made(parameters[1], axis=1), state.along(labels, [0]).ravel()
    for layer in range(layers):
        for start in range(layer * directions * each, (layer + 1) * directions * each, each):
            gates = np.tile(units, len(parameters[start]) // len(units))
            state.reads(parameters[start], 1, inputs, ranked=True)
            state.reads(parameters[start + 1], 1, units, ranked=True)
            for position, parameter in enumerate(parameters[start : start + each]):
                state.reads(parameter, 0, gates, ranked=position < 2)
        inputs = np.tile(units, directions)
    state.write(call.output, inputs)
    state.states.update((id(last), units) for last in call.others)
    return True


def _embedding(state: Walk, call: Call) -> bool:
    if id(call.args[1]) not in state.known:
        return False
    state.write(call.output, state.made(call.args[0], axis=1))
    return True


def _select(state: Walk, call: Call) -> bool:
    units = state.states.get(id(call.args[0]))
    if units is None or call.args[1] != 0:
        return _part(state, call)
    state.write(call.output, units)
    return True


def _part(state: Walk, call: Call) -> bool:
    """Some positions of an axis: not where channels lie along it, as these positions are numbers in the program."""
    labels = state.known.get(id(call.args[0]))
    axis = call.args[1] % call.args[0].dim() - 1 if len(call.args) > 1 else -1
    if labels is None or axis < 0 or labels.strides[axis]:
        return False
    one = np.expand_dims(labels.take(0, axis), axis)
    state.write(call.output, one if call.name == "slice" else one.squeeze(axis))
    return True


RULES: Mapping[str, Callable[[Walk, Call], bool]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh", "native_dropout"), _same),
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_", "_softmax"), _same),
    **dict.fromkeys((*FUNCTIONS, *(f"{name}_" for name in FUNCTIONS)), _same),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "as_strided_"), _view),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"), _spatial),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "constant_pad_nd"), _spatial),
    **dict.fromkeys(("addmm", "mm"), _linear),
    **dict.fromkeys(("add", "add_", "mul", "mul_"), _pair),
    **dict.fromkeys(("permute", "transpose"), _permute),
    **dict.fromkeys(("lstm", "gru"), _recurrent),
    "select": _select,
    "slice": _part,
    "embedding": _embedding,
    "cat": _concat,
    "convolution": _convolution,
    "mean": _mean,
    "native_layer_norm": _layer_norm,
}
