"""A `Graph` in operators that CMSIS-NN has: it computes the same, bit for bit.

Convolutions have two axes, and pads that are the same on both sides. Linear layers are 1 x 1 convolutions, which take
one scale per output. An average in other steps than its input is a depthwise convolution with ones. What is
concatenated has the steps of the result before, and the bounds of a product are an operator of their own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.network import fixed_point


def rewritten(graph: Graph) -> Graph:
    """The same network.

    Args:
        graph: Int8 throughout, as `compress.quantize.lower` makes it.
    """
    draft = _Draft([graph.activations[0]])
    values = {0: 0}
    for operator in graph.operators:
        inputs = [values[position] for position in operator.inputs]
        rewrite = _REWRITES.get(operator.kind, _Draft.add)
        values[operator.output] = rewrite(draft, operator, inputs, graph.activations[operator.output])
    return Graph(_read(draft.operators), tuple(draft.activations))


def _read(operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """Without those whose output nothing reads."""
    needed, kept = {operator.output for operator in operators[-1:]}, []
    for operator in reversed(operators):
        if operator.output in needed:
            needed.update(operator.inputs)
            kept.append(operator)
    return tuple(reversed(kept))


@dataclass(eq=False)
class _Draft:
    """A graph in the making."""

    activations: list[Activation]
    operators: list[Operator] = field(default_factory=list)

    def add(self, operator: Operator, inputs: Sequence[int], target: Activation) -> int:
        """Position of what one more operator writes."""
        position = len(self.activations)
        self.activations.append(target)
        self.operators.append(replace(operator, inputs=tuple(inputs), output=position))
        return position

    def reshaped(self, name: str, x: int, shape: Sequence[int]) -> int:
        """The same numbers in the same order; of two such steps the first one is left out."""
        before = {operator.output: operator for operator in self.operators if operator.kind == "reshape"}
        while x in before and self.activations[x].shape != tuple(shape):
            (x,) = before[x].inputs
        source = self.activations[x]
        if source.shape == tuple(shape):
            return x
        return self.add(Operator("reshape", name, (), 0), [x], replace(source, shape=tuple(shape)))

    def padded(self, name: str, x: int, pads: tuple[int, ...]) -> int:
        """With zeros before and after H and W."""
        source, sides = self.activations[x], (0, 0, *pads)
        shape = tuple(size + sum(sides[2 * axis : 2 * axis + 2]) for axis, size in enumerate(source.shape))
        return self.add(Operator("pad", name, (), 0, options={"padding": sides}), [x], replace(source, shape=shape))

    def rescaled(self, name: str, x: int, target: Activation, low: float, high: float) -> int:
        """The same real values in the steps of the target, bounded."""
        source = self.activations[x]
        if (source.scale, source.zero_point, low, high) == (target.scale, target.zero_point, -128, 127):
            return x
        multiplier, shift = fixed_point(torch.tensor([source.scale / target.scale], dtype=torch.float64))
        bounded = Operator("relu", name, (), 0, multiplier=multiplier, shift=shift, low=low, high=high)
        return self.add(bounded, [x], replace(target, shape=source.shape))


Rewrite = Callable[[_Draft, Operator, Sequence[int], Activation], int]
"""Takes a draft, an operator, its inputs there and what it writes; gives the position of that."""


def _convolution(draft: _Draft, operator: Operator, inputs: Sequence[int], target: Activation) -> int:
    """Height is 1 for signals, and both axes are for vectors."""
    assert operator.weight is not None
    missing, name, source = 4 - operator.weight.dim(), operator.name, draft.activations[inputs[0]]
    stride, dilation = ((1,) * missing + tuple(operator.options.get(key, ())) for key in ("stride", "dilation"))
    pads = (0, 0) * missing + tuple(operator.options.get("padding", ()))
    x = draft.reshaped(f"{name}/input", inputs[0], (source.shape[0], *(1,) * missing, *source.shape[1:]))
    if pads[0::2] != pads[1::2]:
        x, pads = draft.padded(f"{name}/padded", x, pads), (0, 0, 0, 0)
    weight = operator.weight.reshape(*operator.weight.shape[:2], *(1,) * missing, *operator.weight.shape[2:])
    groups = operator.options.get("groups", (1,))
    made = replace(
        operator,
        kind="conv" if operator.kind == "linear" else operator.kind,
        weight=weight,
        options={"stride": stride, "padding": pads, "dilation": dilation, "groups": groups},
    )
    shape = (target.shape[0], *(1,) * missing, *target.shape[1:])
    return draft.reshaped(f"{name}/output", draft.add(made, [x], replace(target, shape=shape)), target.shape)


def _avg_pool(draft: _Draft, operator: Operator, inputs: Sequence[int], target: Activation) -> int:
    """A pool keeps the steps of its input."""
    source, kernel = draft.activations[inputs[0]], operator.options["kernel"]
    steps = (source.scale, source.zero_point, operator.low, operator.high)
    if len(kernel) == 2 and steps == (target.scale, target.zero_point, -128, 127):
        return draft.add(operator, inputs, target)
    assert operator.multiplier is not None and operator.shift is not None
    channels, axes = source.shape[0], len(kernel)
    options = {"padding": (0, 0) * axes, "dilation": (1,) * axes, "groups": (channels,)}
    ones = replace(
        operator,
        kind="depthwise",
        weight=torch.ones(channels, 1, *kernel, dtype=torch.int8),
        weight_scale=torch.full((channels,), 1 / math.prod(kernel)),
        multiplier=operator.multiplier.expand(channels),
        shift=operator.shift.expand(channels),
        options={**options, "stride": operator.options["stride"]},
    )
    return _convolution(draft, ones, inputs, target)


def _concat(draft: _Draft, operator: Operator, inputs: Sequence[int], target: Activation) -> int:
    name, bounds = operator.name, (operator.low, operator.high)
    parts = [draft.rescaled(f"{name}/part_{place}", x, target, *bounds) for place, x in enumerate(inputs)]
    multiplier, shift = fixed_point(torch.ones(len(parts)))
    return draft.add(replace(operator, multiplier=multiplier, shift=shift, low=-128.0, high=127.0), parts, target)


def _product(draft: _Draft, operator: Operator, inputs: Sequence[int], target: Activation) -> int:
    x = draft.add(replace(operator, low=-128.0, high=127.0), inputs, target)
    return draft.rescaled(f"{operator.name}/bounded", x, target, operator.low, operator.high)


_REWRITES: Mapping[str, Rewrite] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "linear": _convolution,
    "avg_pool": _avg_pool,
    "concat": _concat,
    "mul": _product,
}
