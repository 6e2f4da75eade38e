"""Marks: what stands in the place of numbers when a network is followed channel by channel.

A mark says of one element which channel it belongs to and where in that channel it lies. It is one integer,
channel * 2^40 + place, or -1 where nothing is known. A place is row * 2^20 + column, or the gate of a recurrent layer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

PLACE = 40
_ROW = 20


def channel_of(marks: Tensor) -> Tensor:
    """The channel of each mark; -1 where nothing is known."""
    return marks >> PLACE


def place_of(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each mark."""
    return (marks >> _ROW) & (2**_ROW - 1), marks & (2**_ROW - 1)


def grid(rows: int, columns: int) -> Tensor:
    """Places of a plane, (rows * columns)."""
    return ((torch.arange(rows) << _ROW)[:, None] + torch.arange(columns)).flatten()


def spread(marks: Tensor, shape: Sequence[int], axis: int) -> Tensor:
    """Marks of a tensor of this shape whose channels lie along one axis."""
    axis %= len(shape)
    rest = [size for other, size in enumerate(shape) if other != axis]
    places = grid(math.prod(rest[:-1]), rest[-1] if rest else 1)
    first = (marks >> PLACE << PLACE)[:, None]
    return torch.where(first < 0, -1, first + places).reshape(-1, *rest).movedim(0, axis)


def along(marks: Tensor, axis: int) -> Tensor | None:
    """One mark for each entry along an axis, without a place where there are several; None if channels differ there."""
    rows = marks.movedim(axis, 0).flatten(1)
    if rows.shape[1] == 1:
        return rows[:, 0]
    found = channel_of(rows)
    highest = found.amax(1)
    if ((found != highest[:, None]) & (found >= 0)).any():
        return None
    return torch.where(highest < 0, -1, highest << PLACE)


def repeats(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a tensor of this shape can be repeated to the whole."""
    ends = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(size in (1, target) for size, target in ends)
