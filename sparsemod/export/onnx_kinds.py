"""One function per kind of operator: adds its nodes to a draft, and returns the name of the result.

Where the opset has no operator of that name, the formula stands here, in operators that it has.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from sparsemod.export.onnx_draft import Draft
from sparsemod.export.onnx_recurrent import recurrent
from sparsemod.graph import Operator
from sparsemod.graph.normalization import fraction_bits


def _convolution(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    options = operator.options
    if len(draft.graph.activations[operator.inputs[0]].shape) == 1:
        return _norm_of_vector(draft, name, operator, inputs)
    return draft.node(
        "Conv",
        [inputs[0], *_parameters(draft, name, operator)],
        f"{name}.result",
        strides=options["stride"],
        pads=(*options["padding"][0::2], *options["padding"][1::2]),
        dilations=options["dilation"],
        group=options["groups"][0],
    )


def _norm_of_vector(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """A batch norm alone, one factor and one offset per element: a convolution needs an axis to slide along."""
    assert operator.weight is not None and operator.bias is not None
    weight, bias = _parameters(draft, name, replace(operator, weight=operator.weight[:, 0]))
    return draft.node("Add", [draft.node("Mul", [inputs[0], weight], f"{name}.product"), bias], f"{name}.result")


def _linear(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    return draft.node("Gemm", [inputs[0], *_parameters(draft, name, operator)], f"{name}.result", transB=1)


def _parameters(draft: Draft, name: str, operator: Operator) -> list[str]:
    """Weight, and bias if there is one; its integers count products of one input step and one weight step."""
    assert operator.weight is not None
    scale = operator.weight_scale
    found = [draft.parameter(f"{name}.weight", operator.weight, scale)]
    if operator.bias is not None:
        product = None if scale is None else scale.double() * draft.graph.activations[operator.inputs[0]].scale
        found.append(draft.parameter(f"{name}.bias", operator.bias, product))
    return found


def _embedding(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    assert operator.weight is not None
    scale = None if operator.weight_scale is None else operator.weight_scale[0]
    table = draft.parameter(f"{name}.table", operator.weight, scale)
    ends = [
        draft.constant(f"{name}.{end}", torch.tensor(value))
        for end, value in (("low", 0.0), ("high", len(operator.weight) - 1.0))
    ]
    known = draft.node("Clip", [inputs[0], *ends], f"{name}.known")
    rows = draft.node("Cast", [known], f"{name}.rows", to=7)  # to int64
    return draft.node("Gather", [table, rows], f"{name}.result", axis=0)


def _layer_norm(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """From its parts: the operator of that name is of opset 17."""
    assert operator.weight is not None and operator.bias is not None
    shape, scale, step = operator.options["shape"], operator.weight_scale, partial(draft.step, name)
    axes = range(-len(shape), 0)
    centred = step("Sub", inputs[0], step("ReduceMean", inputs[0], axes=axes))
    variance = step("ReduceMean", step("Mul", centred, centred), axes=axes)
    result = step("Div", centred, step("Sqrt", step("Add", variance, *operator.arguments)))
    weight = draft.parameter(f"{name}.weight", operator.weight[:, 0], scale)
    unit = None if scale is None else scale.double() * 2.0 ** -fraction_bits(len(operator.weight))
    bias = draft.parameter(f"{name}.bias", operator.bias, unit)
    if len(shape) > 1:
        target = draft.constant(f"{name}.shape", torch.tensor(shape))
        weight, bias = step("Reshape", weight, target), step("Reshape", bias, target)
    return step("Add", step("Mul", result, weight), bias)


def _max_pool(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """Padding after is what the windows reach: PyTorch and ONNX count windows differently when they round up."""
    options = operator.options
    sizes, counts = (draft.graph.activations[p].shape[1:] for p in (operator.inputs[0], operator.output))
    geometry = zip(sizes, counts, *(options[key] for key in ("kernel", "stride", "padding", "dilation")), strict=True)
    after = [
        max((count - 1) * stride + (kernel - 1) * dilation + 1 - padding - size, 0)
        for size, count, kernel, stride, padding, dilation in geometry
    ]
    return draft.node(
        "MaxPool",
        inputs,
        f"{name}.result",
        kernel_shape=options["kernel"],
        strides=options["stride"],
        pads=(*options["padding"], *after),
        dilations=options["dilation"],
    )


def _avg_pool(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    kernel, stride = operator.options["kernel"], operator.options["stride"]
    return draft.node("AveragePool", inputs, f"{name}.result", kernel_shape=kernel, strides=stride)


def _same_name(kind: str, **attributes: int) -> "Kind":
    """A kind that is one ONNX operator on all inputs."""
    return lambda draft, name, operator, inputs: draft.node(kind, inputs, f"{name}.result", **attributes)


def _relu(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """Nothing but its bounds, which every operator may have."""
    return inputs[0]


def _reshape(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    shape = draft.graph.activations[operator.output].shape
    if len(shape) == 1:
        return draft.node("Flatten", inputs, f"{name}.result")
    target = draft.constant(f"{name}.shape", torch.tensor((0, *shape)))  # 0: the batch stays as it is
    return draft.node("Reshape", [inputs[0], target], f"{name}.result")


def _slice(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    axis, start, count = (operator.options[key][0] for key in ("axis", "start", "count"))
    ends = [
        draft.constant(f"{name}.{key}", torch.tensor([value]))
        for key, value in (("start", start), ("end", start + count), ("axis", axis + 1))
    ]
    return _reshape(draft, name, operator, [draft.node("Slice", [inputs[0], *ends], f"{name}.part")])


def _concat(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    axis = operator.options["axis"][0] + 1
    return draft.node("Concat", inputs, f"{name}.result", axis=axis)


def _pad(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    padding = operator.options["padding"]
    ends = draft.constant(f"{name}.pads", torch.tensor((0, 0, *padding[0::2], 0, 0, *padding[1::2])))
    return draft.node("Pad", [inputs[0], ends], f"{name}.result")


def _permute(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    order = (0, *(axis + 1 for axis in operator.options["axes"]))
    return draft.node("Transpose", inputs, f"{name}.result", perm=order)


def _upsample(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    scales = draft.constant(f"{name}.scales", torch.tensor((1.0, 1.0, *operator.options["factor"])))
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return draft.node("Resize", [inputs[0], "", scales], f"{name}.result", **how)


# --- functions of one element ----------------------------------------------------------------------------------------


def _function(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    return FUNCTIONS[operator.function](partial(draft.step, name), inputs[0], *operator.arguments)


Step = Callable[..., str]
"""`Draft.step` of one draft and name: adds an operator, and returns the name of its result."""


def _hardsigmoid(step: Step, x: str) -> str:
    return step("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _gelu(step: Step, x: str) -> str:
    """That is x / 2 * (1 + erf(x / sqrt 2))."""
    return _gate(step, x, step("Erf", step("Mul", x, math.sqrt(0.5))))


def _gelu_tanh(step: Step, x: str) -> str:
    """That is x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    cube = step("Mul", step("Mul", step("Mul", x, x), x), 0.044715)
    return _gate(step, x, step("Tanh", step("Mul", step("Add", x, cube), math.sqrt(2 / math.pi))))


