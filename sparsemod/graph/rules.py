"""One rule per ATen call: what operator it becomes, or what it changes in the one before it.

To support another layer: one entry in `RULES` and, if it computes, one case in `run`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sparsemod.graph.assembly import Assembly, Constant, Padded, Source, States, Unsupported
from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.network import Operator
from sparsemod.graph.normalization import MAX_COUNT
from sparsemod.graph.record import Call, axis_order
from sparsemod.graph.sequences import cut, embedding, last_state, mean_over_time, recurrent, select

_SMALLEST = 2.0**-20
"""Channels that a batch norm scales down further become zero."""


def _alias(state: Assembly, call: Call) -> None:
    source = call.args[0]
    state.uses[id(call.output)] += state.uses[id(source)] - 1  # other readers of the source read this very value
    if id(source) in state.known:
        state.known[id(call.output)] = state.known[id(source)]
    elif id(source) in state.sources:
        state.known[id(call.output)] = state.constant(source)


def _transpose(state: Assembly, call: Call) -> None:
    """A linear layer hands its weight over transposed; the operator keeps it as (O, I)."""
    if isinstance(state.known.get(id(call.args[0])), (int, Padded, States)):
        raise Unsupported("an activation is transposed, which sparsemod cannot cost")
    state.known[id(call.output)] = state.constant(call.args[0])


def _view(state: Assembly, call: Call) -> None:
    if id(call.args[0]) not in state.known:
        return  # of a parameter, or of the indices of a max pool
    states = state.known[id(call.args[0])]
    if isinstance(states, States) and len(states.steps) == 1 and call.output.shape == call.args[0].shape[1:]:
        return last_state(state, call, states, 0)
    source = state.activation(call.args[0])
    if call.output.dim() < 2 or call.output.shape[0] != state.batch:
        raise Unsupported("a view mixes the batch with other axes")
    if tuple(call.output.shape[1:]) == state.activations[source].shape:
        _alias(state, call)
        return
    state.new(call, "reshape", [source])


def _strides(state: Assembly, call: Call) -> None:
    """PyTorch's note, within a pooling, that axes of one element may lie anywhere."""
    sizes, strides = call.args[1:3]
    steps = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    if any(size > 1 and step != stride for size, step, stride in zip(sizes, steps, strides, strict=True)):
        raise Unsupported("as_strided cannot be costed")
    _view(state, call)


def _pad(state: Assembly, call: Call) -> None:
    pads, value = call.args[1], call.args[2] if len(call.args) > 2 else 0
    if value != 0 or min(pads) < 0 or len(pads) != 2 * (call.output.dim() - 2):
        raise Unsupported("padding is supported with zeros, around the spatial axes")
    pairs = [pads[start : start + 2] for start in range(0, len(pads), 2)][::-1]
    padding = tuple(int(side) for pair in pairs for side in pair)
    state.known[id(call.output)] = Padded(state.activation(call.args[0]), padding, call)


