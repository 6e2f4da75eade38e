from pathlib import Path

import numpy as np

from sparsemod.report import Source
from sparsemod.report.importance import importance
from sparsemod.study import Candidate, Study, Trial


def studied(error, trials: int = 60) -> Source:
    """A study of two numbers and a choice, of which `error` makes the error."""
    rng = np.random.default_rng(0)
    study = Study(("error",))
    for number in range(trials):
        parameters = {"width": int(rng.integers(1, 33)), "kind": str(rng.choice(["a", "b"]))}
        if parameters["kind"] == "b":
            parameters["rate"] = float(rng.random())
        score = {"error": error(parameters, rng)}
        study.add(Trial(Candidate(number, parameters, 5, "sobol"), "complete", score))
    return Source("made", study, Path())


def test_parameter_that_makes_the_error_comes_first_and_one_that_does_not_has_no_weight() -> None:
    found = importance(studied(lambda parameters, rng: 1 / parameters["width"]))
    assert found["fit"] > 0.9
    assert found["rows"][0]["name"] == "width"
    assert found["rows"][0]["mean"] > 1
    assert all(abs(row["mean"]) < 0.05 for row in found["rows"][1:])


def test_choices_and_inactive_parameters_are_understood() -> None:
    found = importance(studied(lambda parameters, rng: 0.1 if parameters["kind"] == "a" else 0.5))
    assert {row["name"] for row in found["rows"]} == {"width", "kind", "rate"}  # all trials have the same epochs
    assert found["rows"][0]["name"] in ("kind", "rate")  # which is active under one kind alone


def test_errors_of_zero_have_a_logarithm() -> None:
    found = importance(studied(lambda parameters, rng: max(0.0, 0.5 - parameters["width"] / 40)))
    assert found["rows"][0]["name"] == "width"


def test_same_study_gives_the_same_figures() -> None:
    source = studied(lambda parameters, rng: 1 / parameters["width"])
    assert importance(source) == importance(source)


def test_too_few_trials_say_so() -> None:
    assert "20 completed trials" in importance(studied(lambda parameters, rng: 0.1, trials=19))["missing"]


def test_equal_errors_say_so() -> None:
    assert importance(studied(lambda parameters, rng: 0.0))["missing"] == "All trials have the same error."


def test_error_that_cannot_be_predicted_has_no_importances() -> None:
    found = importance(studied(lambda parameters, rng: float(rng.random()) + 0.01))
    assert "does not predict" in found["missing"] and "rows" not in found
