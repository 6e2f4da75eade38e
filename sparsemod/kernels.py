"""Faster training of small networks, for two layers whose kernels in PyTorch were made for large ones.

Both hold on the processor, where channels lie last in memory, compute the same but for rounding, and use PyTorch's own
operators (`benchmarks/training.py` says what they are worth).

- A 1 x 1 convolution of a single channel, such as a skip connection around the first block, is computed as a linear
  layer of every pixel. As a convolution it could take longer than all others together.
- Batch norm takes one pixel at a time and eight channels of it at once, so five channels cost more than sixteen. Here
  several pixels side by side count as one of several times the channels, whose statistics are joined in the end.

[Ioffe2015] Batch normalization, ICML 2015, arXiv 1502.03167.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LANES = 16
_FEWEST_PIXELS = 16_384
"""Of a batch to normalize; below, PyTorch's kernel is as fast."""


@contextmanager
def faster(network: nn.Module) -> Iterator[None]:
    """Lets these layers of a network compute faster as long as it trains within."""
    found = [(part, forward) for part in network.modules() if (forward := _forward_of(part)) is not None]
    for part, forward in found:
        part.forward = functools.partial(forward, part)
    try:
        yield
    finally:
        for part, _ in found:
            del part.forward


def _forward_of(part: nn.Module) -> Callable[[Any, Tensor], Tensor] | None:
    """What a layer shall do instead; None for those that are left alone, such as subclasses."""
    if "forward" in vars(part) or any(parameter.device.type != "cpu" for parameter in part.parameters(recurse=False)):
        return None
    if type(part) is nn.Conv2d and (part.in_channels, part.kernel_size, part.padding) == (1, (1, 1), (0, 0)):
        return _pixelwise
    if type(part) is nn.BatchNorm2d and part.affine and part.track_running_stats and part.momentum is not None:
        return _normalized if part.num_features > 1 and part.num_features % 8 != 0 else None
    return None


def _pixelwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of one channel and one pixel."""
    down, right = conv.stride
    if x.dim() != 4:
        return nn.Conv2d.forward(conv, x)
    pixels = x[:, :, ::down, ::right].permute(0, 2, 3, 1)
    return F.linear(pixels, conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2)


def _normalized(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch norm of pixels side by side."""
    pixels, fold = x.numel() // norm.num_features, _LANES // math.gcd(_LANES, norm.num_features)
    lies_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    if not norm.training or not lies_last or pixels < _FEWEST_PIXELS or pixels % fold or x.dtype != torch.float32:
        return nn.BatchNorm2d.forward(norm, x)
    y: Tensor
    y, mean, variance = _Folded.apply(x, norm.weight, norm.bias, norm.eps, fold)  # type: ignore[no-untyped-call]
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    assert norm.momentum is not None
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (pixels / (pixels - 1)), norm.momentum)
    return y


class _Folded(torch.autograd.Function):
    """(x, weight, bias, eps, fold) -> y, and mean and variance by channel; x and y: (N, C, H, W), channels last."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, fold: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        pixels = _fold(x, fold)
        means, variances = (each.view(fold, -1) for each in torch.batch_norm_update_stats(pixels, None, None, 0.0))
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square_().mean(0)
        scale, shift, centre, spread = (value.repeat(fold) for value in (weight, bias, mean, variance))
        y = torch.batch_norm(pixels, scale, shift, centre, spread, False, 0.0, eps, False)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt_())
        ctx.eps, ctx.fold = eps, fold
        ctx.mark_non_differentiable(mean, variance)
        return _unfold(y, x), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rate = ctx.saved_tensors
        pixels, gradient = _fold(x, ctx.fold), _fold(gradients[0], ctx.fold)
        each = [value.repeat(ctx.fold) for value in (weight, mean, rate)]
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, pixels, each[0], None, None, each[1], each[2], True, ctx.eps, [False, True, True]
        )
        by_weight, by_bias = (part.view(ctx.fold, -1).sum(0) for part in (by_weight, by_bias))
        # [Ioffe2015], as one factor for the gradient, one for x and a constant.
        scale, count = weight * rate, x.numel() // x.shape[1]
        slope = -scale * rate * by_weight / count
        constant = -scale * by_bias / count - slope * mean
        scale, slope, constant = (value.repeat(ctx.fold).view(1, -1, 1, 1) for value in (scale, slope, constant))
        by_x = torch.addcmul(constant, pixels, slope).addcmul_(gradient, scale)
        return _unfold(by_x, x), by_weight, by_bias, None, None


def _fold(x: Tensor, fold: int) -> Tensor:
    """(N, C, H, W) -> (1, fold * C, N * H * W / fold, 1), the same numbers in the same order of memory."""
    rows = x.permute(0, 2, 3, 1).reshape(1, -1, 1, fold * x.shape[1])
    return rows.permute(0, 3, 1, 2)


def _unfold(pixels: Tensor, like: Tensor) -> Tensor:
    """Back to the shape of another tensor."""
    count, channels, height, width = like.shape
    return pixels.permute(0, 2, 3, 1).reshape(count, height, width, channels).permute(0, 3, 1, 2)
