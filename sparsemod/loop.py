"""`search`: for each stage ask, submit, record, and keep the slots full."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sparsemod import config as configuration
from sparsemod.config import SAMPLERS, Config
from sparsemod.cost.screen import Screen
from sparsemod.early_stopping import EarlyStopping
from sparsemod.errors import InputError, SparsemodError
from sparsemod.evaluate import Outcome, data_of, evaluate, problem_of
from sparsemod.execute import abandon, open_executor, slots, workers
from sparsemod.locate import locate
from sparsemod.problem import Problem
from sparsemod.results import Record, delete_models_off_front
from sparsemod.samplers import Sampler, Sobol
from sparsemod.samplers.finish import Finish
from sparsemod.study import Candidate, Study, Trial

_log = logging.getLogger(__name__)

_REFERENCE_SAMPLES = 64
"""Networks that fit, of which the largest cost stands in for a limit that is not set."""

_TITLES = {"sobol": "quasi-random", "bayes": "Gaussian process", "morph": "morphism", "finish": "finish"}
"""Of the stages of SpArSe and the last one; another sampler is called by its name."""


@dataclass(frozen=True)
class Stage:
    """One sampler and how much it may propose.

    Attributes:
        title: For people.
        origin: Name of the sampler, and origin of its candidates.
        sampler: Proposes.
        candidates: In all; None for as many as the sampler has.
        batch: Asked for at a time: one round.
    """

    title: str
    origin: str
    sampler: Sampler
    candidates: int | None
    batch: int

    def done(self, study: Study) -> int:
        """Trials of this stage that have ended."""
        return self._proposed(study) - sum(candidate.origin == self.origin for candidate in study.pending)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """Up to `n` new candidates, which bear the name of the stage's sampler."""
        return [replace(candidate, origin=self.origin) for candidate in self.sampler.ask(study, n)]

    def remaining(self, study: Study) -> int:
        """Candidates this stage may still propose."""
        return self.batch if self.candidates is None else self.candidates - self._proposed(study)

    def planned(self, study: Study) -> int:
        """Candidates in all, as far as they are known."""
        return self._proposed(study) if self.candidates is None else self.candidates

    def _proposed(self, study: Study) -> int:
        return len(study.proposed(self.origin))


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


def search(config: Config | str | Path | None = None, *, watch: Watch | None = None, **keywords: Any) -> Study:
    """Runs a search, or goes on with one that was interrupted, and returns its study.

    Args:
        config: A configuration or the path of one; or leave it out and give keyword arguments named like the keys.
        watch: Called with a `Progress` whenever something happened.
        keywords: `problem=...`, `r1=...`, `objectives=...`, `device=...` and so on.

    Raises:
        InputError: Something the user brought cannot be used.
        SparsemodError: The search failed: too many candidates in a row, or the disk is full.

    Example:
        ```
        study = sparsemod.search(problem=problem, device="microbit-v2", r1=8, r2=8, r3=8)
        study.to_pandas()
        ```
    """
    if config is None:
        config = configuration.from_keywords(**keywords)
    elif keywords:
        raise InputError("give search a configuration or keyword arguments, not both")
    elif not isinstance(config, Config):
        config = configuration.read(config)
    torch.set_num_threads(1)
    problem = problem_of(config)
    screen = _screen(problem, config)
    stages = _stages(screen, config)
    record = Record(config.study_folder(), config, problem.space, lambda: _header(screen, config))
    try:
        _require_same_limits(record.study.limits, _limits(screen, config), record.folder)
        _Search(config, record, stages, EarlyStopping(screen), watch or (lambda progress: None)).run()
        delete_models_off_front(record.study, record.folder)
    finally:
        record.close()
    return record.study


def begin(config: Config) -> tuple[Screen, Study, list[Stage]]:
    """What a search begins with, for a program that runs it itself: costs, an empty study, the stages to fill it."""
    screen = _screen(problem_of(config), config)
    header = _header(screen, config)
    study = Study(header["objectives"], header["limits"], header["reference"], header["seed"])
    return screen, study, _stages(screen, config)


def _screen(problem: Problem, config: Config) -> Screen:
    if problem.build is None or problem.load_data is None:
        return Screen(replace(problem, build=None), config)
    data = data_of(problem)
    return Screen(problem, config, data)