def _convolution(state: Assembly, call: Call) -> None:
    x, weight_tensor, bias, stride, padding, dilation, transposed, _, groups = call.args
    if transposed:
        raise Unsupported("a transposed convolution cannot be costed")
    if call.output.dim() > 4:
        raise Unsupported("a convolution is supported over one or two axes")
    found, weight = state.known.get(id(x)), state.constant(weight_tensor)
    axes = call.output.dim() - 2
    stride, padding, dilation = (tuple(values) * (axes // len(values)) for values in (stride, padding, dilation))
    pads = tuple(side for size in padding for side in (size, size))
    source = found.activation if isinstance(found, Padded) else state.activation(x)
    if isinstance(found, Padded):
        pads = tuple(one + other for one, other in zip(pads, found.padding, strict=True))
    channels = state.activations[source].shape[0]
    kind = "depthwise" if groups == channels and groups > 1 else "conv"
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": (groups,)}
    state.weighted(call, kind, source, weight, bias, options=options)


def _batch_norm(state: Assembly, call: Call) -> None:
    """Folded into the layer before it, as y = factor * x + offset per channel; else a depthwise layer of one tap."""
    x, gamma, beta, mean, variance = call.args[:5]
    if mean is None:
        raise Unsupported("batch norm needs running statistics")
    eps = call.args[6] if call.name.endswith("no_training") else call.args[7]
    position = _foldable(state, x)
    before = None if position is None else state.operators[position]
    if position is not None and before is not None and before.weight is not None and before.weight.is_meta:
        state.known[id(call.output)] = before.output  # quickly: thousands of networks are traced so
        state.rewrite(position, bias=torch.empty(before.weight.shape[0], device="meta"))
        return
    factor = torch.rsqrt(variance.detach() + eps) * (1 if gamma is None else gamma.detach())
    offset = (0 if beta is None else beta.detach()) - mean * factor
    if position is None or before is None or before.weight is None:
        _channelwise(state, call, factor, offset)
        return
    state.known[id(call.output)] = before.output
    weight = before.weight * factor.reshape(-1, *[1] * (before.weight.dim() - 1))
    state.rewrite(position, weight=weight, bias=offset if before.bias is None else before.bias * factor + offset)


def _foldable(state: Assembly, x: Tensor) -> int | None:
    """The layer that made a tensor, if a batch norm of it can become part of that layer."""
    position = state.only_user(x)
    if position is None or position in state.norms:
        return None
    before = state.operators[position]
    return position if before.kind in ("conv", "depthwise", "linear") and not _bounded(before) else None


def _channelwise(state: Assembly, call: Call, factor: Tensor, offset: Tensor) -> None:
    """A depthwise layer with one weight for each channel."""
    source = state.activation(call.args[0])
    shape = (-1, *[1] * (call.output.dim() - 1))
    weight = _factors(state, source, call.args[1], factor.reshape(shape))
    axes = call.output.dim() - 2
    options = {"stride": (1,) * axes, "padding": (0, 0) * axes, "dilation": (1,) * axes, "groups": (len(factor),)}
    state.norms.add(len(state.operators))
    state.weighted(call, "depthwise", source, weight, offset, options=options, prunable=False)


def _linear(state: Assembly, call: Call) -> None:
    bias, x, weight = call.args if call.name == "addmm" else (None, *call.args)
    if call.output.dim() != 2 or not isinstance(state.known.get(id(weight)), Constant):
        raise Unsupported("a matrix product is supported as a linear layer on (N, features)")
    state.weighted(call, "linear", state.activation(x), state.constant(weight), bias)


def _layer_norm(state: Assembly, call: Call) -> None:
    """Over all axes from some axis on; in eight bits a weight is plus or minus 127, as of a batch norm alone."""
    x, shape, gamma, beta, eps = call.args
    source, count = state.activation(x), math.prod(shape)
    if count > MAX_COUNT:
        raise Unsupported(f"layer normalization over {count} elements; supported are at most {MAX_COUNT}")
    like = torch.ones(count, device=x.device)
    factor = like if gamma is None else gamma.detach().flatten()
    offset = torch.zeros_like(like) if beta is None else beta.detach().flatten()
    weight = _factors(state, source, gamma, factor[:, None])
    state.norms.add(len(state.operators))
    options = {"shape": tuple(shape)}
    arguments = (float(eps),)
    state.weighted(call, "layer_norm", source, weight, offset, options=options, arguments=arguments, prunable=False)


def _factors(state: Assembly, source: int, gamma: Tensor | None, values: Tensor) -> Constant:
    """The weights of a norm, one per output: in eight bits plus or minus 127, and all their digits are in the scale."""
    origin = Source("", "post" if source in state.static else "none")
    if gamma is not None:
        origin = replace(state.sources.get(id(gamma), Source("", state.scheme)), bits=8)
    if source in state.static and origin.scheme != "post":
        raise Unsupported("a norm of its own is int8 where its input is; leave its quant_scheme at post")
    if source not in state.quantized:
        return Constant(values, None, origin)
    signs = 127 * values.sign().to(torch.int8)
    return Constant(signs, values.flatten().abs().clamp_min(_SMALLEST) / 127, origin)


_FUSING = ("conv", "depthwise", "linear", "add", "mul", "layer_norm")
"""Kinds that may bound their own output."""


def _clamp(state: Assembly, call: Call) -> None:
    """ReLU and its bounded kin, fused into the operator that computes their input."""
    low, high = (0.0, float("inf")) if call.name.startswith("relu") else _bounds(call)
    position = state.only_user(call.args[0])
    before = None if position is None else state.operators[position]
    if position is not None and before is not None and before.kind in _FUSING and not _bounded(before):
        state.rewrite(position, low=low, high=high)
        state.known[id(call.output)] = before.output
        return
    state.new(call, "relu", [state.activation(call.args[0])], low=low, high=high)


def _bounds(call: Call) -> tuple[float, float]:
    """Of hardtanh; PyTorch leaves out what is at its default."""
    given = [float(bound) for bound in call.args[1:]]
    low, high = [*given, *[-1.0, 1.0][len(given) :]]
    return low, high


def _bounded(operator: Operator) -> bool:
    return (operator.low, operator.high) != (-float("inf"), float("inf"))


def _max_pool(state: Assembly, call: Call) -> None:
    x, kernel = call.args[0], tuple(call.args[1])
    rest = (*call.args[2:], *[()] * 3)
    options = {
        "kernel": kernel,
        "stride": tuple(rest[0]) or kernel,
        "padding": tuple(rest[1]) or (0, 0),
        "dilation": tuple(rest[2]) or (1, 1),
        "ceil": (int(len(call.args) > 5 and bool(call.args[5])),),
    }
    source = state.activation(x)
    state.new(call, "max_pool", [source], options=options)


def _avg_pool(state: Assembly, call: Call) -> None:
    """Average pooling, adaptive pooling and the mean over the spatial axes, or over the steps of a sequence."""
    if call.name == "mean" and call.args[0].dim() == 3 and [axis % 3 for axis in call.args[1]] == [1]:
        return mean_over_time(state, call)
    source = state.activation(call.args[0])
    channels, *size = state.activations[source].shape
    if not size:
        raise Unsupported("average pooling needs spatial axes")
    if call.name == "mean":
        dims = call.args[0].dim()
        if len(call.args) < 2 or sorted(axis % dims for axis in call.args[1]) != list(range(2, dims)):
            raise Unsupported("a mean is supported over all spatial axes, or over the steps of a sequence")
        kernel = stride = tuple(size)
    elif call.name == "_adaptive_avg_pool2d":
        if any(extent % target for extent, target in zip(size, call.args[1], strict=True)):
            raise Unsupported("adaptive pooling is supported where the output divides the input")
        kernel = stride = tuple(extent // target for extent, target in zip(size, call.args[1], strict=True))
    else:
        kernel = tuple(call.args[1]) * (len(size) // len(call.args[1]))
        stride = (tuple(call.args[2]) if len(call.args) > 2 and call.args[2] else kernel) * (len(size) // len(kernel))
        padding, ceil_mode, divisor = call.args[3:4], call.args[4:5], call.args[6:7]
        if any(map(any, padding)) or any(ceil_mode) or any(divisor):
            raise Unsupported("average pooling is supported without padding, ceil mode and divisor")
    pooled = tuple((extent - k) // s + 1 for extent, k, s in zip(size, kernel, stride, strict=True))
    options = {"kernel": kernel, "stride": stride}
    if tuple(call.output.shape[2:]) == pooled:
        state.new(call, "avg_pool", [source], options=options)
        return
    whole = replace(call, output=call.output.reshape(state.batch, channels, *pooled))
    state.new(whole, "avg_pool", [source], options=options)
    state.new(call, "reshape", [state.popped(whole.output)])


def _function(state: Assembly, call: Call) -> None:
    name = "gelu_tanh" if call.kwargs.get("approximate") == "tanh" else call.name.rstrip("_")
    arguments = tuple(float(argument) for argument in call.args[1:])
    state.new(call, "function", [state.activation(call.args[0])], function=name, arguments=arguments)


def _softmax(state: Assembly, call: Call) -> None:
    source = state.activation(call.args[0])
    if call.args[1] % call.output.dim() != call.output.dim() - 1:
        raise Unsupported("a softmax is supported over the last axis")
    state.new(call, "softmax", [source])


def _mul(state: Assembly, call: Call) -> None:
    """A product of two activations, of which one may have to be repeated along some axes."""
    if not all(isinstance(factor, Tensor) for factor in call.args[:2]):
        raise Unsupported("a product is supported between two activations")
    sources = [state.activation(factor) for factor in call.args[:2]]
    shape = tuple(call.output.shape[1:])
    sources.sort(key=lambda position: state.activations[position].shape != shape)
    first, second = (state.activations[position].shape for position in sources)
    if first != shape or len(second) != len(first):
        raise Unsupported("a product is supported where one factor has the shape of the result")
    state.new(call, "mul", sources)


def _concat(state: Assembly, call: Call) -> None:
    axis = (call.args[1] if len(call.args) > 1 else 0) % call.output.dim()
    if axis == 0:
        raise Unsupported("a concatenation along the batch cannot be costed")
    state.new(call, "concat", [state.activation(part) for part in call.args[0]], options={"axis": (axis - 1,)})


def _permute(state: Assembly, call: Call) -> None:
    """Axes in another order, the batch in its place."""
    x = call.args[0]
    if isinstance(state.known.get(id(x)), Constant | None):
        return _transpose(state, call)
    source = state.activation(x)
    order = axis_order(call)
    if order[0] != 0:
        raise Unsupported("an order of axes that moves the batch cannot be costed")
    state.new(call, "permute", [source], options={"axes": tuple(axis - 1 for axis in order[1:])})


def _upsample(state: Assembly, call: Call) -> None:
    source = state.activation(call.args[0])
    size, target = state.activations[source].shape[1:], tuple(call.output.shape[2:])
    if any(to % extent for extent, to in zip(size, target, strict=True)):
        raise Unsupported("upsampling is supported by whole factors")
    factor = tuple(to // extent for extent, to in zip(size, target, strict=True))
    state.new(call, "upsample", [source], options={"factor": factor})


def _add(state: Assembly, call: Call) -> None:
    first, second = call.args[0], call.args[1]
    if not isinstance(second, Tensor) or call.kwargs.get("alpha", 1) != 1:
        raise Unsupported("an addition is supported between two activations")
    sources = [state.activation(first), state.activation(second)]
    if state.activations[sources[0]].shape != state.activations[sources[1]].shape:
        raise Unsupported("an addition is supported between activations of one shape")
    state.new(call, "add", sources)


def _quantize(state: Assembly, call: Call) -> None:
    x, scale, zero_point = call.args[0], float(call.args[1]), int(call.args[2])
    found = state.known[id(x)]
    if isinstance(found, States):
        state.known[id(call.output)] = found
        return
    position = found.activation if isinstance(found, Padded) else found
    assert isinstance(position, int), "only activations are quantized while the network runs"
    group = state.sharing(position)
    known = {
        (state.activations[member].scale, state.activations[member].zero_point) for member in group & state.quantized
    }
    if known - {(scale, zero_point)}:
        raise Unsupported("an activation has two different scales")
    state.narrow(group, scale=scale, zero_point=zero_point)
    state.quantized |= group
    state.known[id(call.output)] = found


def _dequantize(state: Assembly, call: Call) -> None:
    x = call.args[0]
    if isinstance(state.known.get(id(x)), (int, Padded, States)):
        state.known[id(call.output)] = state.known[id(x)]
        return
    scale = call.args[1] if isinstance(call.args[1], Tensor) else torch.full((x.shape[0],), float(call.args[1]))
    state.known[id(call.output)] = Constant(x, scale.float(), Source("", state.scheme))


QUANTIZING = ("quantize_per_tensor", "quantize_affine")

RULES: Mapping[str, Callable[[Assembly, Call], None]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh", "native_dropout"), _alias),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze"), _view),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("addmm", "mm"), _linear),
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_"), _clamp),
    **dict.fromkeys(("avg_pool2d", "_adaptive_avg_pool2d", "mean"), _avg_pool),
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("mul", "mul_"), _mul),
    **dict.fromkeys((*FUNCTIONS, *(f"{name}_" for name in FUNCTIONS)), _function),
    **dict.fromkeys(("permute", "transpose"), _permute),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _upsample),
    **dict.fromkeys(QUANTIZING, _quantize),
    **dict.fromkeys(("dequantize_per_tensor", "dequantize_per_channel", "dequantize_affine"), _dequantize),
    "t": _transpose,
    "as_strided_": _strides,
    "_softmax": _softmax,
    "cat": _concat,
    "constant_pad_nd": _pad,
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "native_layer_norm": _layer_norm,
    "embedding": embedding,
    "select": select,
    "slice": cut,
    **dict.fromkeys(("lstm", "gru"), recurrent),
}
