"""When a stage or the search ends early, and with what words."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from problems.searches import FLAT, FORMULA, TINY, broken, front, interrupted, origins, problem_of, searched

from sparsemod.errors import InputError, SparsemodError
from sparsemod.results import load as load_study
from sparsemod.results import stops
from sparsemod.samplers.finish import Finish
from sparsemod.space import Choice, Int, SearchSpace
from sparsemod.study import Candidate

# --- stopping --------------------------------------------------------------------------------------------------------


def slow(candidate: Candidate) -> Mapping[str, float]:
    time.sleep(0.02)
    return {"error": 0.5, "model_size": 100, "working_memory": 50}


def test_time_limit_ends_the_search(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=problem_of(slow), r1=1000, time_limit=0.3)
    assert 1 <= len(study.trials) <= 16
    assert set(origins(study)) == {"sobol"}
    assert stops(tmp_path / "study") == ["quasi-random: time limit of 0.3 s reached"]


def test_time_limit_leaves_time_to_train_the_front_on(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=TINY, objectives=2, r1=1000, r2=0, r3=0, time_limit=6, finish_epochs=3)
    assert set(origins(study)) == {"sobol", "finish"}
    assert stops(tmp_path / "study")[0] == "quasi-random: time limit of 6 s reached"


def test_stages_have_half_of_the_time_however_long_the_finish_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Finish, "seconds", lambda finish, study: 1e9)
    study = searched(tmp_path, problem=TINY, objectives=2, r1=1000, r2=0, r3=0, time_limit=4, finish_epochs=2)
    ends = [trial.elapsed for trial in study if trial.candidate.origin == "sobol"]
    assert max(ends) >= 1  # the last one ends before two seconds, and the next one after that
    assert stops(tmp_path / "study")[0] == "quasi-random: time limit of 4 s reached"


def test_small_error_ends_the_stages_and_the_front_is_trained_on(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=TINY, objectives=2, r1=1000, r2=0, r3=0, min_error=0.3, finish_epochs=2)
    assert min(trial.score["error"] for trial in study if trial.candidate.origin == "sobol" and trial.score) <= 0.3
    assert all(study.epochs_seen(trial.candidate) == 2 for trial in study.pareto_front())


def test_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": problem_of(slow), "r1": 1000, "r2": 0, "r3": 0}
    first = len(searched(tmp_path, time_limit="300 ms", **budget).trials)
    assert len(searched(tmp_path, time_limit="300 ms", **budget).trials) <= first + 1
    assert first < len(searched(tmp_path, time_limit="600 ms", **budget).trials) <= first + 17


def test_small_error_ends_the_search(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=20, min_error=0.1)
    assert study.trials[-1].score["error"] <= 0.1 < min(trial.score["error"] for trial in study.trials[:-1])
    reason = f"an error of {study.trials[-1].score['error']:.4g} is small enough (min_error 0.1)"
    assert stops(tmp_path / "study") == [f"quasi-random: {reason}"]


def test_network_over_the_limits_does_not_end_the_search(tmp_path: Path) -> None:
    def over(candidate: Candidate) -> Mapping[str, float]:
        return {"error": 0.01, "model_size": 1e9, "working_memory": 50}

    assert len(searched(tmp_path, problem=problem_of(over), r1=3, r2=0, r3=0, min_error=0.1).trials) == 3


STAGNANT: Mapping[str, Any] = {
    "problem": FLAT, "r1": 20, "r2": 20, "r3": 20, "batch_size": 1, "tolerance": 0.01, "patience": 3,
}  # fmt: skip


def test_stage_ends_when_the_hypervolume_stops_growing(tmp_path: Path) -> None:
    study = searched(tmp_path, **STAGNANT)
    # the first trial of a stage is as good as all that follow, and the three after it show that
    assert Counter(origins(study)) == {"sobol": 4, "bayes": 4, "morph": 4}
    grew = "hypervolume grew by less than 0.01 in 3 rounds"
    assert stops(tmp_path / "study") == [f"quasi-random: {grew}", f"Gaussian process: {grew}", f"morphism: {grew}"]


def test_stage_of_several_workers_ends_when_the_hypervolume_stops_growing(tmp_path: Path) -> None:
    """A window is three rounds: six trials of the first stage, three of the second; what was asked ahead is tried."""
    study = searched(tmp_path, executor="processes", workers=2, morphisms=False, **STAGNANT)
    grew = "hypervolume grew by less than 0.01 in 3 rounds"
    assert stops(tmp_path / "study") == [f"quasi-random: {grew}", f"Gaussian process: {grew}"]
    tried = Counter(origins(study))
    assert 7 <= tried["sobol"] <= 12 and 4 <= tried["bayes"] <= 10


@pytest.mark.parametrize(("batch_size", "bayes"), [(1, 4), (2, 8)])
def test_stage_that_ended_early_stays_ended_when_the_search_resumes(
    tmp_path: Path, batch_size: int, bayes: int
) -> None:
    settings = {**STAGNANT, "batch_size": batch_size}
    searched(tmp_path / "whole", **settings)
    for k in (19, 26):
        assert interrupted(tmp_path / str(k), k, **settings)
        study = searched(tmp_path / str(k), **settings)
        assert Counter(origins(study)) == {"sobol": 4, "bayes": bayes, "morph": 4}, k
        assert front(tmp_path / str(k)) == front(tmp_path / "whole"), k


def test_round_that_was_begun_is_finished_before_a_stage_ends(tmp_path: Path) -> None:
    study = searched(tmp_path, **{**STAGNANT, "r1": 2, "batch_size": 3, "patience": 1, "morphisms": False})
    assert Counter(origins(study)) == {"sobol": 2, "bayes": 6}  # the second round of three shows no growth
    assert study.pending == []


def test_space_smaller_than_the_budget_is_searched_to_its_end(tmp_path: Path) -> None:
    space = SearchSpace({"width": Choice((1, 2, 3)), "depth": Int(1, 2), "kind": Choice(("plain",))})
    study = searched(tmp_path, problem=replace(FORMULA, space=space, morphisms=()), r1=100)
    assert len(study.trials) == 6
    assert stops(tmp_path / "study") == [
        "quasi-random: no new candidate that fits is left",
        "Gaussian process: no new candidate that fits is left",
    ]


def test_impossible_limits_are_refused_with_the_amounts(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        searched(tmp_path, model_size=5, working_memory=6)
    assert str(refusal.value).split("\n") == [
        "none of 10,000 candidates of the search space fits the limits",
        "  model_size: limit 5 bytes, smallest seen 10 bytes; 0.0% of samples fit",
        "  working_memory: limit 6 bytes, smallest seen 5 bytes; 4.1% of samples fit",
        "  raise the limits in [DEVICE] or of the problem, or let the search space hold smaller networks",
    ]


# --- failures --------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_end_the_search_and_show_the_last(tmp_path: Path) -> None:
    with pytest.raises(SparsemodError) as failure:
        searched(tmp_path, problem=problem_of(broken), max_failures=3)
    assert not isinstance(failure.value, InputError)
    lines = str(failure.value).split("\n")
    assert lines[0] == "3 candidates in a row failed, so the search stops; the last one said"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: candidate 2 is broken"
    study = load_study(tmp_path / "study")
    assert [trial.status for trial in study.trials] == ["failed"] * 3
    assert (tmp_path / "study" / "trials.csv").is_file()


def test_search_goes_on_once_the_problem_is_mended(tmp_path: Path) -> None:
    with pytest.raises(SparsemodError, match="2 candidates in a row failed"):
        searched(tmp_path, problem=problem_of(broken), max_failures=2)
    study = searched(tmp_path, max_failures=2)
    assert (study.count("failed"), study.count("complete")) == (2, 2 + 4 + 3)
    with pytest.raises(SparsemodError, match="2 candidates in a row failed"):  # and counts anew
        searched(tmp_path, problem=problem_of(broken), max_failures=2, r3=9)


def test_sporadic_failures_do_not_end_the_search(tmp_path: Path) -> None:
    def moody(candidate: Candidate) -> Mapping[str, float]:
        if candidate.number % 3:
            raise ValueError("not today")
        assert FORMULA.objective is not None
        return FORMULA.objective(candidate)

    study = searched(tmp_path, problem=problem_of(moody), r1=9, r2=0, r3=0, max_failures=3)
    assert (study.count("failed"), study.count("complete")) == (6, 3)
