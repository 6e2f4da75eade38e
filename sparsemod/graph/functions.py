"""Functions of one element that a network may apply, by the name of their ATen operator.

An integer network holds each as a table of its 256 values, so that a device needs no floating point for them.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": F.leaky_relu,
    "elu": torch.ops.aten.elu,
}
"""Each takes a tensor and `Operator.arguments`; an ELU also takes the factor that makes it a SELU."""


def tabulated(function: Callable[[Tensor], Tensor], source: tuple[float, int], target: tuple[float, int]) -> Tensor:
    """The int8 output for each int8 input, -128 first, (256,).

    Args:
        function: Of real values.
        source: Scale and zero point of the input.
        target: Scale and zero point of the output.

    Example:
        >>> tabulated(torch.relu, (0.1, 0), (0.2, -128))[[0, 128, 130, 255]].tolist()  # -12.8, 0, 0.2 and 12.7
        [-128, -128, -127, -64]
    """
    real = (torch.arange(-128, 128, dtype=torch.float64) - source[1]) * source[0]
    steps = torch.floor(function(real) / target[0] + 0.5) + target[1]
    return steps.clamp(-128, 127).to(torch.int8)


def exponentials(scale: float) -> Tensor:
    """What a softmax sums: 2^15 * exp(-d * scale) for each distance d from the largest input, 0 first, (256,)."""
    return torch.floor(2.0**15 * torch.exp(-scale * torch.arange(256, dtype=torch.float64)) + 0.5).int()
