"""The arithmetic of an integer network in 64-bit integers, written without regard for speed."""

import numpy as np
import torch
from torch import Tensor

from sparsemod.graph import Graph, Operator

Array = np.ndarray


def reference(graph: Graph, x: Tensor) -> Tensor:
    """The formula of `sparsemod.graph.network` in 64-bit integers, written without regard for speed."""
    source, target = graph.activations[0], graph.activations[graph.output]
    steps = np.floor(x.numpy() / np.float32(source.scale) + np.float32(0.5)).astype(np.int64)
    values = {0: np.clip(steps + source.zero_point, -128, 127)}
    for operator in graph.operators:
        inputs = [values[position] for position in operator.inputs]
        values[operator.output] = step(graph, operator, inputs)
    return torch.from_numpy((values[graph.output] - target.zero_point).astype(np.float32)) * target.scale


def step(graph: Graph, operator: Operator, inputs: list[Array]) -> Array:
    target = graph.activations[operator.output]
    if operator.kind == "reshape":
        return inputs[0].reshape(len(inputs[0]), *target.shape)
    if operator.kind == "max_pool":
        return pooled(operator, inputs[0], target.shape[1:])
    if operator.kind in ("pad", "permute", "upsample"):
        return moved(operator, inputs[0], target.zero_point)
    if operator.kind == "function":
        return operator.table.numpy().astype(np.int64)[inputs[0] + 128]
    if operator.kind == "softmax":
        terms = operator.table.numpy().astype(np.int64)[inputs[0].max(-1, keepdims=True) - inputs[0]]
        total = terms.sum(-1, keepdims=True)
        return np.minimum((512 * terms + total) // (2 * total), 255) - 128
    shifted = [
        value - graph.activations[position].zero_point for value, position in zip(inputs, operator.inputs, strict=True)
    ]
    assert operator.multiplier is not None
    assert operator.shift is not None
    multiplier, shift = operator.multiplier.numpy().astype(np.int64), operator.shift.numpy().astype(np.int64)
    if operator.kind == "add":
        assert shift[0] == shift[1]
        product, shift = shifted[0] * multiplier[0] + shifted[1] * multiplier[1], shift[0]
    elif operator.kind == "concat":
        parts = [part * factor for part, factor in zip(shifted, multiplier, strict=True)]
        product = np.concatenate(parts, axis=1 + operator.options["axis"][0])
        shift = shift[0]
    elif operator.kind == "mul":
        product = shifted[0] * shifted[1] * multiplier[0]
    else:
        accumulator = accumulated(operator, shifted[0], target.shape)
        channel = (-1, *[1] * (accumulator.ndim - 2))
        if operator.bias is not None:
            accumulator = accumulator + operator.bias.numpy().astype(np.int64).reshape(channel)
        assert np.abs(accumulator).max() < 2**31
        product, shift = accumulator * multiplier.reshape(channel), shift.reshape(channel)
    rounded = (product + (np.int64(1) << (shift - 1))) >> shift
    return np.clip(target.zero_point + rounded, int(operator.low), int(operator.high))


def accumulated(operator: Operator, x: Array, shape: tuple[int, ...]) -> Array:
    if operator.kind == "relu":
        return x
    if operator.kind == "linear":
        assert operator.weight is not None
        return np.einsum("ni,oi->no", x, operator.weight.numpy().astype(np.int64))
    if operator.kind == "avg_pool":
        return sum(window for window, _ in windows(operator, x, shape[1:], 0))
    assert operator.weight is not None
    weight = operator.weight.numpy().astype(np.int64)
    if x.ndim == 2:  # a batch norm alone
        return x * weight[:, 0]
    total = np.zeros((len(x), *shape), np.int64)
    outputs, inputs = weight.shape[0] // operator.options["groups"][0], weight.shape[1]
    for window, place in windows(operator, x, shape[1:], 0, weight.shape[2:]):
        for output in range(weight.shape[0]):
            first = output // outputs * inputs
            for channel in range(inputs):
                total[:, output] += window[:, first + channel] * weight[(output, channel, *place)]
    return total


def moved(operator: Operator, x: Array, zero_point: int) -> Array:
    options = operator.options
    if operator.kind == "permute":
        return np.transpose(x, (0, *(axis + 1 for axis in options["axes"])))
    if operator.kind == "upsample":
        return np.kron(x, np.ones((1, 1, *options["factor"]), np.int64))
    around = np.array([(0, 0), (0, 0), *np.reshape(options["padding"], (-1, 2))])
    return np.pad(x, around, constant_values=zero_point)


def pooled(operator: Operator, x: Array, shape: tuple[int, ...]) -> Array:
    return np.maximum.reduce([window for window, _ in windows(operator, x, shape, -(10**6))])


def windows(
    operator: Operator, x: Array, shape: tuple[int, ...], fill: int, kernel: tuple[int, ...] = ()
) -> list[tuple[Array, tuple[int, ...]]]:
    """For every place in the kernel what all outputs read there."""
    options, axes = operator.options, x.ndim - 2
    kernel = kernel or options["kernel"]
    padding, dilation = options.get("padding", (0,) * axes), options.get("dilation", (1,) * axes)
    before = padding if len(padding) == axes else padding[0::2]
    around = [(0, 0), (0, 0), *[(size, 50) for size in before]]
    x = np.pad(x, around, constant_values=fill)
    found = []
    for place in np.ndindex(*kernel):
        cut = [
            slice(at * gap, at * gap + (count - 1) * stride + 1, stride)
            for at, gap, count, stride in zip(place, dilation, shape, options["stride"], strict=True)
        ]
        found.append((x[(slice(None), slice(None), *cut)], place))
    return found
