"""Shapes of ATen outputs on the meta device, by formula.

PyTorch's own meta kernels are slower, and the first of them imports a computer algebra system, which takes a second.
Where arguments do not fit together there is no shape here, and PyTorch's kernel finds the words for the error.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sparsemod.graph.functions import FUNCTIONS

_OUTPUTS = {"native_batch_norm": 3, "max_pool2d_with_indices": 2}


def meta_result(name: str, args: Sequence[Any]) -> Any:
    """What a call returns on the meta device.

    Args:
        name: Of the ATen operator, without namespace and overload.
        args: Its positional arguments; there must be no others.

    Returns:
        A tensor or a tuple of tensors, or None where PyTorch has to be asked.
    """
    if name == "cat":
        return _joined(*args)
    if not args or not isinstance(args[0], Tensor) or not args[0].is_meta:
        return None
    if name in ("lstm", "gru"):
        return _recurrent(*args)
    shape = _shape(name, args)
    if shape is None:
        return None
    if name.endswith("_"):
        return args[0]
    outputs = [torch.empty(shape, dtype=args[0].dtype, device="meta") for _ in range(_OUTPUTS.get(name, 1))]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _shape(name: str, args: Sequence[Any]) -> Sequence[int] | None:
    x = args[0]
    match name:
        case _ if name.removesuffix("_") in FUNCTIONS:
            return tuple(x.shape)
        case "embedding":
            return (*args[1].shape, x.shape[1])
        case "relu" | "relu_" | "hardtanh" | "hardtanh_":
            return tuple(x.shape)
        case "native_batch_norm":
            return tuple(x.shape) if args[3] is not None and args[3].shape == x.shape[1:2] else None
        case "add" | "add_":
            return tuple(x.shape) if isinstance(args[1], Tensor) and args[1].shape == x.shape else None
        case "mul" | "mul_":
            return tuple(x.shape) if isinstance(args[1], Tensor) and _repeats(args[1].shape, x.shape) else None
        case "addmm":
            return _product(*args[1:])
        case "mm":
            return _product(*args)
        case "mean" if len(args) > 1 and args[1]:
            axes = {axis % x.dim() for axis in args[1]}
            sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
            return sizes if args[2:] == (True,) else [size for axis, size in enumerate(sizes) if axis not in axes]
        case "_adaptive_avg_pool2d":
            return (*x.shape[:-2], *args[1])
        case "convolution":
            return _convolved(*args)
        case "max_pool2d_with_indices" | "avg_pool2d" if len(args) < 4 and x.dim() == 4:
            stride = args[2] if args[2:] and args[2] else args[1]
            return _spread(x.shape[:2], _windows(x.shape[2:], args[1], stride, (0, 0), (1, 1)))
    return None


def _repeats(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a tensor of this shape is repeated to the whole, along axes of one element alone."""
    return len(shape) == len(whole) and all(size in (1, to) for size, to in zip(shape, whole, strict=True))


def _product(one: Tensor, other: Tensor) -> Sequence[int] | None:
    return (one.shape[0], other.shape[1]) if one.dim() == 2 and one.shape[1:] == other.shape[:1] else None


def _convolved(
    x: Tensor,
    weight: Tensor,
    _bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *rest: Any,
) -> Sequence[int] | None:
    groups = rest[1]
    axes = x.dim() - 2
    if transposed or axes != weight.dim() - 2 or x.shape[1] != weight.shape[1] * groups:
        return None
    stride, padding, dilation = (tuple(values) * (axes // len(values)) for values in (stride, padding, dilation))
    return _spread((x.shape[0], weight.shape[0]), _windows(x.shape[2:], weight.shape[2:], stride, padding, dilation))


def _joined(parts: Sequence[Tensor], axis: int = 0) -> Tensor | None:
    """A concatenation of tensors that differ along its axis alone."""
    first = parts[0]
    axis %= max(first.dim(), 1)
    others = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if not first.is_meta or len(others) > 1 or len({(part.dim(), part.dtype) for part in parts}) > 1:
        return None
    shape = (*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :])
    return torch.empty(shape, dtype=first.dtype, device="meta")


def _recurrent(x: Tensor, states: Any, weights: Any, *settings: Any) -> Any:
    """Output and last states, without packing and projection; PyTorch checks the rest before it calls."""
    if len(settings) != 6 or not isinstance(settings[0], bool):
        return None
    starts = [states] if isinstance(states, Tensor) else list(states)
    width = starts[0].shape[-1] * (2 if settings[4] else 1)
    shapes = ((*x.shape[:-1], width), *(start.shape for start in starts))
    return tuple(torch.empty(shape, dtype=x.dtype, device="meta") for shape in shapes)


def _windows(*geometry: Sequence[int]) -> list[int]:
    """How many windows fit along each axis, from sizes, kernel, stride, padding and dilation."""
    return [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip(*geometry, strict=True)
    ]


def _spread(outer: Sequence[int], spatial: Sequence[int]) -> Sequence[int] | None:
    return (*outer, *spatial) if all(size > 0 for size in spatial) else None
