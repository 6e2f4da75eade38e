"""What a search writes for TensorBoard, read back as TensorBoard does."""

import struct

import pytest
from problems.searches import searched
from tensorboardX.proto.event_pb2 import Event

from sparsemod import Candidate, Study, Trial
from sparsemod.cli import main
from sparsemod.loop import Progress
from sparsemod.tensorboard import TensorBoard


def events(folder):
    """All events of a run: records of length, checksum, bytes, checksum."""
    found = []
    for path in sorted(folder.glob("events*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder, tag):
    return [
        (event.step, pytest.approx(value.simple_value))
        for event in events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


@pytest.fixture
def study():
    study = Study(["error", "model_size"], {}, {"error": 1.0, "model_size": 100.0})
    parameters = {"width": 8, "kind": "conv", "skip": True}
    study.add(Trial(Candidate(0, parameters, 10, "sobol"), "complete", {"error": 0.5, "model_size": 50.0}))
    study.add(Trial(Candidate(1, parameters, 10, "sobol"), "stopped", reason="given up", curve={1: 0.875, 3: 0.75}))
    return study


def watched(study, folder):
    board = TensorBoard(folder)
    for trial in study.trials:
        board(Progress(study, [], 0, 1.0, trial=trial))
    return board


def test_figures_stand_by_the_number_of_the_trial(study, tmp_path):
    watched(study, tmp_path)
    assert scalars(tmp_path / "tensorboard" / "study", "trials/model_size_bytes") == [(0, 50.0)]
    assert scalars(tmp_path / "tensorboard" / "study", "study/hypervolume") == [(2, 0.25), (2, 0.25)]


def test_learning_curve_of_a_trial_ends_with_its_score(study, tmp_path):
    study.add(
        Trial(Candidate(2, {"width": 4}, 10, "sobol"), "complete", {"error": 0.25, "model_size": 9.0}, curve={1: 0.5})
    )
    watched(study, tmp_path)
    assert scalars(tmp_path / "tensorboard" / "00002-complete", "error") == [(1, 0.5), (10, 0.25)]


def test_stopped_trial_has_the_curve_until_it_was_given_up(study, tmp_path):
    watched(study, tmp_path)
    assert scalars(tmp_path / "tensorboard" / "00001-stopped", "error") == [(1, 0.875), (3, 0.75)]


def test_parameters_join_the_table_of_hyperparameters(study, tmp_path):
    watched(study, tmp_path)
    run = events(tmp_path / "tensorboard" / "00000-complete")
    tags = [value.tag for event in run for value in event.summary.value]
    assert "_hparams_/session_start_info" in tags
    assert scalars(tmp_path / "tensorboard" / "00000-complete", "score/error") == [(10, 0.5)]


def test_logs_that_cannot_be_written_do_not_end_a_search(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "tensorboard").write_text("a file where the folder should be")
    board = TensorBoard(tmp_path / "study")
    study = searched(tmp_path, board, r2=0, r3=0)
    assert len(study.trials) == 4
    assert "tensorboard" in board.failure


def test_search_with_tensorboard_writes_every_trial(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["TRAIN.r1=2", "TRAIN.r2=0", "TRAIN.r3=0", "TRAIN.epochs1=1", "TRAIN.finish_epochs=0", "RUN.executor=serial"]
    assert main(["init", "--kind", "digits"]) == 0
    assert main(["search", "config.cfg", "--tensorboard", *(word for each in few for word in ("--set", each))]) == 0
    assert "tensorboard --logdir" in capsys.readouterr().out
    runs = sorted(path.name for path in next(tmp_path.rglob("tensorboard")).iterdir())
    assert runs == ["00000-complete", "00001-complete", "study"]
