"""Several workers never wait for the sampler; one worker's candidates are asked for when all is known."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from problems.searches import SMALL, SYNTHETIC, searched

from sparsemod.loop import Progress
from sparsemod.results import stops
from sparsemod.samplers import Sobol
from sparsemod.study import Candidate, Study

TWO: dict[str, Any] = {"executor": "processes", "workers": 2, "r2": 0, "r3": 0}
"""Slots, each asked for ahead."""


Before = Callable[[Study, int], object]
Patch = Callable[[Before], None]


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Does something at the begin of each ask of the Sobol sequence, given the number of the ask, from 1."""
    ask, asks = Sobol.ask, count(1)

    def patch(before: Before) -> None:
        def asked(sobol: Sobol, study: Study, n: int) -> list[Candidate]:
            before(study, next(asks))
            return ask(sobol, study, n)

        monkeypatch.setattr(Sobol, "ask", asked)

    return patch


def test_slots_are_filled_while_the_sampler_thinks(tmp_path: Path, asking: Patch) -> None:
    """The third batch is thought about until a trial of the second has ended, which was asked for ahead."""
    ended, waited = threading.Event(), list[bool]()

    def before(study: Study, asks: int) -> None:
        waited.extend([ended.wait(30)] if asks == 3 else [])

    def watch(progress: Progress) -> None:
        if progress.trial is not None and progress.trial.number >= 2:
            ended.set()

    asking(before)
    study = searched(tmp_path, watch, r1=8, **TWO)
    assert waited == [True]
    assert sorted(trial.number for trial in study.trials) == list(range(8))


def test_what_runs_and_what_waits_is_pending_to_the_sampler(tmp_path: Path, asking: Patch) -> None:
    seen: list[tuple[list[int], Study]] = []

    def before(study: Study, asks: int) -> None:
        seen.append((sorted([candidate.number for candidate in study.candidates]), study))
        assert {candidate.number for candidate in study.pending} | {trial.number for trial in study} == {*seen[-1][0]}

    asking(before)
    study = searched(tmp_path, r1=8, **TWO)
    assert [numbers for numbers, _ in seen] == [list(range(2 * asks)) for asks in range(4)]
    assert all(asked is not study for _, asked in seen)  # which nobody else changes


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_one_worker_is_asked_for_when_all_is_known(tmp_path: Path, asking: Patch, executor: str) -> None:
    pending: list[int] = []
    asking(lambda study, asks: pending.append(len(study.pending)))
    searched(tmp_path, **{**TWO, "r1": 4, "workers": 1, "executor": executor})
    assert pending == [0] * 4


def test_what_the_sampler_raises_in_the_background_ends_the_search(tmp_path: Path, asking: Patch) -> None:
    def before(study: Study, asks: int) -> None:
        if asks == 2:
            raise ZeroDivisionError("of the sampler")

    asking(before)
    with pytest.raises(ZeroDivisionError, match="of the sampler"):
        searched(tmp_path, r1=8, **TWO)


def test_time_limit_does_not_wait_for_the_sampler(tmp_path: Path, asking: Patch) -> None:
    over = threading.Event()
    asking(lambda study, asks: asks > 1 and over.wait())
    study = searched(tmp_path, r1=8, time_limit=0.001, **TWO)
    over.set()
    assert len(study.trials) <= 2
    assert stops(tmp_path / "study") == ["quasi-random: time limit of 0.001 s reached"]


def test_small_space_is_searched_to_its_end_by_two(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=SMALL, r1=100, **TWO)
    assert sorted(trial.number for trial in study.trials) == list(range(6))
    assert stops(tmp_path / "study")[0] == "quasi-random: no new candidate that fits is left"


class Waiting(Executor):
    """The last candidate of the first stage ends once one of the second was begun."""

    def __init__(self) -> None:
        self.began_before_the_last_ended: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        number, future, result = args[0].number, Future[Any](), fn(*args, **kwargs)
        if number == 11:
            self._last, self._result = future, result
            return future
        if number > 11 and not self._last.done():
            self.began_before_the_last_ended.append(number)
            self._last.set_result(self._result)
        future.set_result(result)
        return future


def test_next_stage_does_not_wait_for_the_last_candidate_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Waiting()
    monkeypatch.setattr("sparsemod.loop.running.open_executor", lambda config: executor)
    study = searched(tmp_path, **{**TWO, "r1": 12, "r2": 1, "r3": 1})
    assert executor.began_before_the_last_ended == [12]
    assert [candidate.origin for candidate in study.candidates] == ["sobol"] * 12 + ["bayes"] * 2 + ["morph"]
    assert study.count("complete") == 15


INTERRUPTED = """
import signal, time
from sparsemod import search
from sparsemod.samplers import Sobol

class Slow(Sobol):
    asks = 0

    def ask(self, study, n):
        self.asks += 1
        if self.asks == 2:
            print("thinks", flush=True)
            time.sleep(600)
        return super().ask(study, n)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    search(problem={problem!r}, root={root!r}, objectives=3, device="microbit-v2", executor="processes", workers=2,
           sampler1=Slow, r1=8, r2=0, r3=0)
"""


def test_interrupted_search_does_not_wait_for_the_sampler(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED.format(problem=SYNTHETIC, root=str(tmp_path)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"thinks\n"
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=30)
    assert error.decode().rstrip().endswith("KeyboardInterrupt")
    assert running.returncode in (-signal.SIGINT, 1, 130)
