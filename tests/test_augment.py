import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsemod.augment import Augment
from sparsemod.errors import InputError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dots(count: int, size: tuple[int, int] = (7, 9), at: tuple[int, int] = (3, 4)) -> Tensor:
    """Black images of two channels with a dot, 100 in the first and 200 in the second."""
    x = torch.zeros(count, 2, *size, dtype=torch.uint8)
    x[:, 0, at[0], at[1]], x[:, 1, at[0], at[1]] = 100, 200
    return x


def places(x: Tensor) -> set[tuple[int, int]]:
    """Row and column of the brightest pixel of each image, the same in all channels."""
    found = x.float().flatten(2).argmax(2)
    assert (found == found[:, :1]).all()
    return {divmod(int(place), x.shape[3]) for place in found[:, 0]}


EVERYTHING = Augment(shift=2, rotate=0.3, rotate_share=0.5, flip=True, cutout=3)


def test_without_anything_to_do_images_stay() -> None:
    x = dots(3)
    assert torch.equal(Augment()(x, generator()), x)


def test_shift_moves_every_image_by_whole_pixels_of_its_own_and_brings_in_black() -> None:
    y = Augment(shift=1)(dots(200), generator())
    assert places(y) == {(row, column) for row in (2, 3, 4) for column in (3, 4, 5)}
    assert y.dtype == torch.uint8
    assert (y.flatten(2).sum(2) == torch.tensor([100, 200])).all()
    y = Augment(shift=1)(dots(200, at=(0, 0)), generator())
    assert (y.flatten(1).sum(1) == 0).any()  # moved out of the image


def test_flip_mirrors_half_of_the_images_from_left_to_right() -> None:
    y = Augment(flip=True)(dots(400, at=(1, 2)), generator())
    assert places(y) == {(1, 2), (1, 6)}
    assert 150 < int(y[:, 0, 1, 2].count_nonzero()) < 250


def test_cutout_blackens_a_square_that_the_border_may_cut() -> None:
    holes = (Augment(cutout=3)(torch.ones(500, 2, 7, 9), generator()) == 0).sum((2, 3))
    assert (holes[:, 0] == holes[:, 1]).all()
    assert set(holes[:, 0].tolist()) == {4, 6, 9}  # centre in a corner, at a border, inside
    assert (Augment(cutout=99)(torch.ones(2, 1, 5, 5), generator()) == 0).all()


@pytest.mark.parametrize("size", [(9, 9), (9, 15)])
def test_rotation_keeps_distances_even_where_images_are_no_squares(size: tuple[int, int]) -> None:
    """A dot three pixels right of the centre goes anywhere on a circle around it."""
    height, width = size
    x = torch.zeros(300, 1, *size)
    x[:, :, height // 2, width // 2 + 3] = 1.0
    y = Augment(rotate=math.pi)(x, generator())[:, 0]
    mass = y.sum((1, 2))
    rows, columns = torch.arange(height) - height // 2, torch.arange(width) - width // 2
    down, right = (y.sum(2) * rows).sum(1) / mass, (y.sum(1) * columns).sum(1) / mass
    assert torch.allclose((down**2 + right**2).sqrt(), torch.tensor(3.0), atol=0.25)
    angle = torch.atan2(down, right)
    assert angle.min() < -3 and angle.max() > 3  # all the way round


def test_share_of_images_is_rotated_within_the_angle() -> None:
    x = torch.zeros(400, 1, 21, 21)
    x[:, :, 10, 18] = 1.0
    y = Augment(rotate=0.2, rotate_share=0.25)(x, generator())
    changed = (y != x).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130
    assert places(y) <= {(10 + row, column) for row in (-2, -1, 0, 1, 2) for column in (17, 18)}  # 8 sin 0.2 = 1.6


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_images_that_may_be_rotated_become_floats_of_the_same_values(share: float) -> None:
    y = Augment(rotate=1e-6, rotate_share=share)(dots(4), generator())
    assert y.dtype == torch.float32
    assert torch.allclose(y, dots(4).float(), atol=1e-2)


def test_equal_generators_give_equal_images_and_the_given_ones_stay() -> None:
    x = torch.rand(20, 3, 8, 8)
    kept = x.clone()
    first, second, other = (EVERYTHING(x, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(x, kept)
    assert first.shape == x.shape


def test_an_empty_batch_stays_empty() -> None:
    assert EVERYTHING(torch.zeros(0, 1, 8, 8), generator()).shape == (0, 1, 8, 8)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs images, \(N, C, H, W\), not samples of shape \(64,\)"):
        Augment(shift=1)(torch.zeros(2, 64), generator())


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"shift": -1, "cutout": -2}, "an augmentation must not be negative, but shift is -1, cutout is -2"),
        ({"rotate": math.nan}, "must not be negative, but rotate is nan"),
        ({"rotate_share": 1.5}, "rotate_share is 1.5; it must lie between 0 and 1"),
    ],
)
def test_figures_out_of_bounds_are_refused(figures: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augment(**figures)
