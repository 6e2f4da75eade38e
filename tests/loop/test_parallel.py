"""Several worker processes do the work of one, and none outlives the search."""

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from problems.searches import FORMULA, KILLER, TINY, front, interrupted, origins, problem_of, results, searched

from sparsemod.errors import InputError
from sparsemod.loop import Progress
from sparsemod.space import identity


def test_processes_do_the_same_work_once(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=7, r2=2, r3=3, executor="processes", workers=2)
    assert Counter(origins(study)) == {"sobol": 7, "bayes": 4, "morph": 3}
    assert sorted(trial.number for trial in study.trials) == list(range(14))
    assert len({identity(candidate.parameters) for candidate in study.candidates}) == 14
    assert study.count("complete") == 14
    assert study.pending == []
    assert FORMULA.objective is not None
    assert all(trial.score == FORMULA.objective(trial.candidate) for trial in study.trials)


def test_quasi_random_candidates_do_not_depend_on_the_executor(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 4, "r2": 0, "r3": 0}
    serial = searched(tmp_path / "serial", **budget)
    parallel = searched(tmp_path / "processes", executor="processes", workers=2, **budget)
    assert sorted(results(serial), key=lambda result: result[0].number) == sorted(
        results(parallel), key=lambda result: result[0].number
    )
    assert front(tmp_path / "serial") == front(tmp_path / "processes")


def test_candidate_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    events: list[Progress] = []
    study = searched(tmp_path, events.append, problem=KILLER, r1=12, r2=0, executor="processes", workers=2)
    assert len(study.trials) == 12
    deadly = [trial for trial in study.trials if trial.candidate.parameters["depth"] == 3]
    assert 1 < len(deadly) < 12
    assert all(trial.status == "failed" and "its worker process died twice" in trial.reason for trial in deadly)
    assert study.count("complete") == 12 - len(deadly)
    assert study.pending == []
    assert any("a worker process died" in event.message for event in events)
    first_death = next(position for position, event in enumerate(events) if "died" in event.message)
    assert max(event.running for event in events[first_death:]) == 2  # no slot is lost


class LateExecutor(Executor):
    """The second call dies while the first one runs, whose result comes once it was begun again."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.begun.append(args[0].number)
        future: Future[Any] = Future()
        if len(self.begun) == 1:
            self._late, self._result = future, fn(*args, **kwargs)
        elif len(self.begun) == 2:
            future.set_exception(BrokenProcessPool("a process died"))
        else:
            if not self._late.done():
                self._late.set_result(self._result)
            future.set_result(fn(*args, **kwargs))
        return future


def test_late_result_of_what_was_begun_again_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = LateExecutor()
    monkeypatch.setattr("sparsemod.loop.running.open_executor", lambda config: executor)
    study = searched(tmp_path, r1=6, r2=0, r3=0, executor="processes", workers=2)
    assert executor.begun == [0, 1, 0, 1, 2, 3, 4, 5]
    lines = (tmp_path / "study" / "trials.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["number"] for line in lines) == list(range(6))
    assert study.count("complete") == len(study) == 6


def no_children_are_left() -> bool:
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


def test_interrupt_ends_the_workers(tmp_path: Path) -> None:
    assert no_children_are_left()
    assert interrupted(tmp_path, 6, executor="processes", workers=2)
    assert no_children_are_left()


def test_interrupt_ends_the_workers_that_replaced_dead_ones(tmp_path: Path) -> None:
    died: list[Progress] = []

    def watch(progress: Progress) -> None:
        died.extend([progress] if "a worker process died" in progress.message else [])
        if died and progress.trial is not None and progress.trial.status == "complete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupt:
        searched(tmp_path, watch, problem=KILLER, r1=12, executor="processes", workers=2)
    assert no_children_are_left()
    assert died and interrupt  # the error is still held, as a notebook does


def test_problem_that_cannot_travel_is_refused_before_anything_runs(tmp_path: Path) -> None:
    problem = problem_of(lambda candidate: {"error": 0.5})
    with pytest.raises(InputError, match="cannot be sent to worker processes"):
        searched(tmp_path, problem=problem, executor="processes", workers=2)


@pytest.mark.ray
def test_ray_finds_what_one_process_finds(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 4, "r2": 1, "r3": 1}
    serial = searched(tmp_path / "serial", **budget)
    ray = searched(tmp_path / "ray", executor="ray", workers=1, **budget)
    assert results(ray) == results(serial)
    assert front(tmp_path / "ray") == front(tmp_path / "serial")


@pytest.mark.ray
def test_ray_goes_on_after_a_worker_was_killed(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=KILLER, r1=6, r2=0, r3=0, executor="ray", workers=2)
    deadly = [trial for trial in study.trials if trial.candidate.parameters["depth"] == 3]
    assert len(deadly) > 0
    assert all(trial.status == "failed" for trial in deadly)
    assert study.count("complete") == 6 - len(deadly)
