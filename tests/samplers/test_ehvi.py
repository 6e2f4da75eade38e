from collections.abc import Sequence

import numpy as np
import pytest
import torch
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from numpy.typing import NDArray

from sparsemod.pareto import hypervolume
from sparsemod.samplers.ehvi import ExpectedImprovement

Array = NDArray[np.float64]

SAMPLES = 200_000
FRONTS, MANY = 200, 1_000_000
EMPTY = np.empty((0, 2))


def gain(front: Array, costs: Array, error: float, position: int) -> float:
    """Hypervolume that a candidate of known error adds."""
    ones = np.ones(front.shape[1])
    point = np.insert(costs, position, error)
    return hypervolume(np.vstack([front, point]), ones) - hypervolume(front, ones)


def sampled(
    mean: float,
    deviation: float,
    front: Array,
    costs: Array,
    position: int,
    rng: np.random.Generator,
    count: int = SAMPLES,
) -> tuple[float, float]:
    """Mean gain over many errors and its standard error.

    Between two errors of the front a gain falls along a straight line, so it is computed at those alone.
    """
    errors = np.exp(rng.normal(mean, deviation, count))
    knots = np.unique(np.concatenate([[0.0, 1.0], front[:, position].clip(0, 1)]))
    gains = np.interp(errors, knots, [gain(front, costs, knot, position) for knot in knots])
    return float(gains.mean()), float(gains.std() / count**0.5)


def one(median: float, deviation: float, costs: list[float], front: Array, error: int = 0) -> float:
    """Expected improvement of one candidate of log-normal error and known costs."""
    return float(gains(np.log([median]), np.array([deviation]), np.array([costs]), front, error)[0])


def gains(mean: Array, deviation: Array, costs: Array, front: Array, error: int) -> Array:
    """Of several: the means and deviations of their log errors, (P,), and their costs, (P, M - 1)."""
    logarithmic = [axis == error for axis in range(front.shape[1])]
    means, deviations = np.insert(costs, error, mean, axis=1), np.insert(0 * costs, error, deviation, axis=1)
    return ExpectedImprovement(front, logarithmic)(means, deviations)


# --- agreement with sampling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("points", [0, 1, 3, 8, 15])
def test_expectation_agrees_with_sampling(objectives: int, points: int) -> None:
    rng = np.random.default_rng(100 * objectives + points)
    front = rng.uniform(0, 1.1, (points, objectives))  # some lie outside the reference point
    position = int(rng.integers(objectives))
    for deviation in (0.02, 0.3, 1.0):
        median, costs = rng.uniform(0.02, 1), rng.uniform(0, 1, objectives - 1)
        expected, standard_error = sampled(np.log(median), deviation, front, costs, position, rng)
        assert one(median, deviation, costs.tolist(), front, position) == pytest.approx(
            expected, rel=0, abs=4 * standard_error + 1e-9
        )


def boxes(front: Array) -> tuple[Array, Array]:
    """Corners, (K, M) each, of the boxes into which BoTorch cuts what the front leaves."""
    ones = torch.ones(front.shape[1], dtype=torch.float64)
    cells = FastNondominatedPartitioning(-ones, -torch.as_tensor(front)).get_hypercell_bounds().numpy()
    return np.clip(-cells[1], 0, None), -cells[0]


def sampled_in_boxes(
    mean: Array, deviation: Array, logarithmic: Sequence[bool], front: Array, rng: np.random.Generator, count: int
) -> tuple[float, float]:
    """Mean gain over many points and its standard error, in the boxes of BoTorch."""
    points = rng.normal(mean, deviation, (count, len(mean)))
    points = np.where(logarithmic, np.exp(np.where(logarithmic, points, 0)), points)
    found = np.zeros(count)
    for lower, upper in zip(*boxes(front), strict=True):
        found += np.clip(upper - np.maximum(points, lower), 0, None).prod(axis=1)
    return float(found.mean()), float(found.std() / count**0.5)


