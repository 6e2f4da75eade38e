"""When a candidate is given up while it trains, and when not."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.early_stopping import EarlyStopping, rungs
from sparsemod.problem import Problem
from sparsemod.space import Float, Int, SearchSpace
from sparsemod.study import Candidate, Study, Trial

SPACE = SearchSpace({"size": Int(1, 1000), "rate": Float(0.0, 1.0)})
PROBLEM = Problem(
    SPACE,
    objective=lambda candidate: {"error": 0.5},
    costs=lambda parameters: {"model_size": float(parameters["size"]), "working_memory": 10.0},
)
OBJECTIVES = ("error", "model_size", "working_memory")


def stopping() -> EarlyStopping:
    return EarlyStopping(Screen(PROBLEM, from_keywords(problem=PROBLEM)))


def candidate(number: int, size: int, epochs: int = 20, parent: int | None = None) -> Candidate:
    return Candidate(number, {"size": size, "rate": number / 1000}, epochs, "test", parent)


def trial(found: Candidate, curve: Mapping[int, float], error: float | None = None) -> Trial:
    score = (
        {} if error is None else {"error": error, "model_size": float(found.parameters["size"]), "working_memory": 10.0}
    )
    return Trial(found, "stopped" if error is None else "complete", score, curve=curve)


def study(*trials: Trial) -> Study:
    found = Study(OBJECTIVES)
    for each in trials:
        found.add(each)
    return found


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, {}), (2, {1: 4 / 3}), (3, {1: 4 / 3, 2: 2 / 3}), (10, {1: 4 / 3, 3: 1, 6: 2 / 3})]
)
def test_rungs_are_at_a_tenth_three_and_six_tenths_and_tell_more_and_more(
    epochs: int, expected: Mapping[int, float]
) -> None:
    assert rungs(epochs) == expected


def test_first_candidate_is_measured_and_never_given_up() -> None:
    assert stopping().bars(study(), candidate(0, 100)) == {2: math.inf, 6: math.inf, 12: math.inf}


def test_bar_is_the_error_of_a_cheaper_trial_and_a_margin_that_falls_around_three_tenths() -> None:
    done = study(trial(candidate(0, 50), {2: 0.6, 6: 0.35, 12: 0.24}, error=0.2))
    assert stopping().bars(done, candidate(1, 100)) == pytest.approx({2: 1.0, 6: 0.5, 12: 0.3})  # / 0.6, 0.7, 0.8


def test_bar_is_that_of_the_best_of_several() -> None:
    done = study(
        trial(candidate(0, 50), {2: 0.6, 6: 0.35, 12: 0.24}, error=0.2),
        trial(candidate(1, 60), {2: 0.3, 6: 0.7, 12: 0.7}, error=0.6),
    )
    assert stopping().bars(done, candidate(2, 100)) == pytest.approx({2: 0.5, 6: 0.5, 12: 0.3})


def test_trial_that_was_given_up_counts_as_far_as_it_went() -> None:
    done = study(trial(candidate(0, 50), {2: 0.6}))
    assert stopping().bars(done, candidate(1, 100)) == pytest.approx({2: 1.0, 6: math.inf, 12: math.inf})


@pytest.mark.parametrize(
    "other",
    [
        candidate(1, 101),  # costs more
        candidate(1, 50, epochs=10),  # was trained by another schedule
        candidate(1, 50, parent=0),  # began with the weights of a parent
    ],
)
def test_what_is_not_comparable_sets_no_bar(other: Candidate) -> None:
    done = study(
        trial(candidate(0, 900), {2: 0.9, 6: 0.9, 12: 0.9}, error=0.9), trial(other, {2: 0.1, 6: 0.1}, error=0.1)
    )
    assert stopping().bars(done, candidate(2, 100)) == {2: math.inf, 6: math.inf, 12: math.inf}


def test_costs_that_are_equal_are_comparable() -> None:
    done = study(trial(candidate(0, 100), {2: 0.6}, error=0.2))
    assert stopping().bars(done, candidate(1, 100))[2] == pytest.approx(1.0)


def test_small_networks_are_not_held_against_large_ones() -> None:
    """What plain successive halving does: the large network is better at every rung."""
    done = study(trial(candidate(0, 900), {2: 0.01, 6: 0.01, 12: 0.01}, error=0.01))
    assert set(stopping().bars(done, candidate(1, 10)).values()) == {math.inf}


def rising(lead: float, late: bool) -> Study:
    """Ten finished trials; the last was behind by `lead` at the middle rung and came out best if it is a late one."""
    first = trial(candidate(0, 10), {2: 0.5, 6: 0.5, 12: 0.5}, error=0.4)
    others = [trial(candidate(n, 100 + n), {2: 0.5, 6: 0.5, 12: 0.5}, error=0.4) for n in range(1, 9)]
    behind = 0.5 / (1 - lead) + 1e-6
    last = trial(candidate(9, 500), {2: 0.5, 6: behind, 12: 0.5}, error=0.1 if late else 0.9)
    return study(first, *others, last)


def test_margin_is_the_smallest_until_ten_trials_are_finished() -> None:
    done = rising(lead=0.45, late=True)
    assert stopping().margin(study(*done.trials[:9])) == 0.3


@pytest.mark.parametrize(("lead", "expected"), [(0.1, 0.3), (0.28, 0.3), (0.35, 0.4), (0.45, 0.5)])
def test_margin_is_the_smallest_that_would_not_have_given_up_a_network_of_the_front(
    lead: float, expected: float
) -> None:
    assert stopping().margin(rising(lead, late=True)) == expected


def test_giving_up_what_is_off_the_front_is_no_mistake() -> None:
    assert stopping().margin(rising(0.45, late=False)) == 0.3


def test_nothing_is_given_up_where_no_margin_is_harmless() -> None:
    done = rising(0.8, late=True)
    assert stopping().margin(done) == 1
    assert set(stopping().bars(done, candidate(10, 900)).values()) == {math.inf}


def test_error_of_zero_leaves_no_doubt() -> None:
    done = study(trial(candidate(0, 50), {2: 0.0, 6: 0.0, 12: 0.0}, error=0.0))
    assert stopping().bars(done, candidate(1, 100)) == {2: 0.0, 6: 0.0, 12: 0.0}


def test_bars_are_the_same_asked_after_every_trial_or_in_the_end() -> None:
    rng = np.random.default_rng(0)
    growing, often = study(), stopping()
    for number in range(60):
        error = float(rng.choice((0.2, 0.4, 0.8)))
        found = candidate(number, int(rng.integers(1, 1000)), parent=0 if number % 3 == 2 else None)
        curve = {2: error, 6: error * float(rng.random()), 12: error}
        growing.add(trial(found, curve, error if number % 2 else None))
        often.bars(growing, candidate(100 + number, 500))
    for size in (5, 300, 900):
        asked = candidate(200 + size, size)
        assert often.bars(growing, asked) == stopping().bars(growing, asked)
        cheaper = [
            each.curve[6]
            for each in growing
            if each.candidate.parent is None and int(each.candidate.parameters["size"]) <= size
        ]
        least = min(cheaper, default=math.inf)
        assert often.bars(growing, asked)[6] == pytest.approx(least / (1 - often.margin(growing)))


def test_another_study_is_read_from_its_beginning() -> None:
    asked = stopping()
    asked.bars(study(trial(candidate(0, 50), {2: 0.7}, error=0.2)), candidate(1, 100))
    assert asked.bars(study(), candidate(1, 100))[2] == math.inf
