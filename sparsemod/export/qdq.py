"""A `Graph` as a module of PyTorch in QDQ form, from which tools that read PyTorch make integer operators.

    input -> quantize -> (dequantize -> operator -> quantize)* -> dequantize -> output

Weights, scales and zero points are those of the network that was scored. It uses the operators of
`torch.ops.quantized_decomposed`, which ExecuTorch brings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import InputError
from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.normalization import fraction_bits

_INFINITY = float("inf")


class Qdq(nn.Module):
    """The network: real values (N, *input shape) to real values (N, *output shape).

    Args:
        graph: As `compress.quantize.lower` makes it, of any scheme.

    Raises:
        InputError: An operator is not known.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        require_known(graph)
        self.graph = graph
        self.layers = nn.ModuleList(Layer(graph, operator) for operator in graph.operators)

    def forward(self, x: Tensor) -> Tensor:
        """Each activation goes through its integers."""
        values = {0: through(x, self.graph.activations[0])}
        for operator, layer in zip(self.graph.operators, self.layers, strict=True):
            result = layer(*(values[position] for position in operator.inputs))
            values[operator.output] = through(result, self.graph.activations[operator.output])
        return values[self.graph.output]


def require_known(graph: Graph) -> None:
    """Raises InputError if there are operators that `KINDS` does not hold."""
    unknown = [f"{operator.name} ({operator.kind})" for operator in graph.operators if operator.kind not in KINDS]
    if unknown:
        raise InputError(f"operators that cannot be written: {', '.join(unknown)}")


def through(x: Tensor, activation: Activation, low: int = -128, high: int = 127) -> Tensor:
    """Real values as later operators see them: rounded to int8, and bounded, if the activation is kept so."""
    if activation.itemsize == 4:
        return x
    steps = (activation.scale, activation.zero_point, low, high, torch.int8)
    ops = torch.ops.quantized_decomposed
    result: Tensor = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *steps), *steps)
    return result


