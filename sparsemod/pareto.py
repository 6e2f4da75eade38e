"""Dominance and hypervolume; every objective is minimised.

[Zitzler1999] Multiobjective evolutionary algorithms: a comparative case study, IEEE TEC 3(4), 1999.
[Fonseca2006] An improved dimension-sweep algorithm for the hypervolume indicator, CEC 2006.
[Das1999] On characterizing the "knee" of the Pareto curve, Structural Optimization 18, 1999.
"""

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the points that no other point dominates.

    A point dominates another if it is nowhere worse and somewhere better. Of equal points the first is kept. A point
    with a NaN takes no part: it is never kept and dominates nothing.

    Args:
        points: Objective values, (T, M).

    Returns:
        Mask, (T,).

    Example:
        >>> non_dominated([[1, 4], [2, 2], [3, 3], [2, 2]]).tolist()
        [True, True, False, False]
    """
    values = np.asarray(points, dtype=float)
    mask = np.zeros(len(values), dtype=bool)
    if len(values) == 0:
        return mask
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    if len(known):
        mask[known] = moocore.is_nondominated(values[known], keep_weakly=False)
    return mask


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Share of the box between the origin and the reference point that the points dominate [Zitzler1999].

    Values are divided by the reference point first, so that the result lies in [0, 1] and no unit weighs more than
    another. Points outside the box count nothing. Computed exactly [Fonseca2006].

    Args:
        points: Objective values, (T, M), none negative.
        reference: The worst value that still counts, per objective, (M,), all positive.

    Example:
        >>> hypervolume([[1, 2], [2, 1]], reference=[4, 4])  # two 3 x 2 rectangles that share 2 x 2, of 4 x 4
        0.5
    """
    scale = np.asarray(reference, dtype=float)
    values = np.asarray(points, dtype=float).reshape(-1, len(scale)) / scale
    inside = values[(values < 1).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=np.ones(len(scale)))) if len(inside) else 0.0


def knee(points: ArrayLike) -> int:
    """Position of the point that gives up least in all objectives together; of equals the first.

    Each objective is scaled to [0, 1] over the points; the knee has the smallest sum. With two objectives it is the
    point that lies farthest below the straight line between the ends of the front [Das1999].

    Args:
        points: Objective values of a front, (T, M), at least one.

    Example:
        >>> knee([[0, 10], [1, 4], [5, 3], [10, 0]])  # sums 1, 0.5, 0.8, 1
        1
    """
    values = np.asarray(points, dtype=float)
    width = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(width > 0, width, 1.0)
    return int(scaled.sum(axis=1).argmin())
