"""One operator of a `Graph` that computes in float as C: it reads and writes float32, or int8 where parts meet.

A kernel takes one weight after the other from the functions that decode it, whatever the encoding; dense weights are
packed ones of 8 or 32 bits. What only moves numbers is done by the kernels of int8, a float being four bytes in a row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sparsemod.export.layer import Constant, Layer, Struct, listed, number, pair, tensor
from sparsemod.graph import Activation

_MOVING = ("pad", "permute", "slice")
_KERNELS = {"depthwise": "float_conv", "relu": "float_copy", "concat": "float_copy", "reshape": ""}
"""Kinds whose kernel has another name than theirs with `float_` before it."""

FORMULAS = {
    "sigmoid": "1 / (1 + expf(-x))",
    "tanh": "tanhf(x)",
    "hardsigmoid": "x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6",
    "hardswish": "x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6",
    "silu": "x / (1 + expf(-x))",
    "gelu": "x * (1 + error_function(x * 0.707106781f)) / 2",
    "gelu_tanh": "x * (1 + tanhf(0.797884561f * (x + 0.044715f * x * x * x))) / 2",
    "leaky_relu": "x > 0 ? x : x * with[0]",
    "elu": "with[1] * (x > 0 ? x : with[0] * (expf(x * with[2]) - 1))",
}
"""Functions of one element in C, by the names of `graph.FUNCTIONS`."""
_DEFAULTS: Mapping[str, tuple[float, ...]] = {"leaky_relu": (0.01,), "elu": (1.0, 1.0, 1.0)}
"""Arguments that an operator may leave out."""


@dataclass(frozen=True, eq=False)
class FloatLayer(Layer):
    """An operator in real numbers on its way into C."""

    @property
    def _one_by_one(self) -> bool:
        return self.operator.kind not in ("embedding", "layer_norm")

    @property
    def kind(self) -> str:
        """What the kernel computes, whatever the encoding; empty for a reshape."""
        kind = self.operator.kind
        return kind if kind in _MOVING else _KERNELS.get(kind, f"float_{kind}")

    @property
    def _pointwise(self) -> bool:
        return False

    @property
    def constants(self) -> list[Constant]:
        """What the operator keeps in flash, without empty arrays."""
        if self.operator.weight_scale is None:
            return super().constants
        return [*super().constants, Constant(self._name("scale"), self.operator.weight_scale.flatten().numpy())]

    def _seen(self, position: int) -> Activation:
        """An activation as the kernel sees it: where numbers only move, as bytes."""
        activation, kind = self.graph.activations[position], self.operator.kind
        if kind not in _MOVING:
            return activation
        *outer, width = activation.shape
        return replace(activation, shape=(*outer, 4 * width) if kind == "pad" else (*activation.shape, 4))

    def _axes(self) -> tuple[list[int], list[int]]:
        sizes, steps = super()._axes()  # of four axes, the first of which fills up
        return [*sizes[1:], 4], [*(4 * step for step in steps[1:]), 1]

    def _rescaling(self, number: int) -> list[str]:
        return []

    def _read(self, name: str, position: int, offsets: Mapping[int, int]) -> Struct:
        if self.kind in _MOVING:
            return super()._read(name, position, offsets)
        activation = self.graph.activations[position]
        return Struct("Source", name, f"{tensor(activation, offsets[position])}, {_step(activation)}")

    def _written(self, activation: Activation, start: int) -> Struct:
        if self.kind in _MOVING:
            return super()._written(activation, start)
        bounds = [_bound(self.operator.low), _bound(self.operator.high)]
        return Struct("Target", "y", ", ".join([tensor(activation, start), _step(activation), *bounds]))

    def _settings(self, scratch: int) -> "list[str | Struct]":
        operator, options = self.operator, self.operator.options
        match operator.kind:
            case "linear":
                return [self._weights()]
            case "lstm" | "gru":
                settings = [options[key][0] for key in ("units", "reverse", "last")]
                return [self._weights(), *self._memory(scratch), listed(settings)]
            case "embedding":
                assert operator.weight is not None
                return [self._name("weight"), listed(operator.weight.shape)]
            case "layer_norm":
                size = math.prod(options["shape"])
                return [self._name("weight"), self._name("bias"), str(size), number(operator.arguments[0])]
            case "avg_pool":
                return [self._window()]
            case "function":
                defaults = _DEFAULTS.get(operator.function, ())
                given = [*operator.arguments, *defaults[len(operator.arguments) :]]
                passed = f"(const float[]){{{', '.join(map(number, given))}}}" if given else "0"
                return [f"function_{operator.function}", passed]
            case "pad":
                *above, left = options["padding"][0::2]
                return [pair([*above, 4 * left], 0)]
            case "softmax":
                return [str(self.graph.activations[operator.output].shape[-1])]
            case "relu":
                return [listed([self.graph.activations[operator.output].numel] * 2)]
            case "add" | "mul":
                return []
            case _:
                return super()._settings(scratch)

    def _weights(self) -> Struct:
        known = {constant.name for constant in self.constants}
        casts = {"values": "(const NET_FLASH uint8_t *)", "index": "", "scale": "", "bias": ""}
        fields = [f".{what} = {cast}{self._name(what)}" for what, cast in casts.items() if self._name(what) in known]
        return Struct("FloatWeights", "weights", ", ".join(fields))

    def _memory(self, scratch: int) -> list[str]:
        """Of a recurrent layer: its own memory, and where that keeps the state from one inference to the next."""
        cells = 4 * self.operator.options["units"][0] if self.operator.kind == "lstm" else 0
        saved = f"(float *)(arena + {scratch + cells})" if self.graph.steps else "0"
        return [f"(float *)(arena + {scratch})", saved]


def _step(activation: Activation) -> str:
    """Scale of int8; 0 of float32."""
    return number(activation.scale if activation.itemsize == 1 else 0.0)


def _bound(value: float) -> str:
    return number(value) if math.isfinite(value) else "INFINITY" if value > 0 else "-INFINITY"
