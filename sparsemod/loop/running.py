"""A search as it runs: asks, submits, records, and keeps the slots full."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from sparsemod.config import Config
from sparsemod.early_stopping import EarlyStopping
from sparsemod.errors import SparsemodError
from sparsemod.evaluate import Outcome, evaluate, problem_of
from sparsemod.execute import abandon, open_executor, slots
from sparsemod.loop.asking import Asking
from sparsemod.loop.reasons import Reasons
from sparsemod.loop.stages import Stage
from sparsemod.results import Record
from sparsemod.samplers.finish import Finish
from sparsemod.study import Candidate, Study, Trial

_log = logging.getLogger(__package__)

_ENOUGH, _SHARE = 10, 0.1
"""Trials, and their share of all that were begun, with which the next stage does."""


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
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
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
                following = self._stages[position + 1 :]
                last = all(isinstance(each.sampler, Finish) for each in following)
                reason, over = self._run_stage(stage, last)
                self._record.stop(f"{stage.title}: {reason}", self.elapsed)
                self._tell(message=f"{stage.title}: {reason}")
        except BaseException:
            abandon(self._executor)
            raise
        self._executor.shutdown()

    def _run_stage(self, stage: Stage, last: bool) -> tuple[str, bool]:
        """Runs a stage to its end: why it ended, and whether the search ends with it.

        Several workers do not wait for the last candidates of a stage: once enough are known, they go on with the next,
        to which the rest is pending. After the last one they wait: all must be known to train the front on.
        """
        asking = Asking(stage, self._study, self._ended.put)
        try:
            while True:
                room = slots(self._executor, self._config)
                over = self._reasons.to_stop(stage, self.elapsed)
                reason = over or self._fill(asking, stage, room)
                done = not stage.remaining(self._study)
                if not self._running and (reason or done):
                    return reason or "all rounds done", bool(over)
                if done and room > 1 and self._knows_enough() and not (reason or last):
                    return "all rounds done", False
                self._receive()
        finally:
            asking.end()

    def _knows_enough(self) -> bool:
        """Whether the next stage may begin while the last candidates of this one run."""
        known = len(self._study)
        enough = known >= max(_ENOUGH, _SHARE * (known + len(self._running)))
        return enough and not (self._queue or self._suspects)

    def _fill(self, asking: Asking, stage: Stage, room: int) -> str:
        """Submits candidates until every slot is taken, or more are still thought about; why, if there are no more."""
        while True:
            self._propose(asking.answer())
            reason = ""
            if self._may_ask(asking, stage, room):
                reason = self._reasons.to_ask_no_more(stage)
                if not reason and room == 1:
                    self._propose(asking.now())
                elif not reason:
                    asking.ahead()
            if len(self._running) >= (1 if self._suspects else room):
                return ""
            if not self._suspects and not self._queue:
                if asking.none_left and not asking.waits:
                    front = "every network of the front has been trained for as long"
                    return front if stage.candidates is None else "no new candidate that fits is left"
                return reason
            self._submit(self._suspects.popleft() if self._suspects else self._queue.popleft())

    def _may_ask(self, asking: Asking, stage: Stage, room: int) -> bool:
        """Whether it is time for the next batch.

        With one slot, once that is free: then all is known. With several, ahead of need, so that none waits.
        """
        if asking.waits:
            return False
        if room == 1:
            return not (self._queue or self._suspects or self._running)
        return len(self._queue) < min(stage.batch, room)

    def _propose(self, candidates: Sequence[Candidate]) -> None:
        if candidates:
            self._record.propose(candidates)
            self._queue.extend(candidates)

    def _receive(self) -> None:
        """Records what has ended, once something has; that may be an ask, which is taken when slots are filled."""
        ended = [self._ended.get()]
        while not self._ended.empty():
            ended.append(self._ended.get())
        ours = [future for future in ended if future in self._running]
        crashed = [future for future in ours if isinstance(future.exception(), BrokenProcessPool)]
        for future in ours:
            if future not in crashed:
                self._end(self._running.pop(future), future)
        if crashed:
            self._recover()

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
        future.add_done_callback(self._ended.put)

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
