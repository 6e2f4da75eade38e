"""Folders that a search must not, or cannot, write to."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from problems.records import TRIALS, complete, opened

from sparsemod.errors import InputError
from sparsemod.results import load
from sparsemod.space import Float, Int, SearchSpace

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
