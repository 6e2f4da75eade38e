"""One function per kind of operator: adds operators of LiteRT to a draft, and returns the result.

Linear layers are 1 x 1 convolutions, for which every runtime takes one scale per output; for FULLY_CONNECTED older ones
of TensorFlow Lite Micro take the first scale for all. A function of one element is a table here as in the exported C.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from sparsemod.errors import InputError
from sparsemod.export.tflite_draft import FIRST, LAST, Draft, Value, stored
from sparsemod.graph import Activation, Operator

Kind = Callable[[Draft, str, Operator, Sequence[Value]], Value]
"""Takes a draft, a name, the operator and its inputs."""


def written(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """The output of one operator, bounded."""
    result = KINDS[operator.kind](draft, name, operator, inputs)
    target = draft.graph.activations[operator.output]
    for kind, limit, end in (("MAXIMUM", operator.low, -128), ("MINIMUM", operator.high, 127)):
        if operator.multiplier is not None and limit != end and not _fused(operator, target):
            bound = draft.constant(f"{name}/{kind}", torch.tensor([limit]).to(torch.int8), steps=result.steps)
            output = draft.tensor(f"{name}/{kind.lower()}", result.shape, result.steps)
            result = draft.call(kind, [result, bound], output, "MaximumMinimumOptions")
    return result


def _fused(operator: Operator, target: Activation) -> bool:
    """Whether the bounds are those of a ReLU that the operator takes along."""
    return operator.kind in _FUSING and (operator.low, operator.high) == (target.zero_point, 127)


def _activation(draft: Draft, operator: Operator) -> int:
    kind = "RELU" if _fused(operator, draft.graph.activations[operator.output]) else "NONE"
    return int(getattr(draft.schema.ActivationFunctionType, kind))


def _new(draft: Draft, name: str, operator: Operator, shape: Sequence[int] | None = None) -> Value:
    """The output tensor of an operator."""
    target = draft.graph.activations[operator.output]
    return draft.tensor(name, stored(target) if shape is None else shape, (target.scale, target.zero_point))


def _convolution(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """Padded by an operator of its own, since LiteRT knows no numbers of zeros; H is 1 for signals and vectors."""
    assert operator.weight is not None
    (x,), options, axes = inputs, operator.options, operator.weight.dim() - 2
    weight = operator.weight.reshape(*operator.weight.shape[:2], *(1,) * (2 - axes), *operator.weight.shape[2:])
    stride, dilation = ((1,) * (2 - axes) + tuple(options.get(key, ())) for key in ("stride", "dilation"))
    pads = (0, 0) * (2 - axes) + tuple(options.get("padding", ()))
    x = draft.reshaped(f"{name}/input", x, (1,) * (4 - len(x.shape)) + x.shape)
    x = draft.padded(f"{name}/padded", x, pads[0::2], pads[1::2], x.steps[1])
    size = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(x.shape[1:], weight.shape[2:], dilation, stride, strict=False)
    ]
    output = _new(draft, name, operator, (1, *size, len(weight)))
    common = {
        "padding": draft.schema.Padding.VALID, "strideH": stride[0], "strideW": stride[1],
        "dilationHFactor": dilation[0], "dilationWFactor": dilation[1],
        "fusedActivationFunction": _activation(draft, operator),
    }  # fmt: skip
    if operator.kind == "depthwise":
        kernel = draft.constant(f"{name}/weight", weight[:, 0].permute(1, 2, 0)[None], operator.weight_scale, 3)
        multiple = len(weight) // x.shape[3]
        made = [x, kernel, _bias(draft, name, operator, x)]
        result = draft.call(
            "DEPTHWISE_CONV_2D", made, output, "DepthwiseConv2DOptions", depthMultiplier=multiple, **common
        )
    else:
        kernel = draft.constant(f"{name}/weight", weight.permute(0, 2, 3, 1), operator.weight_scale)
        result = draft.call("CONV_2D", [x, kernel, _bias(draft, name, operator, x)], output, "Conv2DOptions", **common)
    return draft.reshaped(f"{name}/output", result, stored(draft.graph.activations[operator.output]))


def _bias(draft: Draft, name: str, operator: Operator, x: Value) -> Value:
    assert operator.weight is not None and operator.weight_scale is not None
    bias = torch.zeros(len(operator.weight), dtype=torch.int32) if operator.bias is None else operator.bias.int()
    return draft.constant(f"{name}/bias", bias, operator.weight_scale.double() * x.steps[0])


def _max_pool(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """Padded with the smallest integer, as far as windows reach."""
    (x,), options = inputs, operator.options
    if set(options["dilation"]) != {1}:
        raise InputError(f"{name}: LiteRT has no max pooling with dilation {options['dilation']}")
    counts = draft.graph.activations[operator.output].shape[1:]
    before, kernel, stride = (
        (0,) * (2 - len(counts)) + tuple(options["padding"]),
        *(_two(options[key]) for key in ("kernel", "stride")),
    )
    after = [
        max((count - 1) * s + k - pad - size, 0)
        for count, s, k, pad, size in zip(_two(counts), stride, kernel, before, x.shape[1:], strict=False)
    ]
    x = draft.padded(f"{name}/padded", x, before, after, -128)
    return _pooled(draft, "MAX_POOL_2D", x, _new(draft, name, operator), kernel, stride)


def _avg_pool(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """A pool keeps the steps of its input; a mean over everything may change them, and else a convolution with ones."""
    (x,), output = inputs, _new(draft, name, operator)
    kernel, stride = _two(operator.options["kernel"]), _two(operator.options["stride"])
    if x.steps == output.steps:
        return _pooled(draft, "AVERAGE_POOL_2D", x, output, kernel, stride)
    if kernel == x.shape[1:3]:
        axes = draft.constant(f"{name}/axes", torch.tensor([1, 2], dtype=torch.int32))
        return draft.call("MEAN", [x, axes], output, "ReducerOptions", keepDims=True)
    ones = torch.ones(x.shape[3], 1, *kernel, dtype=torch.int8)
    scale = torch.full((x.shape[3],), 1 / math.prod(kernel))
    options = {"stride": stride, "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    pool = replace(operator, kind="depthwise", weight=ones, weight_scale=scale, bias=None, options=options)
    return _convolution(draft, name, pool, inputs)


def _pooled(draft: Draft, kind: str, x: Value, output: Value, kernel: Sequence[int], stride: Sequence[int]) -> Value:
    return draft.call(
        kind, [x], output, "Pool2DOptions", padding=draft.schema.Padding.VALID, strideH=stride[0], strideW=stride[1],
        filterHeight=kernel[0], filterWidth=kernel[1],
    )  # fmt: skip


def _two(sizes: Sequence[int]) -> tuple[int, ...]:
    """Of H and W, for signals too."""
    return (1,) * (2 - len(sizes)) + tuple(sizes)


def _sum(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    kind = {"add": "ADD", "mul": "MUL"}[operator.kind]
    options = {"add": "AddOptions", "mul": "MulOptions"}[operator.kind]
    output, activation = _new(draft, name, operator), _activation(draft, operator)
    return draft.call(kind, inputs, output, options, fusedActivationFunction=activation)


def _concat(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    output = _new(draft, name, operator)
    parts = [draft.rescaled(f"{name}/part_{place}", x, output.steps) for place, x in enumerate(inputs)]
    axis, rank = operator.options["axis"][0], len(draft.graph.activations[operator.output].shape)
    place = 3 - rank + axis if axis else len(output.shape) - 1
    return draft.call("CONCATENATION", parts, output, "ConcatenationOptions", axis=place)


def _relu(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """Nothing but its bounds, in other steps."""
    target = draft.graph.activations[operator.output]
    return draft.rescaled(name, inputs[0], (target.scale, target.zero_point))


def _softmax(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """Over the last axis, which is W of (1, H, W, C)."""
    (x,), swap = inputs, (0, 1, 3, 2)
    if len(x.shape) == 2:
        return draft.call("SOFTMAX", [x], _new(draft, name, operator), "SoftmaxOptions", beta=1.0)
    x = draft.transposed(f"{name}/input", x, swap)
    result = draft.call("SOFTMAX", [x], _new(draft, name, operator, x.shape), "SoftmaxOptions", beta=1.0)
    return draft.transposed(f"{name}/output", result, swap)


def _function(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    assert operator.table is not None
    (x,), output = inputs, _new(draft, name, operator)
    table = draft.constant(f"{name}/table", operator.table, steps=output.steps)
    wide = draft.call("CAST", [x], draft.tensor(f"{name}/wide", x.shape, x.steps, "INT32"), "CastOptions",
                      inDataType=draft.schema.TensorType.INT8, outDataType=draft.schema.TensorType.INT32)  # fmt: skip
    middle = draft.constant(f"{name}/middle", torch.tensor([128], dtype=torch.int32))
    place = draft.tensor(f"{name}/place", x.shape, x.steps, "INT32")
    return draft.call(
        "GATHER", [table, draft.call("ADD", [wide, middle], place, "AddOptions")], output, "GatherOptions"
    )


def _reshape(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    """In the order of the network, where channels are before the other axes."""
    (x,), target = inputs, draft.graph.activations[operator.output]
    x = x if len(x.shape) == 2 else draft.transposed(f"{name}/first", x, FIRST)
    if len(target.shape) == 1:
        return draft.reshaped(name, x, stored(target))
    shape = stored(target)
    return draft.transposed(name, draft.reshaped(f"{name}/shaped", x, [shape[axis] for axis in FIRST]), LAST)


def _permute(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    axes = operator.options["axes"]
    if len(axes) == 2:
        return draft.transposed(name, inputs[0], (0, 1, 3, 2) if axes == (1, 0) else (0, 1, 2, 3))
    order = (0, *(axis + 1 for axis in axes))
    return draft.transposed(name, inputs[0], [LAST.index(order[axis]) for axis in LAST])


def _pad(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    padding = operator.options["padding"]
    pads = (0,) * (4 - len(padding)) + tuple(padding)
    return draft.padded(name, inputs[0], pads[0::2], pads[1::2], inputs[0].steps[1])


def _upsample(draft: Draft, name: str, operator: Operator, inputs: Sequence[Value]) -> Value:
    output = _new(draft, name, operator)
    size = draft.constant(f"{name}/size", torch.tensor(output.shape[1:3], dtype=torch.int32))
    return draft.call("RESIZE_NEAREST_NEIGHBOR", [inputs[0], size], output, "ResizeNearestNeighborOptions")


_FUSING = ("conv", "depthwise", "linear", "add", "mul")
"""Kinds whose operator in LiteRT takes a ReLU along."""

KINDS: Mapping[str, Kind] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "linear": _convolution,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "add": _sum,
    "mul": _sum,
    "concat": _concat,
    "relu": _relu,
    "softmax": _softmax,
    "function": _function,
    "reshape": _reshape,
    "permute": _permute,
    "pad": _pad,
    "upsample": _upsample,
}
"""What can be written."""
