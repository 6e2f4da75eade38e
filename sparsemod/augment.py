"""Random changes of training images, a batch at a time.

[DeVries2017] Improved regularization of convolutional neural networks with cutout, arXiv 1708.04552.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sparsemod.errors import InputError


@dataclass(frozen=True)
class Augment:
    """Flips, rotates, shifts and cuts holes into images, each image by its own random numbers.

    What comes in from outside an image, and the holes, are 0: black, or the mean where samples are kept centred.

    Attributes:
        shift: Most pixels that an image moves in each direction.
        rotate: Largest angle either way, in radians.
        rotate_share: Share of the images that are rotated.
        flip: Mirror half of the images from left to right.
        cutout: Side of a square hole, in pixels; its centre is anywhere in the image, so it may be cut off
            [DeVries2017].

    Raises:
        InputError: A figure is negative, or the share is not between 0 and 1.

    Example:
        >>> x = torch.ones(2, 1, 4, 4, dtype=torch.uint8)
        >>> Augment(shift=1)(x, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 4, 4])
    """

    shift: int = 0
    rotate: float = 0.0
    rotate_share: float = 1.0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        figures = {name: getattr(self, name) for name in ("shift", "rotate", "cutout")}
        wrong = [f"{name} is {figure}" for name, figure in figures.items() if not figure >= 0]
        if wrong:
            raise InputError(f"an augmentation must not be negative, but {', '.join(wrong)}")
        if not 0 <= self.rotate_share <= 1:
            raise InputError(f"rotate_share is {self.rotate_share}; it must lie between 0 and 1")

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Changed images; the given ones stay as they are.

        Args:
            x: Images, (N, C, H, W), of any type, in the memory of any accelerator.
            rng: All randomness, the same wherever the images are.

        Returns:
            Images of the same shape; of the same type, but float32 once they may have been rotated.

        Raises:
            InputError: These are no images.
        """
        if x.dim() != 4:
            raise InputError(f"augmentation needs images, (N, C, H, W), not samples of shape {tuple(x.shape[1:])}")
        if self.flip:
            chosen = torch.rand(len(x), generator=rng).to(x.device) < 0.5
            x = torch.where(chosen.reshape(-1, 1, 1, 1), x.flip(3), x)
        if self.rotate:
            x = _rotated(x, self.rotate, self.rotate_share, rng)
        if self.shift:
            x = _shifted(x, self.shift, rng)
        return _with_holes(x, self.cutout, rng) if self.cutout else x


def _rotated(x: Tensor, most: float, share: float, rng: torch.Generator) -> Tensor:
    """Some images turned about their centre, between pixels by bilinear interpolation."""
    angle = most * (2 * torch.rand(len(x), generator=rng) - 1)
    [chosen] = torch.nonzero(torch.rand(len(x), generator=rng) < share, as_tuple=True)
    angle, chosen = angle[chosen].to(x.device), chosen.to(x.device)
    x = x.clone() if x.dtype == torch.float32 else x.float()
    if len(chosen) == 0:
        return x
    part, (height, width) = x[chosen], x.shape[2:]
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # The grid counts both axes from -1 to 1, however many pixels they have.
    rows = (cos, -sin * height / width, none), (sin * width / height, cos, none)
    turn = torch.stack([torch.stack(row, 1) for row in rows], 1)
    x[chosen] = F.grid_sample(part, F.affine_grid(turn, list(part.shape), align_corners=False), align_corners=False)
    return x


def _shifted(x: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Of each image a window of its padded self."""
    height, width = x.shape[2:]
    down, right = torch.randint(0, 2 * most + 1, (2, len(x)), generator=rng).to(x.device)
    windows = F.pad(x, [most] * 4).unfold(2, height, 1).unfold(3, width, 1)  # views
    return windows[torch.arange(len(x), device=x.device), :, down, right]


def _with_holes(x: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """A square of each image set to 0."""
    inside = [_near(size, len(x), side, rng) for size in x.shape[2:]]
    return x.masked_fill((inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(x.device), 0)


def _near(size: int, count: int, side: int, rng: torch.Generator) -> Tensor:
    """Which positions of an axis of `size` the hole of each sample covers, (count, size)."""
    first = torch.randint(0, size, (count, 1), generator=rng) - side // 2
    position = torch.arange(size)
    return (first <= position) & (position < first + side)
