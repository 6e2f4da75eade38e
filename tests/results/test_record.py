"""What a folder of results holds, as a record and as tables."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from problems.records import HEADER, TRIALS, assert_same, candidate, complete, configured, opened

import sparsemod
from sparsemod.results import load, stops
from sparsemod.study import Trial


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- what is on disk -------------------------------------------------------------------------------------------------


def test_folder_holds_record_tables_and_configuration(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.cfg",
        "models",
        "pareto.csv",
        "pareto.json",
        "proposals.jsonl",
        "study.json",
        "trials.csv",
        "trials.jsonl",
    ]


def test_record_has_one_line_per_trial(folder: Path) -> None:
    lines = (folder / "trials.jsonl").read_text().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2, 3, 4, 5]
    assert json.loads(lines[1]) == {
        "number": 1,
        "parameters": {"width": 2, "rate": 0.1},
        "epochs": 5,
        "origin": "sobol",
        "parent": None,
        "status": "complete",
        "score": {"error": 0.30000000000000004, "model_size": 400, "nnz": 12},
        "reason": "",
        "seconds": 0.5,
        "elapsed": 1.0,
        "curve": {},
    }


def test_configuration_reads_back(folder: Path) -> None:
    assert sparsemod.config.read(folder / "config.cfg").train == configured().train


def test_study_reads_back_as_it_was(folder: Path) -> None:
    study = load(folder)
    assert tuple(study.trials) == TRIALS
    assert study.pending == [candidate(6, parent=1), candidate(7)]
    assert [proposed.number for proposed in study.candidates] == list(range(8))
    assert study.objectives == ("error", "model_size")
    assert (study.limits, study.reference, study.seed) == (HEADER["limits"], HEADER["reference"], 0)
    assert load(str(folder)).trials == study.trials


def test_open_record_and_its_folder_hold_the_same_study(folder: Path) -> None:
    record = opened(folder)
    record.add(replace(complete(6, 0.3, 300), seconds=1.23456, elapsed=9.87654))
    record.propose([candidate(8)])
    assert_same(record.study, load(folder))
    record.close()


def test_order_is_that_of_arrival(tmp_path: Path) -> None:
    record = opened(tmp_path)
    record.propose([candidate(number) for number in range(3)])
    for number in (2, 0):
        record.add(complete(number, 0.5, 100))
    record.close()
    assert [trial.number for trial in load(tmp_path).trials] == [2, 0]
    assert [row["number"] for row in rows(tmp_path / "trials.csv")] == ["0", "2"]


def test_errors_in_training_read_back_by_their_epochs(tmp_path: Path) -> None:
    record = opened(tmp_path)
    given_up = Trial(candidate(0), "stopped", reason="given up", curve={1: 0.75, 3: 0.5})
    record.add(given_up)
    record.close()
    assert load(tmp_path).trials == [given_up]


def test_empty_study_reads_back(tmp_path: Path) -> None:
    opened(tmp_path).close()
    study = load(tmp_path)
    assert (study.trials, study.candidates) == ([], [])
    assert json.loads((tmp_path / "pareto.json").read_text())["front"] == []


def test_reasons_of_stops_are_kept_once_each(folder: Path) -> None:
    record = opened(folder)
    record.stop("quasi-random: all rounds done", 7.0)  # a resumed search passes through its first stages again
    record.stop("morphism: time limit of 8 s reached", 8.0)
    record.close()
    assert stops(folder) == ["quasi-random: all rounds done", "morphism: time limit of 8 s reached"]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_front_table_has_units_and_no_times(folder: Path) -> None:
    table = rows(folder / "pareto.csv")
    assert list(table[0]) == ["number", "origin", "parent", "epochs", "epochs_seen", "status", "error",
                              "model_size_bytes", "nnz", "width", "rate"]  # fmt: skip
    assert [row["number"] for row in table] == ["1", "0"]
    assert table[0]["error"] == "0.30000000000000004"
    assert table[1]["nnz"] == ""


def test_front_obeys_limits_and_nothing_in_it_dominates(folder: Path) -> None:
    study = load(folder)
    figures = [(trial.score["error"], trial.score["model_size"]) for trial in study.pareto_front()]
    assert figures == [(0.30000000000000004, 400), (0.5, 100)]
    assert all(study.obeys_limits(trial.score) for trial in study.pareto_front())


def test_table_of_all_trials_has_times_and_reasons(folder: Path) -> None:
    table = rows(folder / "trials.csv")
    assert [row["status"] for row in table] == [trial.status for trial in TRIALS]
    assert (table[2]["reason"], table[2]["seconds"], table[1]["elapsed_seconds"]) == (TRIALS[2].reason, "0.25", "1.0")


def test_front_as_json_says_what_it_is_judged_by(folder: Path) -> None:
    front = json.loads((folder / "pareto.json").read_text())
    assert front["objectives"] == ["error", "model_size_bytes"]
    assert front["limits"] == {"model_size_bytes": 1000, "working_memory_bytes": 200}
    assert front["reference"] == {"error": 1, "model_size_bytes": 1000}
    assert front["hypervolume"] == pytest.approx(0.7 * 0.6 + 0.5 * 0.3)  # 1 fills 0.7 x 0.6, 0 adds 0.5 x (0.9 - 0.6)
    assert front["front"][1] == {
        "number": 0,
        "origin": "sobol",
        "parent": None,
        "epochs": 5,
        "epochs_seen": 5,
        "score": {"error": 0.5, "model_size_bytes": 100},
        "parameters": {"width": 1, "rate": 0.0},
    }


def test_second_result_of_a_candidate_is_not_recorded(folder: Path) -> None:
    """It came late, after a retry, or twice."""
    before = (folder / "trials.jsonl").read_bytes()
    record = opened(folder)
    record.add(replace(TRIALS[2], status="complete", score={"error": 0.01, "model_size": 1.0}, reason=""))
    record.close()
    assert (folder / "trials.jsonl").read_bytes() == before
    assert record.study[2].status == "failed"
    assert len(record.study) == 6
