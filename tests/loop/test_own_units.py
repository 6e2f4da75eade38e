"""Searches whose error is no share of wrong classes, or whose data are sequences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from problems.own_errors import autoencoder, regression, variable

import sparsemod
from sparsemod.config import from_keywords
from sparsemod.problem import Problem
from sparsemod.retrain import test as retest
from sparsemod.study import Study
from sparsemod.tested import Tested
from sparsemod.testing import check_problem


def searched(tmp_path: Path, problem: Problem, **keywords: Any) -> Study:
    few = {"r1": 4, "r2": 1, "r3": 0, "epochs1": 1, "epochs2": 1, "finish_epochs": 0, "device": "microbit-v2"}
    return sparsemod.search(problem=problem, root=str(tmp_path), name="own", **{**few, **keywords})


def measured(tmp_path: Path, problem: Problem, number: int, **values: Any) -> list[Tested]:
    """The saved network, and one that was trained again."""
    config = from_keywords(problem=problem, device="microbit-v2")
    at = replace(config.test, root=str(tmp_path), name="own", epochs=2, seeds=1, **values)
    return retest(replace(config, test=at), [number])


@pytest.mark.parametrize("problem", [regression, autoencoder, variable], ids=["regression", "autoencoder", "sequences"])
def test_problem_that_is_no_classification_of_images_passes_the_contract(problem: Problem) -> None:
    assert check_problem(problem) == []


def test_error_in_units_of_its_own_is_judged_by_the_first_trials(tmp_path: Path) -> None:
    study = searched(tmp_path, regression)
    assert [trial.status for trial in study.trials] == ["complete"] * 5
    errors = [trial.score["error"] for trial in study.trials]
    assert min(errors) > 1
    assert study.reference_point()["error"] == max(errors)
    assert study.reference_basis()["error"] == "inferred from the first trials"
    assert study.hypervolume() > 0


def test_largest_error_that_counts_may_be_above_one_and_a_hard_limit(tmp_path: Path) -> None:
    free = searched(tmp_path / "free", regression, max_error=40)
    assert free.reference_point()["error"] == 40
    middle = sorted(trial.score["error"] for trial in free.trials)[2]
    study = searched(tmp_path / "limited", regression, objectives=["model_size"], max_error=middle)
    assert study.limits["error"] == middle > 1
    assert {trial.score["error"] > middle for trial in study.completed()} == {True, False}
    assert all(trial.score["error"] <= middle for trial in study.pareto_front())


def test_search_stops_at_an_error_above_one_that_is_small_enough(tmp_path: Path) -> None:
    study = searched(tmp_path, regression, min_error=20, r1=8)
    assert len(study.trials) == 1


def test_sequences_are_searched_over_their_length_and_tested(tmp_path: Path) -> None:
    study = searched(tmp_path, variable, epochs1=4, early_stopping=False)
    assert [trial.status for trial in study.trials] == ["complete"] * 5
    front = study.pareto_front()
    assert study.load_model(front[0].number).activations[0].shape == (front[0].candidate.parameters["max_len"], 2)
    saved, retrained = measured(tmp_path, variable, front[0].number)
    assert (saved.status, retrained.status) == ("complete", "complete"), retrained.reason
    assert saved.error is not None and retrained.error is not None
    assert max(saved.error, retrained.error) < 0.5
    assert len(retrained.recalls) == 2


def test_speakers_of_sequences_are_left_out_one_by_one(tmp_path: Path) -> None:
    study = searched(tmp_path, variable, r1=1, r2=0)
    found = measured(tmp_path, variable, study.trials[0].number, folds="groups", splitter=True)
    assert [each.group for each in found] == [None, *range(10)]
    assert {each.status for each in found} == {"complete"}


def test_what_has_no_classes_is_tested_by_its_own_error(tmp_path: Path) -> None:
    study = searched(tmp_path, regression, r1=1, r2=0)
    for each in measured(tmp_path, regression, study.trials[0].number):
        assert each.status == "complete", each.reason
        assert each.error is not None and each.error > 1
        assert each.recalls == ()
