import csv
import errno
import functools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sparsemod
from sparsemod.config import Config, from_keywords
from sparsemod.errors import InputError, SparsemodError
from sparsemod.evaluate import Outcome, data_of, evaluate, measure
from sparsemod.graph import run
from sparsemod.problem import load as load_problem
from sparsemod.results import Record, delete_models_off_front, load, stops
from sparsemod.space import Float, Int, SearchSpace
from sparsemod.study import Candidate, Study, Trial
from sparsemod.train import error

PROBLEMS = Path(__file__).parent / "problems"
SPACE = SearchSpace({"width": Int(1, 32), "rate": Float(0.0, 1.0)})
HEADER = {
    "objectives": ["error", "model_size"],
    "limits": {"model_size": 1000.0, "working_memory": 200.0},
    "reference": {"error": 1.0, "model_size": 1000.0},
    "seed": 0,
}


def configured(**keywords: Any) -> Config:
    return from_keywords(**{"problem": f"{PROBLEMS / 'synthetic.py'}:problem", "objectives": 2, **keywords})


def opened(folder: Path, space: SearchSpace = SPACE, **keywords: Any) -> Record:
    return Record(folder, configured(**keywords), space, lambda: HEADER)


def candidate(number: int, parent: int | None = None) -> Candidate:
    return Candidate(number, {"width": number + 1, "rate": 0.1 * number}, 5, "morph" if parent else "sobol", parent)


def complete(number: int, wrong: float, size: float, **score: float) -> Trial:
    score = {"error": wrong, "model_size": size, **score}
    return Trial(candidate(number), "complete", score, seconds=0.5, elapsed=float(number))


TRIALS = (
    complete(0, 0.5, 100),
    complete(1, 0.1 + 0.2, 400, nnz=12),  # 0.30000000000000004
    Trial(candidate(2), "failed", reason='Traceback\n  "ü", line 1\r\nValueError: {}', seconds=0.25),
    complete(3, 0.2, 2000),  # over the limit
    Trial(candidate(4), "infeasible", reason="too deep"),
    complete(5, 0.4, 500),  # worse than 1
)
"""The front is 1 and 0."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of six trials and two candidates without one."""
    folder = tmp_path / "results" / "study"
    record = opened(folder)
    record.propose([trial.candidate for trial in TRIALS[:4]])
    for trial in TRIALS[:4]:
        record.add(trial)
    record.propose([trial.candidate for trial in TRIALS[4:]])
    for trial in TRIALS[4:]:
        record.add(trial)
    record.stop("quasi-random: all rounds done", 6.0)
    record.propose([candidate(6, parent=1), candidate(7)])
    record.close()
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same(first: Study, second: Study) -> None:
    for name in ("objectives", "limits", "reference", "seed", "trials", "pending", "candidates"):
        assert getattr(first, name) == getattr(second, name), name


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
    assert list(table[0]) == ["number", "origin", "parent", "epochs", "status", "error", "model_size_bytes", "nnz",
                              "width", "rate"]  # fmt: skip
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
        "score": {"error": 0.5, "model_size_bytes": 100},
        "parameters": {"width": 1, "rate": 0.0},
    }


# --- killed at any byte ----------------------------------------------------------------------------------------------


def test_trial_that_is_half_written_is_run_again_wherever_it_was_cut(folder: Path) -> None:
    path = folder / "trials.jsonl"
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        record = opened(folder)
        assert tuple(record.study.trials) == TRIALS[:5]
        assert [waiting.number for waiting in record.study.pending] == [5, 6, 7]
        record.add(TRIALS[5])
        record.close()
        assert path.read_bytes() == content


def test_round_that_is_half_written_was_never_proposed_wherever_it_was_cut(folder: Path) -> None:
    path = folder / "proposals.jsonl"
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        record = opened(folder)
        assert tuple(record.study.trials) == TRIALS
        assert record.study.pending == []  # not one of the two: the sampler asks for a round at a time
        record.propose([candidate(6, parent=1), candidate(7)])
        record.close()
        assert path.read_bytes() == content


def test_half_a_line_is_not_read_while_the_search_is_still_writing_it(folder: Path) -> None:
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(b'{"number": 6, "par')
    assert tuple(load(folder).trials) == TRIALS


def test_record_that_was_cut_to_nothing_is_a_study_without_trials(folder: Path) -> None:
    (folder / "trials.jsonl").unlink()
    record = opened(folder)
    assert record.study.trials == []
    assert [waiting.number for waiting in record.study.pending] == list(range(8))
    record.close()


def test_study_killed_before_its_first_candidate_begins_again(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "study.json").unlink()
    opened(tmp_path).close()
    assert load(tmp_path).trials == []


