"""Expected hypervolume improvement, exactly, where all objectives but one are known.

Let e be log-normal, e = exp(N(m, s^2)), and the costs c of a candidate known. The region that the front does not
dominate is split into disjoint boxes [Lacour2017]; of a box that spans the errors (lo, up) and the costs (l, u) the
candidate gains

    prod_j max(u_j - max(c_j, l_j), 0) * (up - max(e, lo))+

whose expectation is that product times P(up) - P(lo), with P(t) = E[(t - e)+]
= t Phi((ln t - m) / s) - exp(m + s^2 / 2) Phi((ln t - m) / s - s). Nothing is sampled.

[Lacour2017] A box decomposition algorithm to compute the hypervolume indicator, Computers & OR 79, 2017.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from sparsemod.pareto import non_dominated

Array = NDArray[np.float64]

_CHUNK = 256


class ExpectedImprovement:
    """Expected gain of hypervolume, all objectives in units of the reference point.

    Args:
        front: Values to improve on, (T, M); rows may be dominated or lie outside the reference point.
        error: Position of the error among the objectives.

    Example:
        >>> empty = ExpectedImprovement(np.empty((0, 2)), error=0)
        >>> empty(np.log([0.5]), np.array([1e-9]), np.array([[0.25]])).round(6).tolist()  # 0.5 x 0.75 of an empty box
        [0.375]
    """

    def __init__(self, front: Array, error: int) -> None:
        others = [index for index in range(front.shape[1]) if index != error]
        lower, upper = _boxes(front)
        self._lower, self._upper = lower[:, others], upper[:, others]
        self._lower_error, self._upper_error = lower[:, error], upper[:, error]

    def __call__(self, mean: Array, deviation: Array, costs: Array) -> Array:
        """The gain of each candidate.

        Args:
            mean: Of the log error, (P,).
            deviation: Of the log error, (P,).
            costs: The known objectives, (P, M - 1), in the order of the objectives without the error.

        Returns:
            Share of the box between zero and the reference point, (P,).
        """
        gains = [np.empty(0)]
        for start in range(0, len(mean), _CHUNK):
            part = slice(start, start + _CHUNK)
            cost, m, s = costs[part, None, :], mean[part, None], deviation[part, None]
            sides = np.clip(self._upper - np.maximum(cost, self._lower), 0, None).prod(axis=2)
            below = _expected_below(self._upper_error, m, s) - _expected_below(self._lower_error, m, s)
            gains.append((sides * below).sum(axis=1))
        return np.concatenate(gains)


def _expected_below(threshold: Array, mean: Array, deviation: Array) -> Array:
    """P(t) = E[(t - e)+] of the log-normal e."""
    with np.errstate(divide="ignore"):
        z = (np.log(np.maximum(threshold, 0)) - mean) / deviation
    result: Array = threshold * ndtr(z) - np.exp(mean + deviation**2 / 2) * ndtr(z - deviation)
    return np.where(threshold > 0, result, 0.0)


def _boxes(front: Array) -> tuple[Array, Array]:
    """Lower and upper corners, (K, M) each, of disjoint boxes that fill what the front leaves of the unit cube."""
    size = front.shape[1]
    inside = front[(front < 1).all(axis=1)]
    inside = inside[non_dominated(inside)]
    if len(inside) == 0:
        return np.zeros((1, size)), np.ones((1, size))
    if size == 1:
        return np.zeros((1, 1)), inside[:1]
    from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning

    partitioning = FastNondominatedPartitioning(-torch.ones(size, dtype=torch.float64), -torch.as_tensor(inside))
    cells = partitioning.get_hypercell_bounds().numpy()  # maximised: (2, K, M)
    return np.clip(-cells[1], 0, None), -cells[0]
