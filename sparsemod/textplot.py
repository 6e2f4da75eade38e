"""A scatter plot made of characters, for a terminal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """One point.

    Attributes:
        x: To the right.
        y: Upwards.
        sign: One character; where two points fall on one place, the later one is seen.
    """

    x: float
    y: float
    sign: str


def scatter(marks: Sequence[Mark], x_title: str, y_title: str, width: int = 60, height: int = 12) -> list[str]:
    r"""The lines of a plot; x has a logarithmic scale where its values span more than a factor of ten.

    Args:
        marks: What to draw; at least one.
        x_title: Name and unit, written below.
        y_title: Name and unit, written above.
        width: Of the drawing area, in characters.
        height: Of the drawing area, in lines.

    Example:
        >>> print("\n".join(scatter([Mark(1, 0, "A"), Mark(3, 4, "o")], "bytes", "error", width=9, height=3)))
            error
          4 |        o
            |
          0 |A
            +---------
             1       3  bytes
    """
    xs, ys = [mark.x for mark in marks], [mark.y for mark in marks]
    logarithmic = min(xs) > 0 and max(xs) > 10 * min(xs)
    columns = _places([math.log(x) for x in xs] if logarithmic else xs, width)
    rows = _places(ys, height)
    area = [[" "] * width for _ in range(height)]
    for mark, column, row in zip(marks, columns, rows, strict=True):
        area[height - 1 - row][column] = mark.sign
    top, bottom = _short(max(ys)), _short(min(ys))
    margin = max(len(top), len(bottom), 3)
    labels = [top, *[""] * (height - 2), bottom]
    lines = [f"{label:>{margin}} |{''.join(cells)}".rstrip() for label, cells in zip(labels, area, strict=True)]
    left, right = _short(min(xs)), _short(max(xs))
    axis = f"{left}{right:>{width - len(left)}}  {x_title}{', logarithmic' * logarithmic}"
    indent = " " * (margin + 1)
    return [f"{indent}{y_title}", *lines, f"{indent}+{'-' * width}", f"{indent} {axis}"]


def _places(values: Sequence[float], count: int) -> list[int]:
    """Each value's place among `count`, the smallest first; all in the middle where they are equal."""
    low, high = min(values), max(values)
    if high == low:
        return [count // 2 for _ in values]
    return [round((value - low) / (high - low) * (count - 1)) for value in values]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
