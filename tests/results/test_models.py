"""Trained networks in the folder of results."""

import errno
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from problems.records import PROBLEMS, TRIALS, candidate, configured, opened

from sparsemod.config import Config
from sparsemod.errors import InputError, SparsemodError
from sparsemod.evaluate import Outcome, data_of, evaluate, measure
from sparsemod.graph import run
from sparsemod.problem import load as load_problem
from sparsemod.results import Record, delete_models_off_front, load
from sparsemod.study import Candidate, Trial
from sparsemod.train import error


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
    assert measure(graph, config) == {name: value for name, value in score.items() if not name.endswith("error")}
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
    with pytest.raises(InputError, match=r"trial 3 was not kept; only those of networks on the front are \(.*00003"):
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
