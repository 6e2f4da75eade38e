"""What a running search tells TensorBoard: how each network learned, and how the study grows."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparsemod.loop import Progress
from sparsemod.objectives import column
from sparsemod.study import Study, Trial

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.summary_pb2 import Summary


class TensorBoard:
    """A watcher of a search that writes `tensorboard/` in the folder of its study.

    The run `study` has the figures of every trial by its number, and the hypervolume by the trials that have ended.
    Each trial is a run of its own, with its validation error by epoch and, for the table of hyperparameters, its
    parameters and figures. Logs that cannot be written are not tried again; the search goes on.

    Args:
        folder: Of the study.

    Attributes:
        path: For `tensorboard --logdir`.
        failure: Why no more is written, if that is so.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tensorboard"
        self.failure = ""
        self._study: EventsWriter | None = None

    def __call__(self, progress: Progress) -> None:
        """Writes the trial that has just ended, if one did."""
        if progress.trial is None or self.failure:
            return
        try:
            self._study = self._study or _open(self.path / "study")
            _write_study(self._study, progress.study, progress.trial)
            _write_trial(self.path / f"{progress.trial.number:05d}-{progress.trial.status}", progress.trial)
        except OSError as error:  # no fault of a log may end hours of search
            self.failure = f"{type(error).__name__}: {error}"


def _write_study(writer: "EventsWriter", study: Study, trial: Trial) -> None:
    for name, value in trial.score.items():
        _add_scalar(writer, f"trials/{column(name)}", value, trial.number)
    _add_scalar(writer, "study/hypervolume", study.hypervolume(), len(study.trials))
    _add_scalar(writer, "study/front", len(study.pareto_front()), len(study.trials))
    writer.flush()


def _write_trial(folder: Path, trial: Trial) -> None:
    from tensorboardX.summary import hparams

    curve = dict(trial.curve)
    if "error" in trial.score:
        curve[trial.candidate.epochs] = trial.score["error"]
    figures = {f"score/{column(name)}": float(value) for name, value in trial.score.items()}
    writer = _open(folder)
    for epoch, error in curve.items():
        _add_scalar(writer, "error", error, epoch)
    for summary in hparams(dict(trial.candidate.parameters), figures):
        _add(writer, summary)
    for name, value in figures.items():
        _add_scalar(writer, name, value, trial.candidate.epochs)
    writer.close()


def _open(folder: Path) -> "EventsWriter":
    from tensorboardX.event_file_writer import EventsWriter

    folder.mkdir(parents=True, exist_ok=True)
    return EventsWriter(str(folder / "events"))


def _add_scalar(writer: "EventsWriter", name: str, value: float, step: int) -> None:
    from tensorboardX.summary import scalar

    _add(writer, scalar(name, value), step)


def _add(writer: "EventsWriter", summary: "Summary", step: int | None = None) -> None:
    from tensorboardX.proto.event_pb2 import Event

    writer.write_event(Event(summary=summary, step=step, wall_time=time.time()))
