"""A search as it runs: a live panel in a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sparsemod.display.columns import clock, counts
from sparsemod.loop import Progress, Watch
from sparsemod.objectives import quantity
from sparsemod.study import Study, Trial


@contextmanager
def watching(console: Console, debug: bool) -> Iterator[Watch]:
    """A watcher of a search; it draws for as long as the context lasts.

    Args:
        console: A panel that refreshes itself if it is a terminal, one line per trial if not.
        debug: Show the full traceback of failed candidates.
    """
    if not console.is_terminal:
        yield lambda progress: _line(console, progress, debug)
        return
    panel = _Panel()
    with Live(panel, console=console, refresh_per_second=4) as live:

        def watch(progress: Progress) -> None:
            panel.progress = progress
            if progress.message:
                live.console.print(progress.message, highlight=False)
            if progress.trial is not None and progress.trial.status == "failed":
                text = f"trial {progress.trial.number} failed: {_failure(progress.trial, debug)}"
                live.console.print(text, style="red", highlight=False, markup=False)

        yield watch


class _Panel:
    """The state of the search as a table; drawn anew at every refresh, so that the clock runs."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._started = time.monotonic()

    def __rich__(self) -> RenderableType:
        if self.progress is None:
            return "preparing: loading the data and looking for networks that fit"
        progress = self.progress
        study, stage = progress.study, progress.stages[progress.stage]
        done = stage.done(study)
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row(
            "stage", f"{progress.stage + 1} of {len(progress.stages)}, {stage.title}: {done} of {stage.planned(study)}"
        )
        table.add_row("", ProgressBar(total=max(stage.planned(study), 1), completed=done, width=40))
        table.add_row("trials", counts(study) + (f", {progress.running} running" if progress.running else ""))
        table.add_row("front", f"{len(study.pareto_front())} networks, hypervolume {study.hypervolume():.4f}")
        table.add_row("best", _best(study))
        table.add_row("time", _times(progress, time.monotonic() - self._started))
        return Group("", table)


def _line(console: Console, progress: Progress, debug: bool) -> None:
    if progress.message:
        console.print(progress.message, highlight=False, soft_wrap=True)
    trial = progress.trial
    if trial is None:
        return
    study = progress.study
    if trial.status == "complete":
        score = "  ".join(f"{name} {quantity(name, trial.score[name])}" for name in study.objectives)
    else:
        score = _failure(trial, debug) if trial.status == "failed" else trial.reason
    done = f"[{len(study.trials)}/{_planned(progress)}] trial {trial.number} {trial.status}: {score}"
    front = f"front {len(study.pareto_front())}, hypervolume {study.hypervolume():.4f}"
    console.print(f"{done}  | {front}", highlight=False, markup=False, soft_wrap=True)


def _failure(trial: Trial, debug: bool) -> str:
    reason = trial.reason.rstrip()
    return reason if debug else reason.splitlines()[-1]


def _planned(progress: Progress) -> int:
    return sum(stage.planned(progress.study) for stage in progress.stages)


def _best(study: Study) -> str:
    """The smallest value of each objective on the front."""
    front = study.pareto_front()
    if not front:
        return "nothing yet"
    best = {name: min(trial.score[name] for trial in front) for name in study.objectives}
    return ", ".join(f"{name} {quantity(name, value)}" for name, value in best.items())


def _times(progress: Progress, seconds: float) -> str:
    """Elapsed time, rate, and the time left if later trials take as long as those of this stage so far."""
    study, elapsed = progress.study, progress.elapsed
    text = f"{clock(elapsed)} elapsed"
    if not study.trials:
        return text
    recent = [trial.elapsed for trial in study.trials[-10:]]
    pace = (recent[-1] - recent[0]) / max(len(recent) - 1, 1)
    left = _planned(progress) - len(study.trials)
    rate = f", {60 / pace:.3g} trials per minute, about {clock(left * pace)} left" if pace > 0 else ""
    return text + rate