@pytest.mark.parametrize("name", ["trials.jsonl", "proposals.jsonl"])
@pytest.mark.parametrize("damage", [b'{"number": 1, "parame', b"\xff\xfe", b"", b"7", b'{"round": 7, "number": 1}'])
def test_damaged_line_is_named(folder: Path, name: str, damage: bytes) -> None:
    lines = (folder / name).read_bytes().split(b"\n")
    lines[1] = damage
    (folder / name).write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=rf"{name}, line 2 is damaged: .*Restore it from a copy, or delete the line"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "objec'])
def test_damaged_header_is_named(folder: Path, content: bytes) -> None:
    (folder / "study.json").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.json is damaged; restore it from a copy"):
        load(folder)
    with pytest.raises(InputError, match=r"study\.json is damaged; restore it from a copy"):
        opened(folder)


# --- folders that cannot be used -------------------------------------------------------------------------------------


def test_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"holds no study \(no study.json\); `sparsemod search` makes one"):
            load(folder)


def test_study_of_another_version_is_refused(folder: Path) -> None:
    header = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(InputError, match=r"was written by another version of sparsemod \(format 99\)"):
        load(folder)


def test_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/study cannot be written: Not a directory"):
        opened(tmp_path / "file" / "study")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_read_only_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(InputError, match=f"study cannot be written: {os.strerror(number)}"):
        opened(tmp_path / "study")


def test_one_process_at_a_time_writes(folder: Path) -> None:
    record = opened(folder)
    with pytest.raises(InputError, match=r"another search is writing to .*study; wait for it, or choose another"):
        opened(folder)
    record.close()
    opened(folder).close()


def test_line_that_another_search_is_writing_is_left_alone(folder: Path) -> None:
    record = opened(folder)
    with (folder / "proposals.jsonl").open("ab") as file:
        file.write(b'{"round": [')
    with pytest.raises(InputError, match="another search is writing"):
        opened(folder)
    assert (folder / "proposals.jsonl").read_bytes().endswith(b'{"round": [')
    record.close()


def test_study_may_be_read_while_it_grows(folder: Path) -> None:
    record = opened(folder)
    assert tuple(load(folder).trials) == TRIALS
    record.add(complete(6, 0.3, 300))
    assert len(load(folder).trials) == 7
    record.close()


# --- another configuration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"objectives": 3}, "TRAIN.objectives: was error, model_size, is error, model_size, working_memory"),
        ({"epochs1": 9}, "TRAIN.epochs1: was 1, is 9"),
        ({"seed": 1}, "TRAIN.seed: was 0, is 1"),
        ({"model_size": "2 KB"}, "DEVICE.model_size: was , is 2000"),
        ({"device": "nano-33-ble"}, "DEVICE.device: was arduino-uno, is nano-33-ble"),
        (
            {"space": SearchSpace({"width": Int(1, 64), "rate": Float(0.0, 1.0)})},
            'space.width: was {"type": "Int", "low": 1, "high": 32, "log": false}, '
            'is {"type": "Int", "low": 1, "high": 64, "log": false}',
        ),
        ({"space": SearchSpace({"width": Int(1, 32)})}, "is not there"),
    ],
)
def test_search_with_other_settings_is_refused(folder: Path, change: dict[str, Any], difference: str) -> None:
    with pytest.raises(InputError) as refusal:
        opened(folder, **change)
    first, *differences, last = str(refusal.value).split("\n")
    assert first == f"{folder} holds a study made with other settings, so this search cannot go on with it"
    assert len(differences) == 1 and difference in differences[0]
    assert last == "  put the settings back, or choose another [TRAIN] name (--set TRAIN.name=...)"


def test_all_differences_are_listed(folder: Path) -> None:
    with pytest.raises(InputError, match=r"TRAIN\.epochs1.*\n.*TRAIN\.seed.*\n.*DEVICE\.latency"):
        opened(folder, epochs1=2, seed=3, latency="5 ms")


def test_refusal_changes_nothing_and_lets_go_of_the_folder(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError) as refusal:
        opened(folder, seed=1)
    opened(folder).close()  # although the error is still held, as a notebook does
    assert "TRAIN.seed" in str(refusal.value)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"r1": 99, "r2": 0, "r3": 7},
        {"time_limit": "1 h", "min_error": 0.1, "tolerance": 0.1, "patience": 3, "max_failures": 9},
        {"debug": True, "morphisms": False},
        {"executor": "processes", "workers": 2},
        {"problem": "moved/elsewhere.py:problem"},
    ],
)
def test_what_does_not_change_the_trials_may_differ(folder: Path, change: dict[str, Any]) -> None:
    record = opened(folder, **change)
    assert tuple(record.study.trials) == TRIALS
    record.close()