class Layer(nn.Module):
    """One operator in real values, with its weights as they are stored."""

    weight: Tensor | None
    scale: Tensor | None
    zero: Tensor | None
    bias: Tensor | None

    def __init__(self, graph: Graph, operator: Operator) -> None:
        super().__init__()
        self.operator, self.target = operator, graph.activations[operator.output]
        self.low, self.high = _bounds(operator, self.target)
        scale, unit = operator.weight_scale, 1.0
        if operator.kind == "layer_norm" and operator.weight is not None:
            unit = 2.0 ** -fraction_bits(len(operator.weight))
        elif operator.weight is not None:
            unit = graph.activations[operator.inputs[0]].scale
        self.register_buffer("weight", operator.weight)
        self.register_buffer("scale", None if scale is None else scale.float())
        self.register_buffer("zero", None if scale is None else torch.zeros_like(scale, dtype=torch.int64))
        bias = operator.bias
        real = bias if bias is None or scale is None else (bias.double() * scale.double() * unit).float()
        self.register_buffer("bias", real)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Real values in and out, bounded."""
        x = self.unbounded(*inputs)
        if (self.low, self.high) == (0, _INFINITY):
            return F.relu(x)
        return x if (self.low, self.high) == (-_INFINITY, _INFINITY) else F.hardtanh(x, self.low, self.high)

    def unbounded(self, *inputs: Tensor) -> Tensor:
        """What the operator computes, before its bounds."""
        weight = self.weight
        if self.scale is not None:
            dequantize = torch.ops.quantized_decomposed.dequantize_per_channel
            weight = dequantize(weight, self.scale, self.zero, 0, -127, 127, torch.int8)
        return KINDS[self.operator.kind](self.operator, self.target, inputs, weight, self.real_bias())

    def real_bias(self) -> Tensor | None:
        """In real units."""
        return self.bias


def _bounds(operator: Operator, to: Activation) -> tuple[float, float]:
    """In real units; those at the ends of int8 hold by themselves."""
    if operator.multiplier is None:
        return operator.low, operator.high
    low = (operator.low - to.zero_point) * to.scale if operator.low > -128 else -_INFINITY
    high = (operator.high - to.zero_point) * to.scale if operator.high < 127 else _INFINITY
    return low, high


# --- one function per kind -------------------------------------------------------------------------------------------

Inputs = Sequence[Tensor]
Kind = Callable[[Operator, Activation, Inputs, Tensor | None, Tensor | None], Tensor]
"""Takes the operator, what it writes, real inputs, and real weight and bias where it has them."""


def _convolution(
    operator: Operator, to: Activation, inputs: Inputs, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    assert weight is not None
    (x,), options = inputs, operator.options
    if x.dim() == 2:  # a batch norm alone, of a vector
        return x * weight[:, 0] + (0.0 if bias is None else bias)
    before, after = options["padding"][0::2], options["padding"][1::2]
    if before != after:
        x = F.pad(x, _reversed(options["padding"]))
        before = (0,) * len(before)
    convolution: Callable[..., Tensor] = (F.conv1d, F.conv2d)[len(before) - 1]
    return convolution(x, weight, bias, options["stride"], before, options["dilation"], options["groups"][0])


def _linear(operator: Operator, to: Activation, inputs: Inputs, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    return F.linear(inputs[0], weight, bias)


def _layer_norm(
    operator: Operator, to: Activation, inputs: Inputs, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    shape = operator.options["shape"]
    assert weight is not None and bias is not None
    return F.layer_norm(inputs[0], shape, weight.reshape(shape), bias.reshape(shape), *operator.arguments)


def _max_pool(operator: Operator, to: Activation, inputs: Inputs, *_: Any) -> Tensor:
    kernel, stride, padding, dilation = (operator.options[key] for key in ("kernel", "stride", "padding", "dilation"))
    return torch.max_pool2d(inputs[0], kernel, stride, padding, dilation, bool(operator.options["ceil"][0]))


def _avg_pool(operator: Operator, to: Activation, inputs: Inputs, *_: Any) -> Tensor:
    pool: Callable[..., Tensor] = (F.avg_pool1d, F.avg_pool2d)[len(operator.options["kernel"]) - 1]
    return pool(inputs[0], operator.options["kernel"], operator.options["stride"])


def _upsample(operator: Operator, to: Activation, inputs: Inputs, *_: Any) -> Tensor:
    return F.interpolate(inputs[0], size=to.shape[1:])


def _slice(operator: Operator, to: Activation, inputs: Inputs, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    axis, start, count = (operator.options[key][0] for key in ("axis", "start", "count"))
    return inputs[0].narrow(axis + 1, start, count).reshape(len(inputs[0]), *to.shape)


def _reversed(padding: Sequence[int]) -> list[int]:
    """Pads as `F.pad` takes them: those of the last axis first."""
    pairs = [padding[axis : axis + 2] for axis in range(0, len(padding), 2)]
    return [side for pair in reversed(pairs) for side in pair]


KINDS: Mapping[str, Kind] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "add": lambda operator, to, inputs, *_: inputs[0] + inputs[1],
    "mul": lambda operator, to, inputs, *_: inputs[0] * inputs[1],
    "concat": lambda operator, to, inputs, *_: torch.cat(list(inputs), operator.options["axis"][0] + 1),
    "softmax": lambda operator, to, inputs, *_: inputs[0].softmax(-1),
    "relu": lambda operator, to, inputs, *_: inputs[0],
    "reshape": lambda operator, to, inputs, *_: inputs[0].reshape(len(inputs[0]), *to.shape),
    "function": lambda operator, to, inputs, *_: FUNCTIONS[operator.function](inputs[0], *operator.arguments),
    "pad": lambda operator, to, inputs, *_: F.pad(inputs[0], _reversed(operator.options["padding"])),
    "permute": lambda operator, to, inputs, *_: inputs[0].permute(0, *(axis + 1 for axis in operator.options["axes"])),
    "slice": _slice,
    "upsample": _upsample,
}
"""What can be written."""
