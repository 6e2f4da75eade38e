"""Expected hypervolume improvement, exactly, of candidates whose objectives are known or believed independently.

The region that the front leaves below the reference point is cut into disjoint boxes. Of a box from l to u a candidate
with the objectives y gains prod_j (u_j - max(y_j, l_j))+. That is a product of terms of one objective each, so for
independent objectives its expectation is the product of E[(u_j - max(y_j, l_j))+] = P_j(u_j) - P_j(l_j), where
P_j(t) = E[(t - y_j)+] is

    (t - y)+                                                   of a known objective,
    (t - m) Phi(z) + s phi(z)                                  of a normal one, N(m, s^2), with z = (t - m) / s,
    t Phi(z) - exp(m + s^2 / 2) Phi(z - s)                     of a log-normal one, with z = (ln t - m) / s,

and the expectation of the whole improvement is the sum over the boxes. Nothing is sampled [Emmerich2011].

A new point takes from each box what it dominates there; the rest is at most one box per objective. This gives more
boxes than a decomposition into few [Lacour2017], but far sooner, and a point can be added at any time.

[Emmerich2011] Hypervolume-based expected improvement: monotonicity properties and exact computation, IEEE CEC 2011.
[Lacour2017] A box decomposition algorithm to compute the hypervolume indicator, Computers & OR 79, 2017.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sparsemod.pareto import non_dominated

Array = NDArray[np.float64]

_ELEMENTS = 2_000_000
"""Candidates times boxes that are held at a time."""


class ExpectedImprovement:
    """Expected gain of hypervolume over a front that may grow, all objectives in units of the reference point.

    Args:
        front: Values to improve on, (T, M); rows may be dominated or lie outside the reference point.
        logarithmic: Of each objective, whether the logarithm is what is believed to be normal, (M,).

    Example:
        >>> empty = ExpectedImprovement(np.empty((0, 2)), logarithmic=(True, False))
        >>> empty(np.array([[np.log(0.5), 0.25]]), np.zeros((1, 2))).round(6).tolist()  # 0.5 x 0.75 of an empty box
        [0.375]
    """

    def __init__(self, front: Array, logarithmic: Sequence[bool]) -> None:
        self._logarithmic = tuple(logarithmic)
        self._lower, self._upper = np.zeros((1, front.shape[1])), np.ones((1, front.shape[1]))
        inside = front[(front < 1).all(axis=1)]
        for point in inside[non_dominated(inside)]:
            self.add(point)

    def add(self, point: Array) -> None:
        """Lets the front grow by a point, (M,)."""
        corner = np.maximum(self._lower, point)
        cut = (corner < self._upper).all(axis=1)
        lowers, uppers = [self._lower[~cut]], [self._upper[~cut]]
        lower, upper, corner = self._lower[cut], self._upper[cut], corner[cut]
        for axis in range(len(point)):
            slab = corner[:, axis] > lower[:, axis]
            lowers.append(lower[slab])
            uppers.append(upper[slab])
            uppers[-1][:, axis] = corner[slab, axis]
            lower[:, axis] = corner[:, axis]
        self._lower, self._upper = np.concatenate(lowers), np.concatenate(uppers)

    def __call__(self, mean: Array, deviation: Array) -> Array:
        """The gain of each candidate.

        Args:
            mean: Of each objective or its logarithm, (P, M).
            deviation: Likewise, (P, M); zero where it is known.

        Returns:
            Share of the box between zero and the reference point, (P,).
        """
        chunk = max(1, _ELEMENTS // max(len(self._lower), 1))
        gains = [np.empty(0)]
        for start in range(0, len(mean), chunk):
            part = slice(start, start + chunk)
            volume = np.ones((len(mean[part]), len(self._lower)))
            for axis, logarithmic in enumerate(self._logarithmic):
                volume *= self._side(axis, mean[part, axis, None], deviation[part, axis, None], logarithmic)
            gains.append(volume.sum(axis=1))
        return np.concatenate(gains)

    def _side(self, axis: int, mean: Array, deviation: Array, logarithmic: bool) -> Array:
        """Expected length that each candidate adds to each box along one axis, (P, K)."""
        if not deviation.any():
            value = np.exp(mean) if logarithmic else mean
            return np.clip(self._upper[:, axis] - np.maximum(value, self._lower[:, axis]), 0, None)
        ends, place = np.unique([self._lower[:, axis], self._upper[:, axis]], return_inverse=True)
        below = (_below_lognormal if logarithmic else _below_normal)(ends, mean, np.maximum(deviation, 1e-12))
        lower, upper = place.reshape(2, -1)
        return np.clip(below[:, upper] - below[:, lower], 0, None)


def _below_normal(threshold: Array, mean: Array, deviation: Array) -> Array:
    """E[(t - y)+] of a normal y."""
    z = (threshold - mean) / deviation
    density = np.exp(-np.minimum(z**2, 1e3) / 2) / np.sqrt(2 * np.pi)
    below: Array = (threshold - mean) * ndtr(z) + deviation * density
    return below


def _below_lognormal(threshold: Array, mean: Array, deviation: Array) -> Array:
    """E[(t - y)+] of a y whose logarithm is normal."""
    with np.errstate(divide="ignore"):
        z = (np.log(threshold) - mean) / deviation
    return np.where(threshold > 0, threshold * ndtr(z) - np.exp(mean + deviation**2 / 2) * ndtr(z - deviation), 0.0)