@pytest.mark.parametrize("logarithmic", [(True, True), (False, True, False), (False, False, True, False)])
def test_several_objectives_may_be_uncertain(logarithmic: tuple[bool, ...]) -> None:
    """Two of them, one known where there are three or four; also with mass below zero."""
    rng = np.random.default_rng(len(logarithmic))
    for points in (0, 1, 6):
        front = rng.uniform(0, 1.1, (points, len(logarithmic)))
        deviation = np.where(np.arange(len(logarithmic)) < 2, rng.uniform(0.1, 0.6, len(logarithmic)), 0)
        middle = rng.uniform(0.1, 0.8, len(logarithmic))
        mean = np.where(logarithmic, np.log(middle), middle)
        found = ExpectedImprovement(front, logarithmic)(mean[None], deviation[None])[0]
        expected, standard_error = sampled_in_boxes(mean, deviation, logarithmic, front, rng, SAMPLES)
        assert found == pytest.approx(expected, rel=0, abs=4 * standard_error + 1e-9)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_boxes_hold_what_those_of_another_decomposition_hold(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front, point = rng.uniform(0, 1, (12, objectives)), rng.uniform(0, 0.5, objectives)
    lower, upper = boxes(front)
    expected = np.clip(upper - np.maximum(point, lower), 0, None).prod(axis=1).sum()
    found = ExpectedImprovement(front, [False] * objectives)(point[None], np.zeros((1, objectives)))
    assert found == pytest.approx(expected)


def test_front_may_grow_point_by_point() -> None:
    rng = np.random.default_rng(0)
    front, mean = rng.uniform(0, 1, (12, 3)), np.array([[-1.0, 0.2, 0.3], [-2.0, 0.5, 0.1]])
    deviation = np.array([[0.4, 0.0, 0.0], [0.2, 0.0, 0.0]])
    growing = ExpectedImprovement(front[:4], (True, False, False))
    for point in front[4:]:
        growing.add(point)
    expected = ExpectedImprovement(front, (True, False, False))(mean, deviation)
    assert growing(mean, deviation) == pytest.approx(expected)
    assert (growing(mean, deviation) <= ExpectedImprovement(front[:4], (True, False, False))(mean, deviation)).all()


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_expectation_agrees_with_a_million_samples_on_fifty_fronts(objectives: int) -> None:
    """Empty fronts, points outside the reference point, ties and known errors among them.

    Of 50 means at most one may be further away than three of its standard errors, none than five.
    """
    rng = np.random.default_rng(objectives)
    distances = []
    for case in range(FRONTS // 4):
        front = rng.uniform(0, 1.1, (int(rng.integers(0, 25)) if case else 0, objectives))
        if case % 3 == 1:
            front = np.round(front, 1)  # ties
        position, costs = int(rng.integers(objectives)), rng.uniform(0, 1, objectives - 1)
        if case % 3 == 1:
            costs = np.round(costs, 1)
        median, deviation = rng.uniform(0.02, 1), 0.0 if case % 10 == 2 else rng.uniform(0.01, 1.5)
        found = one(median, deviation, costs.tolist(), front, position)
        expected, error = sampled(np.log(median), deviation, front, costs, position, rng, MANY)
        distances.append(abs(found - expected) / (error + 1e-9))
    assert max(distances) < 5
    assert sum(distance > 3 for distance in distances) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_expectation_of_several_agrees_with_a_million_samples(objectives: int) -> None:
    rng = np.random.default_rng(10 + objectives)
    for _ in range(5):
        front, middle = rng.uniform(0, 1.1, (6, objectives)), rng.uniform(0.1, 0.8, objectives)
        logarithmic, deviation = rng.random(objectives) < 0.5, rng.uniform(0.1, 0.6, objectives)
        mean = np.where(logarithmic, np.log(middle), middle)
        found = ExpectedImprovement(front, logarithmic.tolist())(mean[None], deviation[None])[0]
        expected, error = sampled_in_boxes(mean, deviation, logarithmic.tolist(), front, rng, MANY)
        assert found == pytest.approx(expected, rel=0, abs=4 * error)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_error_may_stand_at_any_position(position: int) -> None:
    rng = np.random.default_rng(0)
    front, costs = rng.uniform(0.2, 1, (6, 3)), np.array([0.3, 0.4])
    moved = np.insert(front[:, 1:], position, front[:, 0], axis=1)
    assert one(0.3, 0.5, costs.tolist(), moved, position) == pytest.approx(one(0.3, 0.5, costs.tolist(), front, 0))


def test_candidates_are_judged_one_by_one() -> None:
    rng = np.random.default_rng(0)
    front, costs = rng.uniform(0, 1, (5, 3)), rng.uniform(0, 1, (300, 2))
    mean, deviation = np.log(rng.uniform(0.05, 1, 300)), rng.uniform(0.1, 1, 300)
    together = gains(mean, deviation, costs, front, 1)
    assert together.shape == (300,)
    for row in (0, 1, 255, 256, 299):
        alone = slice(row, row + 1)
        expected = gains(mean[alone], deviation[alone], costs[alone], front, 1)
        assert together[alone] == pytest.approx(expected, rel=1e-12, abs=1e-15)


# --- by hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [1e-3, 1e-6, 1e-12])
def test_certain_error_gains_its_hypervolume(deviation: float) -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert one(0.5, deviation, [0.25], EMPTY) == pytest.approx(0.5 * 0.75, abs=1e-3 * deviation + 1e-9)
    # below 0.8 for errors from 0.4 to 0.6, below 0.4 from 0.6 to 1
    assert one(0.4, deviation, [0.3], front) == pytest.approx(0.2 * 0.5 + 0.4 * 0.1, abs=deviation + 1e-9)


def test_expectation_over_an_empty_front_is_a_formula() -> None:
    """With a cost of 0 the gain is E[(1 - e)+]; for a median of 1 that is 1 / 2 - exp(s^2 / 2) Phi(-s)."""
    assert one(1.0, 1.0, [0.0], EMPTY) == pytest.approx(0.5 - np.exp(0.5) * 0.15865525, abs=1e-6)
    assert one(1.0, 1.0, [0.75], EMPTY) == pytest.approx(0.25 * (0.5 - np.exp(0.5) * 0.15865525), abs=1e-6)


def test_single_objective_is_expected_improvement() -> None:
    """Below the best error of 0.5 nothing but the error counts."""
    assert one(0.3, 1e-9, [], np.array([[0.5], [0.7]])) == pytest.approx(0.2)
    assert one(0.6, 1e-9, [], np.array([[0.5], [0.7]])) == pytest.approx(0)
    assert one(0.3, 1e-9, [], np.empty((0, 1))) == pytest.approx(0.7)


@pytest.mark.parametrize("cost", [1.0, 1.5])
def test_cost_beyond_the_reference_gains_nothing(cost: float) -> None:
    assert one(0.1, 0.5, [cost], EMPTY) == 0
    assert one(0.1, 0.5, [0.2, cost], np.array([[0.5, 0.5, 0.5]])) == 0


def test_front_beyond_the_reference_counts_nothing() -> None:
    outside = np.array([[0.1, 1.0], [1.2, 0.1]])
    assert one(0.3, 0.5, [0.4], outside) == one(0.3, 0.5, [0.4], EMPTY)


def test_dominated_rows_of_the_front_count_nothing() -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    more = np.vstack([front, [[0.7, 0.9], [0.6, 0.4]]])
    assert one(0.3, 0.5, [0.5], more) == pytest.approx(one(0.3, 0.5, [0.5], front))


def test_candidate_certain_to_be_dominated_gains_nothing() -> None:
    front = np.array([[0.2, 0.2, 0.2]])
    assert one(0.9, 0.01, [0.5, 0.5], front) == pytest.approx(0, abs=1e-12)
    assert one(0.9, 0.01, [0.2, 0.2], front) == pytest.approx(0, abs=1e-12)


def test_candidate_of_equal_cost_gains_by_the_chance_of_a_lower_error() -> None:
    """Half of the chance of 0.2 * (1 - e / 0.2)+ times a width of 0.5."""
    front = np.array([[0.2, 0.5]])
    expected = 0.5 * 0.2 * (0.5 - np.exp(0.5) * 0.15865525)
    assert one(0.2, 1.0, [0.5], front) == pytest.approx(expected, abs=1e-6)


def test_lower_predicted_error_gains_more() -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    gains = [one(median, 0.3, [0.5], front) for median in (0.05, 0.1, 0.3, 0.5, 0.9)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 10 * gains[-1] > 0


def test_lower_cost_gains_more() -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    gains = [one(0.3, 0.3, [cost], front) for cost in (0.1, 0.3, 0.5, 0.7, 0.79)]
    assert gains == sorted(gains, reverse=True)


def test_gain_is_finite_however_uncertain_the_error() -> None:
    for deviation in (0.0, 1e-300, 1e-12, 5.0, 10.0):
        value = one(0.5, deviation, [0.5], np.array([[0.3, 0.3]]))
        assert np.isfinite(value)
        assert 0 <= value <= 1


def test_no_candidates_have_no_gains() -> None:
    nothing = np.empty((0, 2))
    assert ExpectedImprovement(np.array([[0.5, 0.5]]), (True, False))(nothing, nothing).shape == (0,)


def test_front_stays_as_it_is() -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    before = front.copy()
    one(0.3, 0.5, [0.5], front)
    assert np.array_equal(front, before)
