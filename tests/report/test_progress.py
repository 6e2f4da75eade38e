import pytest
from problems.records import TRIALS

from sparsemod.report import Source
from sparsemod.report.progress import growth, stages
from sparsemod.study import Candidate, Study, Trial


def test_hypervolume_grows_with_each_trial_that_joins_the_front(source: Source) -> None:
    """0.5 x 0.9 of the box; then 0.2 x 0.6 more. What failed, is over a limit or is dominated adds nothing."""
    curve = growth(source.study)
    assert curve["number"] == [0, 1, 2, 3, 4, 5]
    assert curve["hypervolume"] == [0.45, 0.57, 0.57, 0.57, 0.57, 0.57]
    assert curve["hypervolume"][-1] == pytest.approx(source.study.hypervolume())


def test_hypervolume_is_measured_against_the_given_reference(source: Source) -> None:
    assert growth(source.study, {"model_size": 200.0})["hypervolume"] == [0.5] * 6


def test_study_without_trials_has_an_empty_curve_and_no_stages() -> None:
    curve = growth(Study(("error",)))
    assert curve == {"number": [], "stage": [], "elapsed": [], "hypervolume": []}
    assert stages(Study(("error",)), curve) == []


def test_each_stage_is_credited_with_what_its_trials_gained() -> None:
    study = Study(("error", "model_size"), {}, {"error": 1.0, "model_size": 1000.0})
    for trial in TRIALS[:2]:
        study.add(trial)
    better = Trial(Candidate(2, {}, 15, "bayes"), "complete", {"error": 0.2, "model_size": 400.0}, seconds=3.0)
    study.add(better)
    first, second = stages(study, growth(study))
    assert (first["stage"], first["gain"], first["front"], first["best_error"]) == ("sobol", 0.57, 1, 0.1 + 0.2)
    assert (second["stage"], second["gain"], second["front"], second["epochs"]) == ("bayes", 0.06, 1, "15")
    assert (second["trials"], second["seconds"]) == (1, 3.0)


def test_stage_counts_what_was_not_completed(source: Source) -> None:
    (stage,) = stages(source.study, growth(source.study))
    assert [stage[name] for name in ("trials", "complete", "infeasible", "failed")] == [6, 4, 1, 1]
    assert stage["best_error"] == 0.1 + 0.2  # 0.2 was over a limit
