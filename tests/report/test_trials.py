from dataclasses import replace

from problems.records import candidate

from sparsemod.report import Source
from sparsemod.report.trials import reasons, table
from sparsemod.study import Candidate, Study, Trial
from sparsemod.tested import Tested


def test_every_trial_has_a_value_or_none_in_every_column(source: Source) -> None:
    found = table(source)
    assert {column["name"] for column in found["columns"]} == found["values"].keys()
    assert {len(values) for values in found["values"].values()} == {6}
    assert found["values"]["nnz"] == [None, 12, None, None, None, None]


def test_status_says_what_became_of_a_trial(source: Source) -> None:
    expected = ["front", "front", "failed", "over a limit", "infeasible", "dominated"]
    assert table(source)["values"]["status"] == expected


def test_columns_carry_titles_units_and_limits(source: Source) -> None:
    columns = {column["name"]: column for column in table(source)["columns"]}
    assert (columns["error"]["title"], columns["error"]["unit"]) == ("validation error", "share")
    assert (columns["model_size"]["unit"], columns["model_size"]["limit"]) == ("bytes", 1000.0)
    assert columns["model_size"]["objective"] and not columns["nnz"]["objective"]
    assert columns["width"]["kind"] == "parameter"


def test_scale_of_a_parameter_is_that_of_its_space(source: Source) -> None:
    settings = {"space.width": '{"type": "Int", "low": 1, "high": 32, "log": true}'}
    columns = {column["name"]: column for column in table(replace(source, settings=settings))["columns"]}
    assert columns["width"]["log"] and not columns["rate"]["log"]


def test_test_errors_stand_beside_under_their_own_name(source: Source) -> None:
    found = table(replace(source, tests=[Tested(1, 1, None, 5, error=0.35), Tested(0, None, None, 5, error=0.45)]))
    assert found["values"]["test_error"] == [None, 0.35, None, None, None, None]
    assert found["values"]["saved_test_error"] == [0.45, None, None, None, None, None]
    titles = {column["name"]: column["title"] for column in found["columns"]}
    assert (titles["saved_test_error"], titles["test_error"]) == ("test error", "mean test error, trained again")
    assert "test_error" not in table(source)["values"]


def test_figures_are_short() -> None:
    study = Study(("error",))
    study.add(Trial(Candidate(0, {}, 1, "sobol"), "complete", {"error": 1 / 3, "macs": 123456789.0}))
    values = table(Source("one", study, None))["values"]
    assert (values["error"], values["macs"]) == ([0.333333], [123456789])


def test_reasons_are_counted_numbers_aside_and_a_traceback_by_its_last_line(source: Source) -> None:
    study = source.study
    for number, size in ((6, "2,000"), (7, "3,456.5")):
        study.add(Trial(candidate(number), "infeasible", reason=f"model_size {size} bytes is above 1,000"))
    first, *others = reasons(study)
    assert first == {
        "status": "infeasible", "count": 2, "reason": "model_size 2,000 bytes is above 1,000", "number": 6,
    }  # fmt: skip
    assert [(row["status"], row["reason"]) for row in others] == [
        ("failed", "ValueError: {}"), ("infeasible", "too deep"),
    ]  # fmt: skip
