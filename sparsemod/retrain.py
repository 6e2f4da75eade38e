"""`test`: found networks trained again on all but the test set, and measured on it once.

A search never sees the test set; this is the separate step that does.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sparsemod import results, tested
from sparsemod.config import Config
from sparsemod.errors import InputError, SparsemodError
from sparsemod.evaluate import data_of, groups_of, measure_retrained, measure_saved, problem_of
from sparsemod.execute import abandon, open_executor, workers
from sparsemod.study import Study, Trial
from sparsemod.tested import Key, Tested

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Testing:
    """What a test tells those who watch.

    Attributes:
        done: Measurements that are made, those of earlier runs included.
        total: How many there will be.
        running: Networks that are being trained or measured.
        latest: The measurement that was made just now, if one was.
    """

    __test__ = False  # a name that pytest would take for its own

    done: int
    total: int
    running: int
    latest: Tested | None = None


WatchTest = Callable[[Testing], None]


@dataclass(frozen=True)
class _Job:
    """One measurement to make.

    Attributes:
        trial: The network, as the search left it.
        epochs: It is trained for.
        seed: Of the training; None to measure the network as it is.
        group: To hold out; None for the test set.
    """

    trial: Trial
    epochs: int
    seed: int | None
    group: int | None

    @property
    def key(self) -> Key:
        return self.trial.number, self.seed, self.group

    def failed(self, reason: str) -> Tested:
        return Tested(*self.key, self.epochs, "failed", reason=reason)


def test(
    config: Config, numbers: Sequence[int] = (), *, again: bool = False, watch: WatchTest | None = None
) -> list[Tested]:
    """Trains networks again on train + validation, with `[TEST] seeds` seeds, and measures them on the test set.

    The networks that the search saved are measured there, too, as they are. With `[TEST] folds = groups` each network
    is instead trained on all groups but one and measured on that one, group by group. Every measurement is a row of
    `test.csv` in the study's folder as soon as it is made; those that are there are not made again.

    Args:
        config: Its [TEST] section names the study; problem, device and training are those of the search.
        numbers: Of the trials; `[TEST] arm`, or the whole front, if there are none.
        again: Make measurements that are there already anew.
        watch: Called with a `Testing` whenever something happened.

    Returns:
        All measurements of these networks, network by network.

    Raises:
        InputError: The study or a network is not there, the data has no test set or no groups, or another process tests
            networks of this study.
        SparsemodError: The measurements cannot be written.
    """
    torch.set_num_threads(1)
    folder, tell = config.test_folder(), watch or (lambda testing: None)
    study = results.load(folder)
    chosen = _chosen(study, numbers or ([config.test.arm] if config.test.arm >= 0 else []))
    config = _as_searched(config)
    jobs = _jobs(study, chosen, config)
    with tested.claimed(folder):
        kept = [each for each in tested.load(folder) if not _is_outdated(each, jobs, again)]
        missing = _missing(jobs, kept)
        left = len(missing)
        tell(Testing(len(jobs) - left, len(jobs), min(left, workers(config))))
        with closing(_measurements(missing, study, config)) as measurements:
            for latest in measurements:
                kept = sorted([*kept, latest], key=lambda each: each.place)
                left -= 1
                _write(kept, folder)
                _log.info("trial %d, seed %s, group %s: %s", *latest.key, latest.reason or latest.error)
                tell(Testing(len(jobs) - left, len(jobs), min(left, workers(config)), latest))
    return [each for trial in chosen for each in kept if each.number == trial.number]


test.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for its own


def _as_searched(config: Config) -> Config:
    """Quantized, pruned and cut into windows as in [TRAIN], unless [TEST] says otherwise."""
    scheme = config.test.quant_scheme or config.train.quant_scheme
    pruning = config.train.pruning if config.test.pruning is None else config.test.pruning
    splitter = config.train.splitter if config.test.splitter is None else config.test.splitter
    return replace(config, train=replace(config.train, quant_scheme=scheme, pruning=pruning, splitter=splitter))


def _write(tests: Sequence[Tested], folder: Path) -> None:
    try:
        tested.write(tests, folder)
    except OSError as error:
        raise SparsemodError(
            f"{folder / 'test.csv'} cannot be written: {error.strerror}. What it holds is safe; mend that, and run the "
            "same command again to go on"
        ) from error


# --- what to measure -------------------------------------------------------------------------------------------------


def _chosen(study: Study, numbers: Sequence[int]) -> list[Trial]:
    chosen = [study[number] for number in dict.fromkeys(numbers)] if numbers else study.pareto_front()
    if not chosen:
        raise InputError("no network of this study is on the front; name those to test by their numbers")
    wrong = [f"trial {trial.number} is {trial.status}" for trial in chosen if trial.status != "complete"]
    if wrong:
        raise InputError(f"only completed trials can be tested, but {', '.join(wrong)}")
    return chosen


def _jobs(study: Study, chosen: Sequence[Trial], config: Config) -> list[_Job]:
    """All measurements: saved networks first, then one training of each network, then the next of each."""
    problem = problem_of(config)
    if problem.objective is not None:
        raise InputError("the problem has an objective of its own; there is no network that could be tested")
    data = data_of(problem)
    repetitions: list[tuple[int, int | None]]
    if config.test.folds == "groups":
        repetitions = [(1, group) for group in groups_of(data)]
    elif not data.test:  # none, or an empty one
        raise InputError(
            "the data of this problem has no test set; `load_data` must return one to test on, or groups for "
            "[TEST] folds = groups"
        )
    else:
        repetitions = [(seed, None) for seed in range(1, config.test.seeds + 1)]
    seen = {trial.number: study.epochs_seen(trial.candidate) for trial in chosen}
    saved = [_Job(trial, seen[trial.number], None, None) for trial in chosen if _is_saved(study, trial)]
    trained = [_Job(trial, config.test.epochs or seen[trial.number], *each) for each in repetitions for trial in chosen]
    return [*(saved if data.test else []), *trained]


def _is_saved(study: Study, trial: Trial) -> bool:
    try:
        study.load_model(trial.number)
    except InputError:
        return False
    return True


def _missing(jobs: Sequence[_Job], tests: Sequence[Tested]) -> list[_Job]:
    done = {each.key for each in tests}
    return [job for job in jobs if job.key not in done]


def _is_outdated(each: Tested, jobs: Sequence[_Job], again: bool) -> bool:
    """Whether a measurement is wanted anew, or its training was not as long as those that it would stand beside."""
    if again and any(job.key == each.key for job in jobs):
        return True
    return any(
        job.epochs != each.epochs
        for job in jobs
        if job.trial.number == each.number
        and (job.seed is None) == (each.seed is None)
        and (job.group is None) == (each.group is None)
    )


# --- measuring -------------------------------------------------------------------------------------------------------


def _measurements(jobs: Sequence[_Job], study: Study, config: Config) -> Generator[Tested]:
    """What comes of each job, as they end; what was running when a worker died is tried again, one job at a time."""
    queue, suspects = deque(jobs), deque[_Job]()
    crashed: set[Key] = set()
    running: dict[Future[Tested], _Job] = {}
    executor = open_executor(config)
    try:
        while queue or suspects or running:
            slots = 1 if suspects else workers(config)
            while (queue or suspects) and len(running) < slots:
                job = suspects.popleft() if suspects else queue.popleft()
                running[_submitted(executor, job, study, config)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            died = [future for future in done if isinstance(future.exception(), BrokenProcessPool)]
            for future in done.difference(died):
                yield _result(running.pop(future), future)
            if died:
                abandon(executor)
                executor = open_executor(config)
                lost, running = list(running.values()), {}
                for job in lost:
                    if job.key in crashed:
                        yield job.failed("its worker process died twice: it was killed or ran out of memory")
                    else:
                        suspects.append(job)
                crashed.update(job.key for job in lost)
    except BaseException:
        abandon(executor)
        raise
    executor.shutdown()


def _submitted(executor: Executor, job: _Job, study: Study, config: Config) -> "Future[Tested]":
    trial = job.trial
    try:
        if job.seed is None:
            return executor.submit(measure_saved, trial, job.epochs, study.load_model(trial.number), config)
        candidate = replace(trial.candidate, epochs=job.epochs)
        return executor.submit(measure_retrained, candidate, job.seed, job.group, config)
    except BrokenProcessPool as error:
        future: Future[Tested] = Future()
        future.set_exception(error)
        return future


def _result(job: _Job, future: "Future[Tested]") -> Tested:
    error = future.exception()
    if isinstance(error, SparsemodError):  # what measures is gone or cannot, not one network
        raise error
    return future.result() if error is None else job.failed(f"{type(error).__name__}: {error}")