def _stages(screen: Screen, config: Config) -> list[Stage]:
    """SpArSe's three stages as three samplers, or as those that the configuration names; then the finish."""
    train = config.train
    stages: list[Stage] = []
    for sampler, epochs, candidates, batch in (
        (train.sampler1, train.epochs1, train.r1, workers(config)),
        (train.sampler2, train.epochs2, train.r2 * train.batch_size, train.batch_size),
        (train.sampler3, train.epochs3, train.r3, 1),
    ):
        if sampler == "morph" and not (train.morphisms and screen.problem.morphisms):
            continue
        name, make = _named(sampler, config.folder)
        if candidates and any(stage.origin == name and stage.candidates for stage in stages):
            raise InputError(f"two stages use the sampler {name}; set the rounds of one of them to 0")
        stages.append(Stage(_TITLES.get(name, name), name, make(screen, epochs, train.seed), candidates, batch))
    if train.finish_epochs != 0 and screen.problem.objective is None:
        stages.append(Stage(_TITLES["finish"], "finish", Finish(screen, train.finish_epochs, train.seed), None, 1))
    return stages


def _named(sampler: str | Callable[..., Sampler], folder: Path) -> tuple[str, Callable[..., Sampler]]:
    """Name of a sampler, and what makes it."""
    if not isinstance(sampler, str):
        return getattr(sampler, "__name__", type(sampler).__name__), sampler
    place = SAMPLERS.get(sampler, sampler)
    return (sampler if sampler in SAMPLERS else place.rpartition(":")[2]), locate(place, folder)


def _header(screen: Screen, config: Config) -> dict[str, Any]:
    """What a study is judged by, fixed when it begins: the reference point is the limits, or what is usual."""
    train = config.train
    sobol = Sobol(screen, train.epochs1, train.seed)
    samples = [parameters for parameters in sobol.require(_REFERENCE_SAMPLES) if screen.can_build(parameters)]
    usual = [screen.costs(parameters) for parameters in samples]
    if usual and screen.problem.objective is None:
        _require_known(train.objectives, screen.problem.limits, usual[0])
    largest = {name: max(cost[name] for cost in usual) for name in usual[0]} if usual else {}
    _require_positive(train.objectives, screen.limits)
    reference = largest | screen.limits | _largest_error(screen, config)
    return {
        "objectives": list(train.objectives),
        "limits": _limits(screen, config),
        "reference": {name: reference[name] for name in train.objectives if reference.get(name, 0) > 0},
        "seed": train.seed,
    }


def _limits(screen: Screen, config: Config) -> dict[str, float]:
    """Hard limits; `max_error` is one where the error is no objective."""
    train = config.train
    of_shares = screen.problem.error is None  # which 1 does not limit
    unlimited = "error" in train.objectives or (of_shares and train.max_error == 1)
    hard = {} if unlimited else _largest_error(screen, config)
    return {**screen.limits, **hard}


def _largest_error(screen: Screen, config: Config) -> dict[str, float]:
    """The error from which on nothing counts; not known of an error of the problem's own if `max_error` is not set."""
    largest = config.train.max_error
    if screen.problem.error is not None and ("TRAIN", "max_error") not in config.origins:
        largest = math.inf
    known = min(largest, screen.limits.get("error", largest))
    return {"error": known} if math.isfinite(known) else {}


def _require_same_limits(before: Mapping[str, float], now: Mapping[str, float], folder: Path) -> None:
    """Refuses to go on with a study that was judged by other limits."""
    changed = [
        f"  {name}: was {before.get(name, 'not limited')}, is {now.get(name, 'not limited')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise InputError(
            "\n".join(
                [
                    f"{folder} holds a study made with other limits, so this search cannot go on with it",
                    *changed,
                    "  put the limits back, or choose another [TRAIN] name (--set TRAIN.name=...)",
                ]
            )
        )


def _require_known(objectives: Sequence[str], limits: Iterable[str], costs: Mapping[str, float]) -> None:
    """Refuses, before any training, to minimise or to limit what nothing will measure."""
    strange = [name for name in dict.fromkeys([*objectives, *limits]) if name not in ("error", *costs)]
    if strange:
        raise InputError(
            f"objectives and limits: nothing gives {', '.join(strange)}; a trained network has error, "
            f"{', '.join(costs)}. Let the problem's `costs` give it, or an `objective` of your own"
        )


