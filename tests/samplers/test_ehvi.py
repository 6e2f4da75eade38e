import numpy as np
import pytest
from numpy.typing import NDArray

from sparsemod.pareto import hypervolume
from sparsemod.samplers.ehvi import ExpectedImprovement

Array = NDArray[np.float64]

SAMPLES = 200_000
EMPTY = np.empty((0, 2))


def gain(front: Array, costs: Array, error: float, position: int) -> float:
    """Hypervolume that a candidate of known error adds."""
    ones = np.ones(front.shape[1])
    point = np.insert(costs, position, error)
    return hypervolume(np.vstack([front, point]), ones) - hypervolume(front, ones)


def sampled(
    mean: float, deviation: float, front: Array, costs: Array, position: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean gain over many errors and its standard error.

    Between two errors of the front a gain falls along a straight line, so it is computed at those alone.
    """
    errors = np.exp(rng.normal(mean, deviation, SAMPLES))
    knots = np.unique(np.concatenate([[0.0, 1.0], front[:, position].clip(0, 1)]))
    gains = np.interp(errors, knots, [gain(front, costs, knot, position) for knot in knots])
    return float(gains.mean()), float(gains.std() / SAMPLES**0.5)


def one(mean: float, deviation: float, costs: list[float], front: Array, error: int = 0) -> float:
    """Expected improvement of one candidate; `mean` is the median of its error."""
    return float(ExpectedImprovement(front, error)(np.log([mean]), np.array([deviation]), np.array([costs]))[0])


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
    improvement = ExpectedImprovement(front, error=1)
    together = improvement(mean, deviation, costs)
    assert together.shape == (300,)
    for row in (0, 1, 255, 256, 299):
        alone = slice(row, row + 1)
        expected = improvement(mean[alone], deviation[alone], costs[alone])
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
    for deviation in (1e-300, 1e-12, 5.0, 10.0):
        value = one(0.5, deviation, [0.5], np.array([[0.3, 0.3]]))
        assert np.isfinite(value)
        assert 0 <= value <= 1


def test_no_candidates_have_no_gains() -> None:
    nothing = np.empty(0)
    assert ExpectedImprovement(np.array([[0.5, 0.5]]), error=0)(nothing, nothing, np.empty((0, 1))).shape == (0,)


def test_front_stays_as_it_is() -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.4]])
    before = front.copy()
    one(0.3, 0.5, [0.5], front)
    assert np.array_equal(front, before)