def _gate(step: Step, x: str, share: str) -> str:
    return step("Mul", step("Mul", x, 0.5), step("Add", share, 1.0))


def _elu(step: Step, x: str, alpha: float = 1.0, gamma: float = 1.0) -> str:
    """A SELU is an ELU times gamma."""
    return step("Elu", x, alpha=alpha) if gamma == 1 else step("Selu", x, alpha=alpha, gamma=gamma)


FUNCTIONS: Mapping[str, Step] = {
    "sigmoid": lambda step, x: step("Sigmoid", x),
    "tanh": lambda step, x: step("Tanh", x),
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda step, x: step("Mul", x, _hardsigmoid(step, x)),
    "silu": lambda step, x: step("Mul", x, step("Sigmoid", x)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": lambda step, x, slope=0.01: step("LeakyRelu", x, alpha=slope),
    "elu": _elu,
}
"""Each takes a `Step`, the name of its input and `Operator.arguments`; the names are those of `graph.functions`."""

Kind = Callable[[Draft, str, Operator, Sequence[str]], str]
"""Takes a draft, a name for the operator, the operator, and the names of its inputs in real values."""

KINDS: Mapping[str, Kind] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "linear": _linear,
    "lstm": recurrent,
    "gru": recurrent,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "add": _same_name("Add"),
    "mul": _same_name("Mul"),
    "concat": _concat,
    "slice": _slice,
    "softmax": _same_name("Softmax", axis=-1),
    "relu": _relu,
    "reshape": _reshape,
    "function": _function,
    "pad": _pad,
    "permute": _permute,
    "upsample": _upsample,
}
"""What can be written."""
