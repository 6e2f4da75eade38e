"""A search of candidates that the user's own code evaluates: no builder, no data."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from problems.searches import TINY, Interruption, results
from problems.tiny import problem as tiny

from sparsemod.errors import Infeasible, InputError, SparsemodError
from sparsemod.loop import Progress, search
from sparsemod.problem import Problem
from sparsemod.results import load as load_study
from sparsemod.space import Choice, Int, Parameters, SearchSpace
from sparsemod.study import Candidate, Study

SPACE = SearchSpace({"width": Int(4, 64, log=True), "op": Choice(["conv", "sep"])})


def measured(candidate: Candidate) -> Mapping[str, float]:
    """Wide is right and hot; `sep` is a third as hot and errs a little more."""
    width, separable = int(candidate.parameters["width"]), candidate.parameters["op"] == "sep"
    heat = width if separable else 3 * width
    return {"error": 1 / width + 0.02 * separable, "heat": heat, "noise": 40 + 60 / width}


def heat(parameters: Parameters) -> Mapping[str, float]:
    width = int(parameters["width"])
    return {"heat": width if parameters["op"] == "sep" else 3 * width}


PLAIN = Problem(space=SPACE, objective=measured)


def searched(root: Path, problem: Problem = PLAIN, **changes: Any) -> Study:
    budget: dict[str, Any] = {"objectives": ["error", "heat"], "r1": 4, "r2": 2, "r3": 0, "seed": 3}
    return search(problem=problem, root=str(root), **{**budget, **changes})


# --- what comes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [["error"], ["error", "heat"], ["heat", "noise"], ["error", "heat", "noise"]])
def test_one_to_three_measured_figures_are_minimised(tmp_path: Path, objectives: list[str]) -> None:
    study = searched(tmp_path, objectives=objectives)
    assert [trial.status for trial in study.trials] == ["complete"] * 6
    for trial in study.trials:
        assert SPACE.contains(trial.candidate.parameters)
        assert trial.score == measured(trial.candidate)
    front = study.pareto_front()
    best = {name: min(trial.score[name] for trial in study.trials) for name in objectives}
    assert {name: min(trial.score[name] for trial in front) for name in objectives} == best
    table = study.to_pandas()
    assert list(table["number"]) == list(range(6))
    assert {"width", "op", "error", "heat", "noise", "status"} < set(table.columns)


def test_resumed_search_ends_as_one_that_was_not_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(
            watch=Interruption(9), problem=PLAIN, root=str(tmp_path / "cut"), objectives=["error", "heat"], r1=4, r2=2,
            r3=0, seed=3,
        )  # fmt: skip
    assert 0 < len(load_study(tmp_path / "cut" / "study").trials) < 6
    assert results(searched(tmp_path / "cut")) == results(searched(tmp_path / "whole"))


def test_same_seed_same_study_and_another_seed_another_one(tmp_path: Path) -> None:
    first, again, other = (searched(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert results(first) == results(again) != results(other)


def test_what_costs_give_beforehand_is_part_of_the_score(tmp_path: Path) -> None:
    problem = Problem(SPACE, objective=lambda candidate: {"error": measured(candidate)["error"]}, costs=heat)
    study = searched(tmp_path, problem)
    assert all(trial.score["heat"] == heat(trial.candidate.parameters)["heat"] for trial in study.trials)
    assert all(list(trial.score) == ["error", "heat"] for trial in study.trials)


def test_names_of_ones_own_may_stand_in_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from sparsemod import Int, Problem, SearchSpace\n"
        "def measured(candidate):\n    return {'loss': 1 / candidate.parameters['a'], 'energy_uj': 3.0}\n"
        "problem = Problem(SearchSpace({'a': Int(1, 9)}), objective=measured)\n"
    )
    (tmp_path / "config.cfg").write_text(
        f"[TRAIN]\nroot = {tmp_path}\nr1 = 2\nr2 = 1\nr3 = 0\nobjectives = loss, energy_uj\n"
        "[PROBLEM]\nproblem = mine.py:problem\n"
    )
    study = search(tmp_path / "config.cfg")
    assert (study.objectives, len(study.trials)) == (("loss", "energy_uj"), 3)


# --- limits and reference point --------------------------------------------------------------------------------------


def test_limit_on_what_is_known_is_never_exceeded(tmp_path: Path) -> None:
    study = searched(tmp_path, Problem(SPACE, objective=measured, costs=heat, limits={"heat": 60}))
    assert all(trial.score["heat"] <= 60 for trial in study.trials)
    assert study.reference_point() == {"error": 1.0, "heat": 60}
    assert study.reference_basis() == {"error": "max_error", "heat": "limit"}


def test_limit_on_what_is_measured_is_learned(tmp_path: Path) -> None:
    """The best that obeys it is a `sep` of width 20, with an error of 0.07; a third of the candidates obeys it."""
    study = searched(tmp_path, replace(PLAIN, limits={"heat": 20}), objectives=["error"], r1=8, r2=5)
    assert any(trial.score["heat"] > 20 for trial in study.trials[:8])
    [best] = study.pareto_front()
    assert best.score["heat"] <= 20 and best.score["error"] < 0.08


def test_target_minimises_the_error_within_all_limits(tmp_path: Path) -> None:
    study = searched(
        tmp_path, Problem(SPACE, objective=measured, costs=heat, limits={"heat": 60}), objectives=["error"]
    )
    [best] = study.pareto_front()
    assert best.score["error"] == min(trial.score["error"] for trial in study.trials)
    assert best.score["heat"] <= 60


def test_smallest_with_an_error_of_at_most(tmp_path: Path) -> None:
    study = searched(
        tmp_path, Problem(SPACE, objective=measured, costs=heat), objectives=["heat"], max_error=0.06, r1=8
    )
    assert study.limits == {"error": 0.06}
    [best] = study.pareto_front()
    assert best.score["error"] <= 0.06
    assert best.score["heat"] == min(trial.score["heat"] for trial in study.trials if trial.score["error"] <= 0.06)


@pytest.mark.parametrize(("objective", "max_error"), [("error", 1.0), ("model_size", 0.6)])
def test_both_styles_hold_for_trained_networks(tmp_path: Path, objective: str, max_error: float) -> None:
    study = search(
        problem=TINY, root=str(tmp_path), objectives=[objective], max_error=max_error, r1=3, r2=1, r3=0, epochs1=1,
        epochs2=2, model_size=400,
    )  # fmt: skip
    [best] = study.pareto_front()
    assert best.score["error"] <= max_error and best.score["model_size"] <= 400
    obeying = [trial.score for trial in study.completed() if trial.score["error"] <= max_error]
    assert best.score[objective] == min(score[objective] for score in obeying)


def test_limit_on_the_error_is_its_reference(tmp_path: Path) -> None:
    study = searched(tmp_path, replace(PLAIN, limits={"error": 0.1}), max_error=0.5)
    assert (study.reference["error"], study.reference_basis()["error"]) == (0.1, "limit")


def test_what_nothing_limits_is_inferred_and_said_to_be(tmp_path: Path) -> None:
    study = searched(tmp_path, Problem(SPACE, objective=measured, costs=heat), objectives=["error", "heat", "noise"])
    assert study.reference_basis() == {
        "error": "max_error",
        "heat": "inferred from candidates that fit",
        "noise": "inferred from the first trials",
    }
    assert study.reference_point()["noise"] == max(trial.score["noise"] for trial in study.trials)


def test_device_that_nobody_named_sets_no_limits(tmp_path: Path) -> None:
    """Arduino Uno, the default, has 32,768 bytes of flash; own code may call something else a model size."""
    problem = Problem(SPACE, objective=lambda candidate: {"error": 0.1, "model_size": 1e6 * candidate.number + 1})
    study = searched(tmp_path / "none", problem, objectives=["error", "model_size"], r2=0)
    assert (study.limits, study.reference_point()["model_size"]) == ({}, 3_000_001)
    named = searched(tmp_path / "named", problem, objectives=["error", "model_size"], r2=0, device="arduino-uno")
    assert named.limits["model_size"] == 32_768
    given = searched(tmp_path / "given", problem, objectives=["error", "model_size"], r2=0, model_size="2 KB")
    assert given.limits == {"model_size": 2000}


def test_study_does_not_go_on_with_other_limits(tmp_path: Path) -> None:
    searched(tmp_path, replace(PLAIN, limits={"heat": 20, "noise": 50}), r1=1, r2=0)
    with pytest.raises(InputError) as refusal:
        searched(tmp_path, replace(PLAIN, limits={"heat": 30}), r1=2, r2=0)
    assert str(refusal.value).splitlines() == [
        f"{tmp_path / 'study'} holds a study made with other limits, so this search cannot go on with it",
        "  heat: was 20.0, is 30.0",
        "  noise: was 50.0, is not limited",
        "  put the limits back, or choose another [TRAIN] name (--set TRAIN.name=...)",
    ]
    assert len(searched(tmp_path, replace(PLAIN, limits={"noise": 50, "heat": 20}), r1=2, r2=0).trials) == 2


def test_limits_that_nothing_can_obey_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="limits on objectives must be above 0, but error is 0, heat is -1"):
        searched(tmp_path, replace(PLAIN, limits={"error": 0, "heat": -1}))


def test_limit_on_what_no_network_gives_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="objectives and limits: nothing gives heat, noise; a trained network has error, "
    ):
        search(problem=replace(tiny, limits={"noise": 3}), root=str(tmp_path), objectives=["error", "heat"])


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "the score is not finite: {'heat': nan}"),
        (math.inf, "the score is not finite: {'heat': inf}"),
        (-1.0, "objectives are minimised towards 0 and must not be negative, but heat is -1; return what is lost, such "
               "as 1 - accuracy"),
        ("hot", "a score must hold numbers alone, but heat is a str"),
    ],
)  # fmt: skip
def test_unusable_figure_fails_its_trial_alone(tmp_path: Path, value: Any, reason: str) -> None:
    def sometimes(candidate: Candidate) -> Mapping[str, float]:
        return {"error": 0.5, "heat": value if candidate.number % 3 == 1 else 2.0}

    told: list[str] = []

    def watch(progress: Progress) -> None:
        if progress.trial is not None:
            told.append(progress.trial.reason)

    study = searched(tmp_path, Problem(SPACE, objective=sometimes), watch=watch)
    assert [trial.status for trial in study.trials] == ["complete", "failed", "complete"] * 2
    assert told == ["", reason, ""] * 2


@pytest.mark.parametrize(
    ("changes", "limits", "reason"),
    [
        (
            {"objectives": ["error", "hat"]},
            {},
            "the score has no 'hat', which is an objective; it has error, heat, noise",
        ),
        ({"objectives": ["error"]}, {"hat": 3}, "the score has no 'hat', which has a limit; it has error, heat, noise"),
    ],
)
def test_missing_figure_is_named(
    tmp_path: Path, changes: Mapping[str, Any], limits: Mapping[str, float], reason: str
) -> None:
    with pytest.raises(SparsemodError, match=f"2 candidates in a row failed(.|\n)*{reason}"):
        searched(tmp_path, replace(PLAIN, limits=limits), max_failures=2, **changes)


def test_costs_that_raise_are_shown(tmp_path: Path) -> None:
    def fragile(parameters: Parameters) -> Mapping[str, float]:
        raise KeyError("price list")

    with pytest.raises(SparsemodError, match=r"3 candidates in a row failed(.|\n)*KeyError: 'price list'"):
        searched(tmp_path, replace(PLAIN, costs=fragile), max_failures=3)


def test_costs_must_have_the_same_names_for_all(tmp_path: Path) -> None:
    def uneven(parameters: Parameters) -> Mapping[str, float]:
        return {"heat": 1.0} if int(parameters["width"]) > 8 else {"price": 1.0}

    with pytest.raises(InputError, match=r"the costs of .* are (heat|price), those of others (heat|price); every"):
        searched(tmp_path, replace(PLAIN, costs=uneven))


def test_slow_costs_are_told_with_their_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000_000))
    monkeypatch.setattr("sparsemod.cost.screen.time.perf_counter", lambda: next(clock) * 0.1)
    with caplog.at_level(logging.WARNING, logger="sparsemod"):
        searched(tmp_path, replace(PLAIN, costs=heat), r2=0)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("`costs` of the problem takes 0.1 s for one candidate")


def test_search_goes_on_after_a_stage_in_which_all_failed(tmp_path: Path) -> None:
    def late(candidate: Candidate) -> Mapping[str, float]:
        if candidate.number < 4:
            raise OSError("the board is asleep")
        return measured(candidate)

    study = searched(tmp_path, Problem(SPACE, objective=late), max_failures=6)
    assert [trial.status for trial in study.trials] == ["failed"] * 4 + ["complete"] * 2


def test_search_in_which_everything_failed_has_an_empty_front(tmp_path: Path) -> None:
    def refuses(candidate: Candidate) -> Mapping[str, float]:
        raise Infeasible("the board has no such layer")

    study = searched(tmp_path, Problem(SPACE, objective=refuses))
    assert (study.count("infeasible"), study.pareto_front(), study.hypervolume()) == (6, [], 0)


@pytest.mark.parametrize(("r1", "r2"), [(1, 0), (1, 1), (0, 1)])
def test_one_trial_is_a_search(tmp_path: Path, r1: int, r2: int) -> None:
    assert len(searched(tmp_path, r1=r1, r2=r2).pareto_front()) in (1, 2)


def test_equal_scores_everywhere_are_searched_to_the_end(tmp_path: Path) -> None:
    study = searched(tmp_path, Problem(SPACE, objective=lambda candidate: {"error": 0.5, "heat": 7.0}))
    assert len(study.trials) == 6
    assert [trial.number for trial in study.pareto_front()] == [0]
