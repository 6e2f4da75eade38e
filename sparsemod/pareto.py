"""Dominance and hypervolume; every objective is minimised.

[Zitzler1999] Multiobjective evolutionary algorithms: a comparative case study, IEEE TEC 3(4), 1999.
[Fonseca2006] An improved dimension-sweep algorithm for the hypervolume indicator, CEC 2006.
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