# --- full disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_loses_no_trial(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    record = opened(folder)
    before = (folder / "trials.jsonl").read_bytes()

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(SparsemodError) as refusal:
            record.add(complete(6, 0.3, 300))
    assert not isinstance(refusal.value, InputError)
    assert str(refusal.value) == (
        f"the disk is full ({os.strerror(number)}) while writing to {folder}. The 6 trials recorded so far are safe: "
        "free some space and run the same command again to go on"
    )
    assert (folder / "trials.jsonl").read_bytes() == before
    record.add(complete(6, 0.3, 300))
    assert len(load(folder).trials) == 7
    record.close()


def test_round_that_found_the_disk_full_was_not_proposed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = opened(folder)

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(SparsemodError, match="disk is full"):
            record.propose([candidate(8), candidate(9)])
    assert_same(record.study, load(folder))
    record.close()


def test_other_errors_of_the_disk_keep_their_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = opened(folder)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            record.add(complete(6, 0.3, 300))
    record.close()


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """A network of 8 parameters that was trained and scored."""
    space = load_problem(f"{PROBLEMS / 'tiny.py'}:problem").space
    parameters = space.from_unit([0.4] * len(space))
    return evaluate(Candidate(0, parameters, 2, "sobol"), trained_config())


def trained_config() -> Config:
    return configured(problem=f"{PROBLEMS / 'tiny.py'}:problem", device="microbit-v2")


@pytest.fixture
def with_models(tmp_path: Path, outcome: Outcome) -> Iterator[Record]:
    """Six trials, of which the complete ones have a model, all the same one."""
    record = opened(tmp_path)
    record.propose([*(trial.candidate for trial in TRIALS), candidate(6, parent=5)])
    for trial in TRIALS:
        kept = outcome if trial.status == "complete" else Outcome(trial)
        record.add(trial, kept.weights, kept.graph)
    yield record
    record.close()


def models(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in (folder / "models").iterdir())


def test_saved_model_has_the_recorded_error_and_costs(tmp_path: Path, outcome: Outcome) -> None:
    record = opened(tmp_path)
    record.propose([outcome.trial.candidate])
    record.add(outcome.trial, outcome.weights, outcome.graph)
    record.close()
    study = load(tmp_path)
    score, config = study[0].score, trained_config()
    graph = study.load_model(0)
    validation = data_of(load_problem(str(config.problem.problem))).validation
    assert error(functools.partial(run, graph), validation) == score["error"]
    assert measure(graph, config) == {name: value for name, value in score.items() if name != "error"}
    assert score == outcome.trial.score


def test_weights_of_a_parent_come_back_bit_for_bit(with_models: Record, outcome: Outcome) -> None:
    weights = with_models.weights(1)
    assert outcome.weights is not None
    assert sorted(weights) == sorted(outcome.weights)
    assert all(torch.equal(weights[name], outcome.weights[name]) for name in weights)
    assert all(weights[name].dtype == outcome.weights[name].dtype for name in weights)


def test_only_complete_trials_have_models(with_models: Record) -> None:
    assert models(with_models.folder) == [0, 1, 3, 5]


def test_models_that_nothing_needs_are_deleted(with_models: Record) -> None:
    delete_models_off_front(with_models.study, with_models.folder)
    assert models(with_models.folder) == [0, 1, 5]  # the front, and the parent of candidate 6


def test_parent_goes_once_its_child_has_ended(with_models: Record) -> None:
    with_models.add(Trial(candidate(6, parent=5), "failed", reason="killed"))
    delete_models_off_front(with_models.study, with_models.folder)
    assert models(with_models.folder) == [0, 1]


def test_model_that_was_not_kept_is_named(with_models: Record) -> None:
    delete_models_off_front(with_models.study, with_models.folder)
    with pytest.raises(InputError, match=r"the model of trial 3 was not kept; only those of the front are \(.*00003"):
        load(with_models.folder).load_model(3)


def test_trial_without_room_for_its_model_is_not_recorded(
    tmp_path: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = opened(tmp_path)
    record.propose([outcome.trial.candidate])

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", refuse)
        with pytest.raises(SparsemodError, match=r"disk is full .*The 0 trials recorded so far are safe"):
            record.add(outcome.trial, outcome.weights, outcome.graph)
    record.close()
    assert (load(tmp_path).trials, models(tmp_path)) == ([], [])
    assert load(tmp_path).pending == [outcome.trial.candidate]


def test_models_hold_no_code(with_models: Record) -> None:
    content = (with_models.folder / "models" / "00000.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert "__metadata__" in header
    assert len(content) < 10_000
