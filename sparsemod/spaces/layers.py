"""Layers that several families are made of, and what they ask of their input."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible, InputError


class ConvNorm(nn.Module):
    """A convolution and batch norm, which keep the size but for the stride.

    Tap (size - 1) // 2 of a kernel sits on the output position, as `sparsemod.inherit` expects where kernels grow.

    Args:
        axes: 1 or 2.
        inputs: Channels.
        outputs: Channels.
        kernel: One size, or one for each axis; even ones are padded on one side more.
        stride: As `kernel`.
        dilation: Distance of the taps.
        groups: Of channels.
    """

    def __init__(
        self,
        axes: int,
        inputs: int,
        outputs: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        sizes = (kernel,) * axes if isinstance(kernel, int) else tuple(kernel)
        strides = (stride,) * axes if isinstance(stride, int) else tuple(stride)
        before = tuple(dilation * ((size - 1) // 2) for size in sizes)
        after = tuple(dilation * (size // 2) for size in sizes)
        self.padding = None
        if before != after:
            self.padding = [side for pair in zip(before[::-1], after[::-1], strict=True) for side in pair]
        convolution, norm = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))[axes - 1]
        padding = (0,) * axes if self.padding else before
        self.conv = convolution(inputs, outputs, sizes, strides, padding, dilation, groups, bias=False)  # type: ignore[arg-type]  # as many as there are axes
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, *size) -> (N, outputs, *size / stride), rounded up."""
        if self.padding is not None:
            x = F.pad(x, self.padding)
        y: Tensor = self.norm(self.conv(x))
        return y


class Separable(nn.Module):
    """A depthwise convolution and a 1 x 1 one [Sifre2014], each with batch norm and ReLU; arguments as of `ConvNorm`.

    [Sifre2014] Rigid-motion scattering for image classification, PhD thesis, 2014.
    """

    def __init__(
        self, axes: int, inputs: int, outputs: int, kernel: int | Sequence[int], stride: int | Sequence[int] = 1
    ) -> None:
        super().__init__()
        self.depthwise = ConvNorm(axes, inputs, inputs, kernel, stride, groups=inputs)
        self.pointwise = ConvNorm(axes, inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, *size) -> (N, outputs, *size / stride), rounded up; nothing below zero."""
        return F.relu(self.pointwise(F.relu(self.depthwise(x))))


def require_axes(family: str, input_shape: Sequence[int], axes: str) -> None:
    """Refuses an input of other axes than a family reads, such as "T, F"."""
    if len(input_shape) != len(axes.split(",")):
        found = " x ".join(map(str, input_shape))
        raise InputError(
            f"the networks of spaces.{family} read inputs of shape ({axes}); those of the data are {found}"
        )


def pooled_squares(resolution: float, input_shape: Sequence[int]) -> int:
    """The side of the squares of pixels whose means make an image of this share of height and width.

    Args:
        resolution: One over a whole number.
        input_shape: (C, H, W).

    Raises:
        InputError: It is not.
        Infeasible: The image is smaller than a square.
    """
    side = round(1 / resolution)
    if side < 1 or abs(1 / resolution - side) > 1e-3:
        raise InputError(f"resolution is {resolution:g}; it must be one over a whole number, such as 1, 0.5 or 0.25")
    if side > min(input_shape[1:]):
        height, width = input_shape[1:]
        raise Infeasible(f"resolution {resolution:g}: squares of {side} are larger than the {height} x {width} image")
    return side
