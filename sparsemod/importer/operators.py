"""One function per operator of ONNX: the layer that computes it with PyTorch's own operators.

They are chosen so that the trace sees what it would see of the module that a file was exported from. What has no entry
in `OPERATORS` is refused.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sparsemod.importer.node import Layer, Node

Build = Callable[..., Layer]
"""Takes a node and a first value of each of its activations, for their shapes."""


def _conv(node: Node, x: Tensor) -> Layer:
    weight, bias = node.tensor(1), node.tensor(2)
    if weight is None or weight.dim() not in (3, 4):
        raise node.refused("a convolution is read over one or two axes")
    axes = weight.dim() - 2
    stride, dilation = _per_axis(node, "strides", axes), _per_axis(node, "dilations", axes)
    before, after = _pads(node, x.shape[2:], weight.shape[2:], stride, dilation)
    convolution = (F.conv1d, F.conv2d)[axes - 1]
    groups = int(node.attributes.get("group", 1))

    def compute(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if before == after:
            return convolution(x, weight, bias, stride, before, dilation, groups)
        return convolution(F.pad(x, _reversed(before, after)), weight, bias, stride, 0, dilation, groups)

    return Layer(compute, weight, bias)


def _gemm(node: Node, x: Tensor) -> Layer:
    """A linear layer; MatMul is one without a bias."""
    weight, bias = node.tensor(1), node.tensor(2)
    if weight is None or weight.dim() != 2 or node.attributes.get("transA"):
        raise node.refused("a matrix product is read as a linear layer, of an activation and a matrix of weights")
    weight = weight if node.attributes.get("transB") else weight.T
    if bias is not None:
        bias = (bias * node.attributes.get("beta", 1.0)).flatten().expand(len(weight)).clone()
    return Layer(F.linear, weight * node.attributes.get("alpha", 1.0), bias)


def _batch_norm(node: Node, x: Tensor) -> Layer:
    mean, variance, eps = node.tensor(3), node.tensor(4), float(node.attributes.get("epsilon", 1e-5))
    return Layer(
        lambda x, weight, bias: F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps),
        node.tensor(1), node.tensor(2),
    )  # fmt: skip


def _layer_norm(node: Node, x: Tensor) -> Layer:
    shape, eps = x.shape[int(node.attributes.get("axis", -1)) % x.dim() :], float(node.attributes.get("epsilon", 1e-5))
    weight, bias = node.tensor(1), node.tensor(2)
    if weight is None:
        return Layer(lambda x: F.layer_norm(x, shape, None, None, eps))
    if weight.numel() != shape.numel() or (bias is not None and bias.numel() != shape.numel()):
        raise node.refused("its weight and bias must have one value for each element that is normalized together")
    bias = None if bias is None else bias.reshape(shape)
    return Layer(lambda x, weight, bias: F.layer_norm(x, shape, weight, bias, eps), weight.reshape(shape), bias)


def _affine(node: Node, x: Tensor) -> Layer:
    """A factor and an offset per channel, which `formulas` makes: a batch norm of mean zero and variance one."""
    weight, bias = _per_channel(node, 1, x, 1.0), _per_channel(node, 2, x, 0.0)
    mean, variance = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    return Layer(lambda x, weight, bias: F.batch_norm(x, mean, variance, weight, bias, False, 0.0, 0.0), weight, bias)


def _per_channel(node: Node, place: int, x: Tensor, default: float) -> Tensor:
    values = node.tensor(place)
    values = torch.full((1,), default) if values is None else values
    if values.numel() == 1:
        return values.flatten().expand(x.shape[1]).clone()
    like = [1] * (x.dim() - values.dim()) + list(values.shape)
    if len(like) != x.dim() or like[1] != values.numel() or like[1] != x.shape[1]:
        raise node.refused(f"a constant of shape {tuple(values.shape)}; read are one value, or one for each channel")
    return values.flatten()


# --- pooling and shapes ----------------------------------------------------------------------------------------------


def _max_pool(node: Node, x: Tensor) -> Layer:
    """PyTorch pads both ends alike, and lets windows reach beyond with `ceil`: the same ones, where the counts are."""
    kernel = [int(size) for size in node.attributes["kernel_shape"]]
    axes = len(kernel)
    if axes not in (1, 2):
        raise node.refused("pooling is read over one or two axes")
    stride, dilation = _per_axis(node, "strides", axes), _per_axis(node, "dilations", axes)
    before, after = _pads(node, x.shape[2:], kernel, stride, dilation)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    room = [size + one + other for size, one, other in zip(x.shape[2:], before, after, strict=True)]
    up = bool(node.attributes.get("ceil_mode", 0))
    wanted = [(size - window + up * (s - 1)) // s + 1 for size, window, s in zip(room, reach, stride, strict=True)]
    pool = (F.max_pool1d, F.max_pool2d)[axes - 1]
    options = (kernel, stride, before, dilation)
    if all(2 * side <= size for side, size in zip(before, kernel, strict=True)):
        if list(pool(x, *options).shape[2:]) == wanted:
            return Layer(lambda x: pool(x, *options))
        if list(pool(x, *options, ceil_mode=True).shape[2:]) == wanted:
            return Layer(lambda x: pool(x, *options, ceil_mode=True))
    raise node.refused(f"padding of {before} before and {after} after, which no pooling of PyTorch has")


def _average_pool(node: Node, x: Tensor) -> Layer:
    kernel = [int(size) for size in node.attributes["kernel_shape"]]
    if len(kernel) not in (1, 2):
        raise node.refused("pooling is read over one or two axes")
    stride = _per_axis(node, "strides", len(kernel))
    before, after = _pads(node, x.shape[2:], kernel, stride, [1] * len(kernel))
    if any(before) or any(after) or node.attributes.get("ceil_mode"):
        raise node.refused("average pooling is read without padding and ceil mode")
    pool = (F.avg_pool1d, F.avg_pool2d)[len(kernel) - 1]
    return Layer(lambda x: pool(x, kernel, stride))


def _global_average(node: Node, x: Tensor) -> Layer:
    return Layer(lambda x: F.adaptive_avg_pool1d(x, 1) if x.dim() == 3 else F.adaptive_avg_pool2d(x, 1))


def _mean(node: Node, x: Tensor) -> Layer:
    axes, keep = node.integers(1, "axes"), bool(node.attributes.get("keepdims", 1))
    if axes is None:
        raise node.refused("a mean over all axes takes the batch too")
    return Layer(lambda x: x.mean(axes, keepdim=keep))


def _reshape(node: Node, x: Tensor) -> Layer:
    """To the shape of one sample; a batch that the file fixes is open again."""
    shape = node.integers(1, "shape")
    if shape is None:
        raise node.refused("its shape is computed from the input of the network")
    sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(shape)]
    rest = sizes[1:]
    if -1 in rest:
        known = -torch.Size(rest).numel()
        rest[rest.index(-1)] = x[0].numel() // max(known, 1)
    if torch.Size(rest).numel() != x[0].numel():
        raise node.refused(f"the shape {shape} does not keep the batch as the first of the axes")
    return Layer(lambda x: x.reshape(len(x), *rest))


def _flatten(node: Node, x: Tensor) -> Layer:
    if int(node.attributes.get("axis", 1)) % x.dim() != 1:
        raise node.refused("flattening is read from the first axis after the batch")
    return Layer(lambda x: x.flatten(1))


def _squeeze(node: Node, x: Tensor) -> Layer:
    axes = node.integers(1, "axes") or [axis for axis, size in enumerate(x.shape) if axis and size == 1]
    gone = {axis % x.dim() for axis in axes}
    shape = [size for axis, size in enumerate(x.shape) if axis and axis not in gone]
    return Layer(lambda x: x.reshape(len(x), *shape))


def _unsqueeze(node: Node, x: Tensor) -> Layer:
    axes = node.integers(1, "axes") or []
    shape = list(x.shape)
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return Layer(lambda x: x.reshape(len(x), *shape[1:]))


def _transpose(node: Node, x: Tensor) -> Layer:
    order = node.attributes.get("perm", range(x.dim())[::-1])
    return Layer(lambda x: x.permute(*order))


def _pad(node: Node, x: Tensor) -> Layer:
    """As PyTorch lists it: of the last axis first. The trace refuses what it cannot cost."""
    pads, fill = node.integers(1, "pads"), _number(node, 2, "value", 0.0)
    if pads is None or len(pads) != 2 * x.dim() or node.attributes.get("mode", b"constant") != b"constant":
        raise node.refused("padding is read with a constant, along all axes")
    before, after = pads[: x.dim()], pads[x.dim() :]
    if any(before[:2]) or any(after[:2]):
        raise node.refused("padding of the batch or the channels is not read")
    return Layer(lambda x: F.pad(x, _reversed(before[2:], after[2:]), value=fill))


def _resize(node: Node, x: Tensor) -> Layer:
    how = (node.attributes.get("coordinate_transformation_mode", b"half_pixel"),
           node.attributes.get("nearest_mode", b"round_prefer_floor"))  # fmt: skip
    nearest = [(b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor")]
    if node.attributes.get("mode", b"nearest") != b"nearest" or (node.kind == "Resize" and how not in nearest):
        raise node.refused(
            "resizing is read to the nearest, asymmetric with floor or half_pixel with round_prefer_floor"
        )
    place = 1 if node.kind == "Upsample" else 2
    scales = node.tensor(place) if node.constants.get(place) is not None and node.constants[place].size else None
    sizes = (
        node.integers(3, "sizes")
        if scales is None
        else [round(n * float(s)) for n, s in zip(x.shape, scales, strict=True)]
    )
    if sizes is None or sizes[1] != x.shape[1]:
        raise node.refused("resizing is read by constant scales or sizes of the spatial axes")
    return Layer(lambda x: F.interpolate(x, size=tuple(sizes[2:])))


def _softmax(node: Node, x: Tensor) -> Layer:
    axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1)) % x.dim()
    if node.opset < 13 and axis != x.dim() - 1:
        raise node.refused("before opset 13 this flattens the axes from `axis` on; read is the last axis")
    return Layer(lambda x: x.softmax(axis))


# --- functions of elements -------------------------------------------------------------------------------------------


def _clip(node: Node, x: Tensor) -> Layer:
    """Bounds are inputs, or attributes before opset 11."""
    low, high = _number(node, 1, "min", -float("inf")), _number(node, 2, "max", float("inf"))
    return Layer(F.relu if (low, high) == (0, float("inf")) else lambda x: F.hardtanh(x, low, high))


def _number(node: Node, place: int, attribute: str, default: float) -> float:
    value = node.tensor(place)
    return float(node.attributes.get(attribute, default)) if value is None else float(value)


def _hardsigmoid(node: Node, x: Tensor) -> Layer:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if abs(alpha - 1 / 6) > 1e-6 or beta != 0.5:
        raise node.refused(f"alpha {alpha:.4g} and beta {beta:.4g}; that of PyTorch has 1/6 and 0.5")
    return Layer(F.hardsigmoid)


def _elu(node: Node, x: Tensor) -> Layer:
    alpha, gamma = (1.0, 1.0) if node.kind == "Elu" else (1.6732632423543772, 1.0507009873554805)
    alpha, gamma = float(node.attributes.get("alpha", alpha)), float(node.attributes.get("gamma", gamma))
    return Layer(lambda x: torch.ops.aten.elu(x, alpha, gamma))


def _leaky_relu(node: Node, x: Tensor) -> Layer:
    slope = float(node.attributes.get("alpha", 0.01))
    return Layer(lambda x: F.leaky_relu(x, slope))


def _gelu(node: Node, x: Tensor) -> Layer:
    how = node.attributes.get("approximate", b"none").decode()
    return Layer(lambda x: F.gelu(x, approximate=how))


def _concat(node: Node, *parts: Tensor) -> Layer:
    if node.constants:
        raise node.refused("a concatenation with a constant is not read")
    axis = int(node.attributes["axis"])
    return Layer(lambda *parts: torch.cat(parts, axis))


def _binary(function: Callable[..., Tensor]) -> Build:
    """Of two activations; `formulas` has taken away those with a constant that are read."""

    def build(node: Node, *inputs: Tensor) -> Layer:
        if len(inputs) != 2:
            raise node.refused("is read between two activations, or with one constant per channel")
        return Layer(function)

    return build


def _unary(function: Callable[..., Tensor]) -> Build:
    return lambda node, x: Layer(function)


OPERATORS: Mapping[str, Build] = {
    "Add": _binary(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _unary(lambda x: x),
    "ChannelAffine": _affine,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _unary(lambda x: x),
    "Elu": _elu,
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hardsigmoid,
    "HardSwish": _unary(F.hardswish),
    "Identity": _unary(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _gemm,
    "MaxPool": _max_pool,
    "Mul": _binary(torch.mul),
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": _unary(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": _elu,
    "Sigmoid": _unary(torch.sigmoid),
    "Silu": _unary(F.silu),
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Tanh": _unary(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
"""What can be read. ChannelAffine and Silu are not of ONNX: `formulas` makes them."""

JOINING = ("Add", "Concat", "Mul")
"""Those that take several activations."""


def _per_axis(node: Node, name: str, axes: int) -> list[int]:
    return [int(value) for value in node.attributes.get(name, [1] * axes)]


def _pads(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Before and after each axis; SAME makes the output the input divided by the stride, rounded up."""
    automatic, axes = node.attributes.get("auto_pad", b"NOTSET"), len(kernel)
    if automatic in (b"NOTSET", b"VALID"):
        pads = [int(side) for side in node.attributes.get("pads", [0] * 2 * axes)]
        return (pads[:axes], pads[axes:]) if automatic == b"NOTSET" else ([0] * axes, [0] * axes)
    total = [
        max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    less, more = [size // 2 for size in total], [size - size // 2 for size in total]
    return (less, more) if automatic == b"SAME_UPPER" else (more, less)


def _reversed(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Pads as `F.pad` takes them."""
    return [side for pair in zip(before[::-1], after[::-1], strict=True) for side in pair]
