import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.pareto import hypervolume, knee, non_dominated


def rows(low: float = -5, high: float = 5, whole: bool = True) -> st.SearchStrategy[list[list[float]]]:
    """Points (T, M); whole numbers tie often."""
    value = st.integers(int(low), int(high)).map(float) if whole else st.floats(low, high)
    points = {m: st.lists(st.lists(value, min_size=m, max_size=m), min_size=1, max_size=9) for m in range(1, 5)}
    return st.sampled_from(sorted(points)).flatmap(points.__getitem__)


def dominates(first: list[float], second: list[float]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True)) and first != second


def test_dominated_points_are_left_out_and_order_stays() -> None:
    assert non_dominated([[3, 3], [1, 4], [2, 2], [4, 1], [1, 5]]).tolist() == [False, True, True, True, False]


def test_first_of_equal_points_is_kept() -> None:
    assert non_dominated([[2, 2], [1, 3], [2, 2], [2, 2]]).tolist() == [True, True, False, False]


def test_one_objective_keeps_the_first_minimum() -> None:
    assert non_dominated([[2], [1], [3], [1]]).tolist() == [False, True, False, False]


def test_no_points_have_no_front() -> None:
    assert non_dominated([]).tolist() == []
    assert non_dominated(np.zeros((0, 3))).tolist() == []


def test_infinite_values_are_ordinary_bad_values() -> None:
    assert non_dominated([[math.inf, 1.0], [1.0, math.inf], [math.inf, math.inf]]).tolist() == [True, True, False]


@pytest.mark.parametrize("unknown", [[1, math.nan], [math.nan, 1], [math.nan, math.nan]])
def test_point_with_nan_is_not_kept_and_pushes_nothing_out(unknown: list[float]) -> None:
    assert non_dominated([[2.0, 2.0], unknown, [3.0, 3.0]]).tolist() == [True, False, False]
    assert non_dominated([unknown]).tolist() == [False]


@given(rows())
def test_front_is_that_of_the_definition(points: list[list[float]]) -> None:
    expected = [
        not any(dominates(other, point) for other in points) and point not in points[:index]
        for index, point in enumerate(points)
    ]
    assert non_dominated(points).tolist() == expected


def test_points_are_not_changed() -> None:
    points = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    before = points.copy()
    non_dominated(points)
    hypervolume(points, [4, 4])
    assert (points == before).all()


def test_hypervolume_of_one_point_is_its_box() -> None:
    assert hypervolume([[1, 5]], reference=[4, 10]) == pytest.approx(3 / 4 * 5 / 10)


def test_hypervolume_of_three_points_in_a_plane() -> None:
    # columns of a staircase: 1 x 1 + 2 x 3 + 2 x 5 = 17 of 6 x 6
    assert hypervolume([[1, 5], [2, 3], [4, 1]], reference=[6, 6]) == pytest.approx(17 / 36)


def test_hypervolume_of_two_boxes_in_space() -> None:
    # 1 x 2 x 3 and 3 x 2 x 1 that share 1 x 2 x 1
    assert hypervolume([[3, 2, 1], [1, 2, 3]], reference=[4, 4, 4]) == pytest.approx((6 + 6 - 2) / 64)


def test_hypervolume_agrees_with_monte_carlo_in_four_dimensions() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((12, 4))
    samples = rng.random((50_000, 4))
    dominated = (points[:, None] <= samples).all(axis=2).any(axis=0).mean()
    assert hypervolume(points, np.ones(4)) == pytest.approx(dominated, abs=0.01)


def test_nothing_has_no_hypervolume() -> None:
    assert hypervolume([], [1, 1]) == 0
    assert hypervolume(np.zeros((0, 2)), [1, 1]) == 0


def test_ideal_point_dominates_everything() -> None:
    assert hypervolume([[0, 0]], [0.5, 1e6]) == 1


@pytest.mark.parametrize("point", [[2, 1], [5, 0], [math.nan, 0], [math.inf, 0]])
def test_point_not_better_than_the_reference_counts_nothing(point: list[float]) -> None:
    assert hypervolume([point], [2, 2]) == 0
    assert hypervolume([[1.0, 1.0], point], [2, 2]) == 0.25


@given(rows(0, 6))
def test_hypervolume_grows_with_points_and_counts_each_once(points: list[list[float]]) -> None:
    reference = [5.0] * len(points[0])
    shares = [hypervolume(points[:count], reference) for count in range(len(points) + 1)]
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(shares))
    assert 0 <= shares[-1] <= 1
    assert hypervolume(points + points[::-1], reference) == pytest.approx(shares[-1])


@given(rows(0, 1, whole=False), st.floats(1e-6, 1e6))
def test_hypervolume_does_not_depend_on_units(points: list[list[float]], factor: float) -> None:
    ones = np.ones(len(points[0]))
    share = hypervolume(points, ones)
    assert hypervolume(np.asarray(points) * factor, ones * factor) == pytest.approx(share, abs=1e-9)


def test_knee_is_the_point_farthest_below_the_line_between_the_ends() -> None:
    assert knee([[0, 10], [4, 4], [1, 3], [10, 0]]) == 2


def test_knee_does_not_depend_on_units() -> None:
    assert knee([[0, 10_000], [4, 4_000], [1, 3_000], [10, 0]]) == 2


def test_knee_of_one_point_or_of_equal_ones_is_the_first() -> None:
    assert knee([[3, 5]]) == 0
    assert knee([[3, 5], [3, 5]]) == 0


def test_knee_ignores_an_objective_that_does_not_vary() -> None:
    assert knee([[0, 7, 10], [1, 7, 3], [10, 7, 0]]) == 1
