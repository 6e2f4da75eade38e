"""A search as it runs: asks, submits, records, and keeps the slots full."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from sparsemod.config import Config
from sparsemod.early_stopping import EarlyStopping
from sparsemod.errors import SparsemodError
from sparsemod.evaluate import Outcome, evaluate, problem_of
from sparsemod.execute import abandon, open_executor, slots
from sparsemod.loop.reasons import Reasons
from sparsemod.loop.stages import Stage
from sparsemod.results import Record
from sparsemod.samplers.finish import Finish
from sparsemod.study import Candidate, Study, Trial

_log = logging.getLogger(__package__)


@dataclass(frozen=True)
class Progress:
    """What a search tells those who watch.

    Attributes:
        study: As it is now.
        stages: All of them.
        stage: Position of the running one.
        elapsed: Seconds of search, earlier runs of a resumed study included.
        running: Candidates being evaluated.
        trial: That ended just now, if one did.
        message: Something else that happened.
    """

    study: Study
    stages: Sequence[Stage]
    stage: int
    elapsed: float
    running: int = 0
    trial: Trial | None = None
    message: str = ""


Watch = Callable[[Progress], None]


class Search:
    """The state of a running search."""

    def __init__(
        self, config: Config, record: Record, stages: Sequence[Stage], stopping: EarlyStopping, watch: Watch
    ) -> None:
        self._config, self._record, self._stages, self._watch = config, record, stages, watch
        self._stopping = stopping
        self._study = record.study
        self._before = max((trial.elapsed for trial in self._study.trials), default=0.0)
        self._reasons = Reasons(config, record.study, stages)
        self._started = time.monotonic()
        self._stage = 0
        self._running: dict[Future[Outcome], Candidate] = {}
        self._queue = deque(self._study.pending)
        self._suspects: deque[Candidate] = deque()
        self._crashed: set[int] = set()

    @property
    def elapsed(self) -> float:
        """Seconds of search, earlier runs included."""
        return self._before + time.monotonic() - self._started

    def run(self) -> None:
        """All stages, one after the other."""
        self._executor = open_executor(self._config)
        try:
            over = False
            for position, stage in enumerate(self._stages):
                if over and not isinstance(stage.sampler, Finish):
                    continue
                self._stage = position
                self._tell(message=f"stage {position + 1} of {len(self._stages)}: {stage.title}")
                reason, over = self._run_stage(stage)
                self._record.stop(f"{stage.title}: {reason}", self.elapsed)
                self._tell(message=f"{stage.title}: {reason}")
        except BaseException:
            abandon(self._executor)
            raise
        self._executor.shutdown()

    def _run_stage(self, stage: Stage) -> tuple[str, bool]:
        """Runs a stage to its end: why it ended, and whether the search ends with it."""
        while True:
            reason, over = self._reasons.to_stop(stage, self.elapsed, between_rounds=not self._queue)
            if not reason and not self._fill(stage):
                none_left = "every network of the front has been trained for as long"
                reason = none_left if stage.candidates is None else "no new candidate that fits is left"
            if not self._running and (reason or not stage.remaining(self._study)):
                return reason or "all rounds done", over
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            crashed = [future for future in done if isinstance(future.exception(), BrokenProcessPool)]
            for future in done.difference(crashed):
                self._end(self._running.pop(future), future)
            if crashed:
                self._recover()

    def _fill(self, stage: Stage) -> bool:
        """Submits candidates until every slot is taken; False if the sampler has no more although it may propose."""
        room = 1 if self._suspects else slots(self._executor, self._config)
        while len(self._running) < room:
            if not self._queue and not self._suspects:
                wanted = min(stage.batch, stage.remaining(self._study))
                if wanted == 0:
                    return True
                asked = stage.ask(self._study, wanted)
                if not asked:
                    return False
                self._record.propose(asked)
                self._queue.extend(asked)
            candidate = self._suspects.popleft() if self._suspects else self._queue.popleft()
            self._submit(candidate)
        return True

    def _submit(self, candidate: Candidate) -> None:
        trains = problem_of(self._config).objective is None
        weights, parent = None, None
        if trains and candidate.parent is not None:
            weights = self._record.weights(candidate.parent)
            parent = self._study[candidate.parent].candidate.parameters
        bars = self._bars(candidate) if trains else {}
        self._tell(message="", running=len(self._running) + 1)
        try:
            future = self._executor.submit(evaluate, candidate, self._config, weights, parent, bars)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self._running[future] = candidate

    def _bars(self, candidate: Candidate) -> Mapping[int, float]:
        """Where a candidate is measured while it trains, and above which errors it is given up."""
        if "error" not in self._study.objectives or candidate.origin == Finish.name:
            return {}
        bars = self._stopping.bars(self._study, candidate)
        return bars if self._config.train.early_stopping else dict.fromkeys(bars, math.inf)

    def _end(self, candidate: Candidate, future: "Future[Outcome]") -> None:
        """Records what came of a candidate."""
        error = future.exception()
        if isinstance(error, SparsemodError):  # what evaluates is gone, not one candidate
            raise error
        if error is None:
            outcome = future.result()
        else:
            outcome = Outcome(Trial(candidate, "failed", reason=f"{type(error).__name__}: {error}"))
        trial = replace(outcome.trial, elapsed=self.elapsed)
        self._record.add(trial, outcome.weights, outcome.graph)
        _log.info("trial %d %s in %.1f s %s", trial.number, trial.status, trial.seconds, _short(trial.score))
        self._tell(trial=trial)

    def _recover(self) -> None:
        """Opens a new pool after a worker died; which candidate killed it is not known: each is tried again, alone."""
        abandon(self._executor)
        lost, self._running = list(self._running.values()), {}
        for candidate in sorted(lost, key=lambda candidate: candidate.number):
            if candidate.number in self._crashed:
                reason = (
                    "its worker process died twice: it was killed, ran out of memory, or belongs to a script that "
                    'searches outside `if __name__ == "__main__":`'
                )
                self._end(candidate, _finished(Outcome(Trial(candidate, "failed", reason=reason))))
            else:
                self._crashed.add(candidate.number)
                self._suspects.append(candidate)
        self._tell(message="a worker process died; its candidates are tried again, one at a time")
        self._executor = open_executor(self._config)

    def _tell(self, trial: Trial | None = None, message: str = "", running: int | None = None) -> None:
        count = len(self._running) if running is None else running
        self._watch(Progress(self._study, self._stages, self._stage, self.elapsed, count, trial, message))


def _finished(outcome: Outcome) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _short(score: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.6g}" for name, value in score.items())
