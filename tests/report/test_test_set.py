from dataclasses import replace

from sparsemod.report import Source
from sparsemod.report.test_set import test_set
from sparsemod.tested import Tested

TESTS = [
    Tested(0, None, None, 5, error=0.6, recalls=(0.2, 0.6)),
    Tested(0, 1, None, 5, error=0.4, recalls=(0.5, None)),
    Tested(0, 2, None, 5, error=0.5, recalls=(0.25, 0.75)),
    Tested(1, 1, None, 5, "failed", reason="no"),
    Tested(5, None, None, 5, error=0.3, recalls=(0.7, 0.7)),
]


def test_rows_follow_the_front_and_say_test_and_validation_apart(source: Source) -> None:
    """The front is 1 and 0, at validation errors of 0.3 and 0.5; 5 is behind it."""
    rows = test_set(replace(source, tests=TESTS))
    assert [row["number"] for row in rows] == [1, 0, 5]
    assert rows[1] == {
        "number": 0, "by": "seeds", "trainings": 2, "failed": 0, "error": 0.45, "deviation": rows[1]["deviation"],
        "recalls": [0.375, 0.75], "saved": 0.6, "saved_recalls": [0.2, 0.6], "validation": 0.5,
    }  # fmt: skip
    assert (rows[0]["error"], rows[0]["failed"], rows[0]["saved"], rows[0]["validation"]) == (None, 1, None, 0.3)
    assert (rows[2]["trainings"], rows[2]["saved"], rows[2]["validation"]) == (0, 0.3, 0.4)


def test_study_that_was_never_tested_has_no_rows(source: Source) -> None:
    assert test_set(source) == []
