"""A thousand workers on one core: discrete events for workers, threads and time; all else of a search is real."""

import heapq
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from sparsemod import Candidate
from sparsemod.config import Config
from sparsemod.evaluate import Outcome
from sparsemod.loop import asking, running


class Simulation(Executor):
    """Workers that take a drawn time for each candidate, on a clock of its own.

    Discrete events: the end of a candidate, the end of an ask. All of the driver is real, sampler and record among it,
    and the clock moves by the time that it takes: its processor time and its waits for the disk, which leaves out what
    other programs of this machine take. When the driver waits, the clock goes on to the next event.

    An ask in the background is computed at once, on the study as it is when it begins, and answered later on the clock:
    after what it took, and all that the driver did meanwhile, as if both shared one core. Candidates that end before
    are recorded, and others begun, before the answer is there.
    """

    def __init__(self, mean: float) -> None:
        self.spans: list[tuple[float, float]] = []
        self.asks: list[float] = []
        self.driver = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._answer: tuple[float, Callable[[], None]] | None = None
        self._ended: deque[Future[object]] = deque()
        self._mean, self._rng = mean, np.random.default_rng(0)
        self._now = self._waited = 0.0
        self._real = self._busy()

    # An executor ...

    def submit(self, fn, /, candidate: Candidate, config: Config, *args: object) -> "Future[Outcome]":
        self._catch_up()
        future: Future[Outcome] = Future()
        outcome = fn(candidate, config)
        self._real = self._busy()  # the worker's, not the driver's
        end = self._now + self._mean * float(self._rng.uniform(0.5, 1.5))
        self.spans.append((self._now, end))
        heapq.heappush(self._events, (end, candidate.number, lambda: future.set_result(outcome)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass

    # ... the queue of what has ended ...

    def put(self, future: "Future[object]") -> None:
        self._ended.append(future)

    def empty(self) -> bool:
        return not self._ended

    def get(self) -> "Future[object]":
        self._catch_up()
        while not self._ended:
            self._now = max(self._now, self._next())
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2]()
            if self._answer and self._answer[0] <= self._now:
                answer, self._answer = self._answer[1], None
                answer()
        return self._ended.popleft()

    # ... and the thread that asks

    def thread(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> "Simulation":
        self._think = target, args
        return self

    def start(self) -> None:
        self._catch_up()
        target, (future, *rest) = self._think
        thought: Future[object] = Future()
        target(thought, *rest)
        seconds = self._busy() - self._real
        self._real += seconds
        self.asks.append(seconds)
        self._answer = self._now + seconds, lambda: future.set_result(thought.result())

    def _next(self) -> float:
        ends = [self._events[0][0]] if self._events else []
        return min([*ends, *([self._answer[0]] if self._answer else [])])

    def _catch_up(self) -> None:
        """What the driver did meanwhile takes as long here, and holds up an ask that shares its core."""
        busy = self._busy()
        worked, self._real = busy - self._real, busy
        self._now, self.driver = self._now + worked, self.driver + worked
        if self._answer:
            self._answer = self._answer[0] + worked, self._answer[1]

    def _busy(self) -> float:
        return time.process_time() + self._waited

    @contextmanager
    def running(self) -> Iterator[None]:
        """In place of workers, of threads and of time; waits for the disk are noted."""
        fsync = os.fsync

        def timed(file: int) -> None:
            wall, work = time.perf_counter(), time.process_time()
            fsync(file)
            self._waited += time.perf_counter() - wall - (time.process_time() - work)

        with (
            mock.patch.object(running, "open_executor", lambda config: self),
            mock.patch.object(running, "SimpleQueue", lambda: self),
            mock.patch.object(asking, "Thread", self.thread),
            mock.patch.object(os, "fsync", timed),
        ):
            self._real = self._busy()
            yield

    def utilisation(self, workers: int, first: int) -> float:
        """Share of their time that workers were busy, from candidate `first` until the last one began.

        Those that began before `first` and still run are not counted as idle.
        """
        begin, end = self.spans[first][0], self.spans[-1][0]
        busy = sum(max(0.0, min(last, end) - max(start, begin)) for start, last in self.spans)
        return busy / (workers * (end - begin))
