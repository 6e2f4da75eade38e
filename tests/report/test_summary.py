from dataclasses import replace

import pytest

from sparsemod.report import Source
from sparsemod.report.summary import choices, duration, facts
from sparsemod.study import Study
from sparsemod.tested import Tested


def test_facts_name_data_device_limits_and_budget(source: Source) -> None:
    told = dict(facts(source, "3 samples"))
    assert told["problem"] == "problem.py:problem"
    assert told["data"] == "3 samples"
    assert told["device"].startswith("microbit-v2 (Cortex-M4, 64 MHz, 524,288 bytes of flash, 131,072 bytes of RAM")
    assert told["limits"] == "model size at most 1,000 bytes, working memory at most 200 bytes"
    assert told["budget"] == "6 trials in 5 s: 6 by sobol (5 epochs each)"
    assert told["found"] == "2 networks on the front; 4 complete, 1 infeasible, 1 failed"
    assert told["hypervolume"].startswith("0.5700 of the box")
    assert "stages ended" not in told


def test_device_that_is_not_found_is_named(source: Source) -> None:
    assert dict(facts(replace(source, settings={"DEVICE.device": "b.py:b"}), ""))["device"] == "b.py:b"


def test_study_without_trials_has_facts_and_no_choices(source: Source) -> None:
    empty = replace(source, study=Study(("error",)))
    assert dict(facts(empty, ""))["budget"] == "no trial has ended yet"
    assert choices(empty) == []


def test_choices_are_told_with_units(source: Source) -> None:
    first = choices(source)[0]
    assert (first["why"], first["number"]) == ("most accurate that fits", 1)
    assert (first["figures"], first["test"]) == ("validation error 0.3, model size 400 bytes", "")


def test_choices_have_their_test_error_beside_if_there_is_one(source: Source) -> None:
    saved, again = Tested(1, None, None, 5, error=0.35), Tested(1, 1, None, 5, error=0.25)
    told = [choices(replace(source, tests=tests))[0]["test"] for tests in ([saved], [again], [saved, again])]
    assert told == [
        "0.35 as it is",
        "0.25 in the mean after it was trained again",
        "0.35 as it is, 0.25 in the mean after it was trained again",
    ]
    assert choices(replace(source, tests=[replace(saved, number=0)]))[0]["test"] == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (42.25, "42.2 s"), (59.99, "60 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words