def _require_positive(objectives: Sequence[str], limits: Mapping[str, float]) -> None:
    """Refuses limits that no objective can obey: these are minimised towards 0."""
    wrong = [f"{name} is {limits[name]:g}" for name in objectives if limits.get(name, 1) <= 0]
    if wrong:
        raise InputError(f"limits on objectives must be above 0, but {', '.join(wrong)}")


class _Search:
    """The state of a running search."""

    def __init__(
        self, config: Config, record: Record, stages: Sequence[Stage], stopping: EarlyStopping, watch: Watch
    ) -> None:
        self._config, self._record, self._stages, self._watch = config, record, stages, watch
        self._stopping = stopping
        self._study = record.study
        self._before = max((trial.elapsed for trial in self._study.trials), default=0.0)
        self._resumed = len(self._study.trials)
        self._started = time.monotonic()
        self._stage = 0
        self._running: dict[Future[Outcome], Candidate] = {}
        self._queue = deque(self._study.pending)
        self._suspects: deque[Candidate] = deque()
        self._crashed: set[int] = set()
        self._before_window, self._after_window = _Growth(record.study), _Growth(record.study)

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
            reason, over = self._reason_to_stop(stage)
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

    def _reason_to_stop(self, stage: Stage) -> tuple[str, bool]:
        """Why no more is proposed, and whether that ends the search or the stage alone."""
        train, study = self._config.train, self._study
        # what failed before a resume may be mended
        recent = study.trials[max(self._resumed, len(study.trials) - train.max_failures) :]
        if len(recent) == train.max_failures and all(trial.status == "failed" for trial in recent):
            raise SparsemodError(
                f"{train.max_failures} candidates in a row failed, so the search stops; the last one said\n"
                f"{recent[-1].reason.rstrip()}"
            )
        if train.time_limit and self.elapsed + self._seconds_to_finish(stage) >= train.time_limit:
            return f"time limit of {train.time_limit:g} s reached", True
        if train.min_error and stage.candidates is not None:
            best = min((trial.score.get("error", math.inf) for trial in study.pareto_front()), default=math.inf)
            if best <= train.min_error:
                return f"an error of {best:.4g} is small enough (min_error {train.min_error:g})", True
        return self._stagnation(stage), False

    def _seconds_to_finish(self, stage: Stage) -> float:
        """Time to keep for the finish while other stages run; half of it all at most, or there is little to finish."""
        last = self._stages[-1]
        if stage is last or not isinstance(last.sampler, Finish):
            return 0.0
        return min(last.sampler.seconds(self._study) / workers(self._config), self._config.train.time_limit / 2)

    def _stagnation(self, stage: Stage) -> str:
        """Whether the hypervolume had all but stopped growing by the last trial of a stage.

        Judged by the record alone and between rounds, so that a stage that ended stays ended when a search resumes.
        """
        train, trials = self._config.train, self._study.trials
        window = train.patience * stage.batch
        if not train.tolerance or stage.candidates is None or self._queue or stage.done(self._study) < window:
            return ""
        end = next(place for place in range(len(trials), 0, -1) if trials[place - 1].candidate.origin == stage.origin)
        old, new = self._before_window.hypervolume(end - window), self._after_window.hypervolume(end)
        if new - old > train.tolerance * new:
            return ""
        return f"hypervolume grew by less than {train.tolerance:g} in {train.patience} rounds"

    def _tell(self, trial: Trial | None = None, message: str = "", running: int | None = None) -> None:
        count = len(self._running) if running is None else running
        self._watch(Progress(self._study, self._stages, self._stage, self.elapsed, count, trial, message))


class _Growth:
    """A study as it was after ever more of its trials, judged as it is now."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._then = Study(study.objectives)

    def hypervolume(self, count: int) -> float:
        """Of the first trials."""
        study, reference = self._study, self._study.reference_point()
        if self._then.reference != reference or len(self._then) > count:
            self._then = Study(study.objectives, study.limits, reference)
        for trial in study.trials[len(self._then) : count]:
            self._then.add(trial)
        return self._then.hypervolume()


def _finished(outcome: Outcome) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _short(score: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.6g}" for name, value in score.items())
