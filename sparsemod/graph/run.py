"""Executes a `Graph`, batched: integer operators in exact integer arithmetic, float operators in float32.

Integers travel without their zero point, as whole numbers in float32, because convolutions are fast there. A sum of
products is exact in float32 as long as it stays below 2^24; where the weights allow more, that operator runs in
float64. So does requantization: whatever is not clamped is below 2^9 and a multiple of 2^-44, which float64 holds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from sparsemod.graph.assembly import SHARING
from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.network import Activation, Graph, Operator
from sparsemod.graph.normalization import normalization, normalized
from sparsemod.graph.recurrence import GATES, Cell, real_steps

_BATCH = 64
_EXACT_FLOAT32 = 2**24


@torch.no_grad()
def run(graph: Graph, x: Tensor) -> Tensor:
    """The network's output for real-valued inputs.

    Args:
        graph: A lowered graph, or one traced with the scheme `none` from a module that has values.
        x: Inputs, (N, *input_shape), float32, or whole numbers for an embedding. A network of one step gets whole
            sequences, too, of any length: step after step, from states of zero on.

    Returns:
        Outputs in real units, (N, *output shape), of a sequence after its last step; of an integer graph whole steps
        of the output's scale.
    """
    steps = [_step(graph, operator) for operator in graph.operators]
    last_use = {position: step for step, operator in enumerate(graph.operators) for position in operator.inputs}
    with torch.backends.nnpack.flags(enabled=False):  # its Winograd convolutions round
        ends = [_run_batch(graph, steps, last_use, part)[graph.output] for part in x.split(_BATCH)]
    return _real(torch.cat(ends), graph.activations[graph.output])


@torch.no_grad()
def activations(graph: Graph, x: Tensor) -> dict[int, Tensor]:
    """Everything that flows through the network for real-valued inputs, as it is kept.

    Args:
        graph: As for `run`.
        x: Inputs, (N, *input_shape), float32; all of them are processed at once.

    Returns:
        By position in `graph.activations`: integers with their zero point in int8, or real values in float32; each
        (N, *shape). Of a network of one step what flows at the last one.
    """
    steps = [_step(graph, operator) for operator in graph.operators]
    with torch.backends.nnpack.flags(enabled=False):
        values = _run_batch(graph, steps, {}, x)
    return {position: _kept(value, graph.activations[position]) for position, value in values.items()}


@dataclass(frozen=True, eq=False)
class _Step:
    """An operator with its constants in the form in which they are used.

    Attributes:
        weight: Integers, in float64 unless all sums are exact in float32; real values if the operator is float.
        factor: The real numbers that multiplier and shift stand for: one per input of an addition, else shaped like
            an output. None if the operator is float.
        offset: Bias times factor, plus a half so that rounding down rounds to nearest; plain bias if the operator is
            float.
    """

    operator: Operator
    inputs: Sequence[Activation]
    output: Activation
    weight: Tensor
    factor: Tensor | None
    offset: Tensor | float


def _step(graph: Graph, operator: Operator) -> _Step:
    inputs, output = [graph.activations[position] for position in operator.inputs], graph.activations[operator.output]
    weight = torch.empty(0) if operator.weight is None else operator.weight
    assert not weight.is_meta, "run needs a graph with values: lower it first"
    if operator.kind in GATES or operator.kind == "embedding":
        return _Step(operator, inputs, output, _real_weight(operator, weight), None, 0.0)
    bias = 0.0 if operator.bias is None else _per_output(operator, operator.bias, output)
    if operator.multiplier is None or operator.shift is None:
        if operator.weight_scale is not None:
            weight = weight * operator.weight_scale.reshape(-1, *[1] * (weight.dim() - 1))
        return _Step(operator, inputs, output, _channels_last(weight), None, bias)
    factor = operator.multiplier * torch.pow(2.0, -operator.shift.double())
    factor = factor if operator.kind in ("add", "concat") else _per_output(operator, factor, output)
    weight = _channels_last(weight.to(_exact_type(operator, weight, inputs[0])))
    return _Step(operator, inputs, output, weight, factor, 0.5 if operator.bias is None else bias * factor + 0.5)


def _real_weight(operator: Operator, weight: Tensor) -> Tensor:
    """Weights of a recurrent layer or an embedding; in real numbers if they only are stored as integers."""
    if operator.weight_scale is None or operator.multiplier is not None or operator.kind == "embedding":
        return weight
    features = weight.shape[1] - operator.options["units"][0]
    of_input, of_state = operator.weight_scale.unbind(1)
    return torch.cat([weight[:, :features] * of_input[:, None], weight[:, features:] * of_state[:, None]], 1)


def _exact_type(operator: Operator, weight: Tensor, source: Activation) -> torch.dtype:
    """Float32 if it holds every sum of products, whatever the input."""
    sums = weight.double().abs().flatten(1).sum(1) if len(weight) else torch.ones(1)
    terms = 1
    for size in operator.options.get("kernel", ()):
        terms *= size
    largest = max(127 - source.zero_point, 128 + source.zero_point)
    return torch.float32 if sums.max().item() * terms * largest < _EXACT_FLOAT32 else torch.float64


def _run_batch(graph: Graph, steps: Sequence[_Step], last_use: Mapping[int, int], x: Tensor) -> dict[int, Tensor]:
    """The activations, by position; those with a step of last use are gone after it.

    A network of one step runs for each, and what its recurrent operators keep goes from one to the next.
    """
    values: dict[int, Tensor] = {}
    kept: dict[int, Tensor] = {}
    for given in x.split(1, 1) if graph.steps else [x]:
        values = {0: _quantize(_channels_last(given), graph.activations[0])}
        for number, step in enumerate(steps):
            inputs, output = [values[position] for position in step.operator.inputs], step.operator.output
            if step.operator.kind in GATES:
                values[output], kept[number] = _recurrent(step, inputs[0], kept.get(number))
            else:
                values[output] = _apply(step, inputs)
            for position in step.operator.inputs:
                if last_use.get(position) == number and position != graph.output:
                    values.pop(position, None)
    return values


def _apply(step: _Step, inputs: list[Tensor]) -> Tensor:
    operator, to = step.operator, step.output
    if operator.kind in SHARING:
        return _moved(operator, inputs[0], to.shape)
    if operator.table is not None:
        return _looked_up(operator.kind, operator.table, inputs[0], step.inputs[0], to)
    if operator.kind == "embedding":
        rows = step.weight[inputs[0].long().clamp(0, len(step.weight) - 1)]
        return _quantize(rows, to) if rows.is_floating_point() else rows.float()
    if step.factor is not None:
        return _integer(step, step.factor, inputs)
    reals = [_real(value, activation) for value, activation in zip(inputs, step.inputs, strict=True)]
    return _quantize((_float(step, reals) + step.offset).clamp_(operator.low, operator.high), to)


def _float(step: _Step, inputs: list[Tensor]) -> Tensor:
    operator = step.operator
    match operator.kind:
        case "add":
            return inputs[0] + inputs[1]
        case "mul":
            return inputs[0] * inputs[1]
        case "concat":
            return torch.cat(inputs, 1 + operator.options["axis"][0])
        case "softmax":
            return inputs[0].softmax(-1)
        case "function":
            return FUNCTIONS[operator.function](inputs[0], *operator.arguments)
        case "layer_norm":
            shape = operator.options["shape"]
            return F.layer_norm(inputs[0], shape, step.weight.reshape(shape), None, *operator.arguments)
        case "avg_pool":
            return _sum_of_products(operator, step.weight, inputs[0]) / math.prod(operator.options["kernel"])
        case _:
            return _sum_of_products(operator, step.weight, inputs[0])


def _integer(step: _Step, factor: Tensor, inputs: list[Tensor]) -> Tensor:
    """The formula of `network`, without the zero points."""
    match step.operator.kind:
        case "layer_norm":
            (eps,), shape = step.operator.arguments, step.operator.options["shape"]
            constants = normalization(math.prod(shape), eps, step.inputs[0].scale)
            result = normalized(inputs[0], len(shape), constants).mul_(step.weight.reshape(shape)).mul_(factor)
        case "add":
            result = inputs[0].double().mul_(factor[0]).add_(inputs[1].double().mul_(factor[1]))
        case "concat":
            axis = 1 + step.operator.options["axis"][0]
            result = torch.cat([x.double().mul_(one) for x, one in zip(inputs, factor, strict=True)], axis)
        case "mul":
            result = (inputs[0] * inputs[1]).double().mul_(factor)
        case _:
            x = inputs[0].to(step.weight.dtype)
            result = _sum_of_products(step.operator, step.weight, x).double().mul_(factor)
    zero = step.output.zero_point
    return result.add_(step.offset).floor_().float().clamp_(step.operator.low - zero, step.operator.high - zero)


def _recurrent(step: _Step, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """States of all steps or of the last one, by the formulas of `recurrence`; and what is kept, from what was."""
    operator, weight = step.operator, step.weight
    units, reverse, last = (operator.options[key][0] for key in ("units", "reverse", "last"))
    if operator.multiplier is None or operator.shift is None:
        x = _real(x, step.inputs[0])
        real, kept = real_steps(operator.kind, units, x, weight, operator.bias, bool(reverse), before)
        steps = _quantize(real, step.output)
    else:
        of_input, of_state = weight[:, : x.shape[-1]].double(), weight[:, x.shape[-1] :].double()
        cell = Cell(operator.kind, units, of_input, of_state, operator.bias, operator.multiplier, operator.shift)
        steps, kept = cell.all_steps(x, bool(reverse), before)
    return steps[:, 0 if reverse else -1] if last else steps, kept


def _looked_up(kind: str, table: Tensor, x: Tensor, source: Activation, to: Activation) -> Tensor:
    """A function by its table, or a softmax by that of its exponentials."""
    if kind == "function":
        return table[(x + (source.zero_point + 128)).long()].float() - to.zero_point
    terms = table[(x.amax(-1, keepdim=True) - x).long()].long()
    total = terms.sum(-1, keepdim=True)
    return torch.div(512 * terms + total, 2 * total, rounding_mode="floor").clamp_(max=255).float()


def _sum_of_products(operator: Operator, weight: Tensor, x: Tensor) -> Tensor:
    options = operator.options
    match operator.kind:
        case "depthwise" if x.dim() == 2:
            return x * weight[:, 0]
        case "conv" | "depthwise":
            before, after = options["padding"][0::2], options["padding"][1::2]
            if before != after:
                x = F.pad(x, [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair])
                before = (0,) * len(before)
            shape = (options["stride"], before, options["dilation"], False, (0,) * len(before), options["groups"][0])
            return torch.convolution(x, weight, None, *shape)
        case "linear":
            return F.linear(x, weight)
        case "avg_pool" if len(options["kernel"]) == 1:
            return F.avg_pool2d(x[:, :, None], (1, *options["kernel"]), (1, *options["stride"]), divisor_override=1)[
                :, :, 0
            ]
        case "avg_pool":
            return F.avg_pool2d(x, options["kernel"], options["stride"], divisor_override=1)
        case "relu":
            return x
        case kind:
            raise AssertionError(f"the executor has no operator {kind!r}")


def _moved(operator: Operator, x: Tensor, shape: Sequence[int]) -> Tensor:
    """Operators that hand on numbers without computing new ones."""
    options = operator.options
    match operator.kind:
        case "max_pool":
            return _max_pool(operator, x, shape[1:])
        case "pad":
            pairs = [options["padding"][axis : axis + 2] for axis in range(0, len(options["padding"]), 2)]
            return F.pad(x, [side for pair in reversed(pairs) for side in pair])
        case "slice":
            part = x.narrow(1 + options["axis"][0], options["start"][0], options["count"][0])
            return part.reshape(len(x), *shape)
        case "permute":
            return x.permute(0, *(axis + 1 for axis in options["axes"])).contiguous()
        case "upsample":
            for axis, factor in enumerate(options["factor"], start=2):
                x = x.repeat_interleave(factor, axis)
            return x
        case _:
            return x.reshape(len(x), *shape)


def _max_pool(operator: Operator, x: Tensor, counts: Sequence[int]) -> Tensor:
    """Largest of shifted views, axis by axis: `F.max_pool2d` also finds indices and takes ten times as long."""
    names = ("kernel", "stride", "padding", "dilation")
    geometry = list(zip(counts, *(operator.options[name] for name in names), strict=True))
    pads: list[int] = []
    for size, (count, kernel, stride, padding, dilation) in zip(x.shape[2:], geometry, strict=True):
        reach = (count - 1) * stride + (kernel - 1) * dilation + 1
        pads = [padding, max(reach - padding - size, 0), *pads]
    if any(pads):
        x = F.pad(x, pads, value=-float("inf"))
    for axis, (count, kernel, stride, _, dilation) in enumerate(geometry, start=2):
        every = (slice(None),) * axis + (slice(None, None, stride),)
        views = [x.narrow(axis, start * dilation, (count - 1) * stride + 1)[every] for start in range(kernel)]
        x = reduce(torch.maximum, views)
    return x


def _quantize(x: Tensor, to: Activation) -> Tensor:
    if to.itemsize == 4:
        return x
    return (x / to.scale).add_(0.5).floor_().clamp_(-128 - to.zero_point, 127 - to.zero_point)


def _real(x: Tensor, activation: Activation) -> Tensor:
    return x if activation.itemsize == 4 else x * activation.scale


def _kept(x: Tensor, activation: Activation) -> Tensor:
    return x if activation.itemsize == 4 else (x + activation.zero_point).to(torch.int8)


def _per_output(operator: Operator, values: Tensor, like: Activation) -> Tensor:
    """(C,) shaped to be broadcast to (N, C, ...); of a layer normalization to its last axes."""
    if operator.kind == "layer_norm":
        return values.reshape(operator.options["shape"])
    return values.reshape(-1, *[1] * (len(like.shape) - 1))


def _channels_last(x: Tensor) -> Tensor:
    """Channels last in memory, where convolution and pooling are faster; the same tensor otherwise."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
