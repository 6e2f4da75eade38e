"""Executes a `Graph`, batched: integer operators in exact integer arithmetic, float operators in float32.

Integers travel as whole numbers in float32, because convolutions are fast there. A sum of products is exact in
float32 as long as it stays below 2^24; where the weights allow more, that operator runs in float64.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from sparsemod.graph.network import Activation, Graph, Operator

_BATCH = 128
_EXACT_FLOAT32 = 2**24
_WEIGHTED = ("conv", "depthwise", "linear")


@torch.no_grad()
def run(graph: Graph, x: Tensor) -> Tensor:
    """The network's output for real-valued inputs.

    Args:
        graph: A lowered graph, or a traced one that has its float weights.
        x: Inputs, (N, *input shape), float32.

    Returns:
        Outputs in real units, (N, *output shape); of an integer graph whole steps of the output's scale.
    """
    steps = [(operator, _prepared(graph, operator)) for operator in graph.operators]
    last_use = {position: step for step, (operator, _) in enumerate(steps) for position in operator.inputs}
    return torch.cat([_run_batch(graph, steps, last_use, part) for part in x.split(_BATCH)]) if len(x) else x.new_empty(0)


def _run_batch(graph: Graph, steps: list[tuple[Operator, Tensor]], last_use: dict[int, int], x: Tensor) -> Tensor:
    values = {0: _quantize(x, graph.activations[0])}
    for step, (operator, weight) in enumerate(steps):
        inputs = [(values[position], graph.activations[position]) for position in operator.inputs]
        values[operator.output] = _apply(operator, weight, inputs, graph.activations[operator.output])
        for position in operator.inputs:
            if last_use[position] == step and position != graph.output:
                values.pop(position, None)
    return _real(values[graph.output], graph.activations[graph.output])


def _apply(operator: Operator, weight: Tensor, inputs: list[tuple[Tensor, Activation]], to: Activation) -> Tensor:
    if operator.kind == "reshape":
        return inputs[0][0].flatten(1).reshape(-1, *to.shape)
    if operator.kind == "max_pool":
        return _max_pool(operator, *inputs[0])
    if operator.multiplier is None:
        reals = [_real(value, activation) for value, activation in inputs]
        result = _sum_of_products(operator, weight, reals)
        if operator.bias is not None:
            result = result + _per_channel(operator.bias, result)
        return _quantize(result.clamp(operator.low, operator.high), to)
    return _integer(operator, weight, [value - activation.zero_point for value, activation in inputs], to)


def _integer(operator: Operator, weight: Tensor, inputs: list[Tensor], to: Activation) -> Tensor:
    """The formula of `network`, on inputs that already have their zero point taken off."""
    assert operator.multiplier is not None and operator.shift is not None
    factor = operator.multiplier.double() * torch.pow(2.0, -operator.shift.double())
    if operator.kind == "add":
        result = inputs[0].double() * factor[0] + inputs[1].double() * factor[1]
    else:
        result = _sum_of_products(operator, weight, [value.to(weight.dtype) for value in inputs]).double()
        if operator.bias is not None:
            result += _per_channel(operator.bias, result)
        result *= _per_channel(factor, result)
    return result.add_(to.zero_point + 0.5).floor_().clamp_(operator.low, operator.high).float()


def _sum_of_products(operator: Operator, weight: Tensor, inputs: list[Tensor]) -> Tensor:
    options, x = operator.options, inputs[0]
    match operator.kind:
        case "conv" | "depthwise":
            padding = options["padding"]
            before, after = padding[0::2], padding[1::2]
            if before != after:
                x = F.pad(x, [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair])
                before = (0,) * len(before)
            shape = (options["stride"], before, options["dilation"], False, (0,) * len(before), options["groups"][0])
            return torch.convolution(x, weight, None, *shape)
        case "linear":
            return F.linear(x, weight)
        case "avg_pool":
            total = F.avg_pool2d(x, options["kernel"], options["stride"], divisor_override=1)
            return total if operator.multiplier is not None else total / (options["kernel"][0] * options["kernel"][1])
        case "add":
            return inputs[0] + inputs[1]
        case "relu":
            return x
        case kind:
            raise AssertionError(f"the executor has no operator {kind!r}")


def _max_pool(operator: Operator, x: Tensor, activation: Activation) -> Tensor:
    """Padding never wins, so it may be any value that no input is below."""
    options = operator.options
    return F.max_pool2d(x, options["kernel"], options["stride"], options["padding"], options["dilation"],
                        ceil_mode=bool(options["ceil"][0]))  # fmt: skip


def _prepared(graph: Graph, operator: Operator) -> Tensor:
    """The weight in the type in which it is multiplied: float32 if every sum is exact there, else float64."""
    if operator.kind not in _WEIGHTED:
        return torch.empty(0)
    assert operator.weight is not None, "run needs a graph with values: lower it first"
    if operator.multiplier is None:
        if operator.weight_scale is None:
            return operator.weight
        return operator.weight.float() * _per_row(operator.weight_scale, operator.weight)
    source = graph.activations[operator.inputs[0]]
    largest = max(127 - source.zero_point, 128 + source.zero_point)
    bound = operator.weight.double().abs().flatten(1).sum(1).max().item() * largest
    return operator.weight.to(torch.float32 if bound < _EXACT_FLOAT32 else torch.float64)


def _quantize(x: Tensor, to: Activation) -> Tensor:
    if to.itemsize == 4:
        return x
    return (x / to.scale + 0.5).floor_().add_(to.zero_point).clamp_(-128, 127)


def _real(x: Tensor, activation: Activation) -> Tensor:
    return x if activation.itemsize == 4 else (x - activation.zero_point) * activation.scale


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """(C,) shaped to multiply (N, C, ...)."""
    return values.reshape(1, -1, *[1] * (like.dim() - 2))


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """(O,) shaped to multiply (O, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))

