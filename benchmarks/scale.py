"""What a search costs when it is large: many workers, many trials, machines that come and go.

    python benchmarks/scale.py                          all parts at their full size
    python benchmarks/scale.py overhead record --small  some parts, in a minute
    python benchmarks/scale.py speedup --seconds 10

Candidates are simulated: they burn processor time, sleep, or take none; but for `real`, which trains networks. The
driver, samplers and record are real.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import heapq
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from sparsemod import Candidate, Problem, Study, Trial
from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.evaluate import Outcome
from sparsemod.loop import Progress, asking, running, search
from sparsemod.results import load
from sparsemod.space import Float, SearchSpace, Value
from sparsemod.spaces import cnn

Row = tuple[str, str, str]
"""What was measured, the figure, and what it should be."""

DIGITS = f"{Path(__file__).parents[1] / 'examples' / 'digits' / 'problem.py'}:problem"

SECONDS = "SPARSEMOD_BENCHMARK_SECONDS"
"""Variable of the environment: of a candidate."""


def main() -> None:
    parts = {
        "speedup": speedup,
        "real": real,
        "overhead": overhead,
        "simulation": simulation,
        "losses": losses,
        "record": record,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[*parts], metavar="part", help=", ".join(parts))
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a candidate in `speedup`")
    options = parser.parse_args()
    print(f"{'':<76} {'measured':>16} {'target':>16}")
    for name in options.parts:
        for label, figure, target in parts[name](options):
            print(f"{label:<76} {figure:>16} {target:>16}", flush=True)


# --- what is simulated -----------------------------------------------------------------------------------------------


def score(candidate: Candidate) -> dict[str, float]:
    """A front of two objectives in twenty dimensions, whose best networks have `x2` and all that follow at a half."""
    x = [float(value) for value in candidate.parameters.values()]
    away = sum((value - 0.5) ** 2 for value in x[2:])
    return {
        "error": min(1.0, (1 - x[0]) ** 2 + 0.1 * away),
        "model_size": 1000 * (x[0] ** 2 + 0.2 * abs(x[1] - 0.5)) + 1,
    }


def burn(candidate: Candidate) -> Mapping[str, float]:
    """Processor time, not wall time: what one candidate takes from another shows."""
    end = time.process_time() + float(os.environ[SECONDS])
    while time.process_time() < end:
        math.factorial(500)
    return score(candidate)


def sleep(candidate: Candidate) -> Mapping[str, float]:
    time.sleep(float(os.environ[SECONDS]))
    return score(candidate)


space = SearchSpace({f"x{axis}": Float(0.0, 1.0) for axis in range(20)})
instant = Problem(space, objective=score)
burning = Problem(space, objective=burn)
sleeping = Problem(space, objective=sleep)


class Next:
    """Proposes at once, without a look at the study, so that what is left is the driver's own work."""

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._epochs = screen.problem.space, epochs

    def ask(self, study: Study, n: int) -> list[Candidate]:
        return [
            Candidate(number, drawn(self._space, number), self._epochs, "Next")
            for number in range(study.next_number, study.next_number + n)
        ]


def drawn(space: SearchSpace, number: int) -> dict[str, Value]:
    return space.sample(np.random.default_rng(number))


def budget(root: str, count: int, **changes: object) -> dict[str, object]:
    common = {"problem": instant, "objectives": ["error", "model_size"], "sampler1": Next, "root": root}
    return {**common, "r1": count, "r2": 0, "r3": 0, "finish_epochs": 0, **changes}


# --- (a) two workers against one -------------------------------------------------------------------------------------


def speedup(options: argparse.Namespace) -> Iterator[Row]:
    """Candidates that burn processor time."""
    os.environ[SECONDS] = str(options.seconds)
    count = 8 if options.small else 20
    for executor in ("processes", "ray"):
        one, two = (timed(count, executor, workers, problem=f"{__file__}:burning") for workers in (1, 2))
        label = f"{executor}: two workers against one, {options.seconds:g} s each"
        yield label, f"{two.rate / one.rate:.2f} x", ">= 1.9 x"


def real(options: argparse.Namespace) -> Iterator[Row]:
    """Networks for digits, trained, quantized and scored; which ones does not depend on the workers."""
    count = 12 if options.small else 60
    settings = {"problem": DIGITS, "objectives": 4, "sampler1": "sobol", "epochs1": 10, "early_stopping": False}
    for executor in ("processes", "ray"):
        one, two = (timed(count, executor, workers, **settings) for workers in (1, 2))
        yield f"{executor}: two workers against one, real networks", f"{two.rate / one.rate:.2f} x", ""
        same = sum(one.study[number].score == two.study[number].score for number in range(count))
        yield "  networks with the same score", f"{same}", f"{count}"


@dataclass(frozen=True)
class Timed:
    """A search, and candidates per second from the first trial that ended to the last: workers take time to start."""

    study: Study
    rate: float


def timed(count: int, executor: str, workers: int, **settings: object) -> Timed:
    ends: list[float] = []

    def watch(progress: Progress) -> None:
        ends.extend([time.perf_counter()] if progress.trial else [])

    with tempfile.TemporaryDirectory() as root:
        study = search(watch=watch, **budget(root, count, executor=executor, workers=workers, **settings))
    return Timed(study, (count - workers) / (ends[-1] - ends[workers - 1]))  # the last of those that began together


# --- (b) the driver's own work ---------------------------------------------------------------------------------------


def overhead(options: argparse.Namespace) -> Iterator[Row]:
    count = 1_000 if options.small else 10_000
    stamps: list[tuple[float, float]] = []

    def watch(progress: Progress) -> None:
        if progress.trial:
            stamps.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as root:
        search(watch=watch, **budget(root, count))
    tenth = count // 10
    for part, place in (("the first tenth", slice(0, tenth)), ("the last tenth", slice(-tenth, None))):
        (wall, work), (last_wall, last_work) = stamps[place][0], stamps[place][-1]
        each, busy = 1000 * (last_wall - wall) / (tenth - 1), 1000 * (last_work - work) / (tenth - 1)
        yield f"driver per trial, {part} of {count:,}", f"{each:.1f} ms", "<= 20 ms"
        yield "  of that on the processor; the rest waits for the disk", f"{busy:.1f} ms", ""


# --- (c) a thousand workers, simulated -------------------------------------------------------------------------------


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


def simulation(options: argparse.Namespace) -> Iterator[Row]:
    """Sobol for the first workers, then the real Gaussian process, asked ahead of need."""
    workers, batch = (100, 16) if options.small else (1_000, 256)
    settings = {"r2": 4 * workers // batch, "batch_size": batch, "executor": "processes", "workers": workers}
    simulated = Simulation(30.0)
    with tempfile.TemporaryDirectory() as root, simulated.running():
        study = search(**budget(root, workers, sampler1="sobol", **settings))
    yield (
        f"{workers:,} workers x 30 s, {len(study):,} trials: busy",
        f"{simulated.utilisation(workers, 0):.1%}",
        ">= 95 %",
    )
    yield (
        "  from the first candidate of the Gaussian process on",
        f"{simulated.utilisation(workers, workers):.1%}",
        ">= 95 %",
    )
    asks = simulated.asks[1:]  # the first one is of the Sobol sequence
    yield f"  asking for {batch}: median, longest", f"{np.median(asks):.2f}, {max(asks):.2f} s", "<= 10 s"
    yield "  driver's own work for each trial", f"{1000 * simulated.driver / len(study):.1f} ms", ""
    first, second = (50, 50) if options.small else (200, 200)
    with tempfile.TemporaryDirectory() as root:
        one = search(**budget(root, first, sampler1="sobol", r2=second, batch_size=1))
    begun, needed = Study(study.objectives, study.limits, study.reference), 0
    for trial in study:
        needed += begun.hypervolume() < one.hypervolume()
        begun.add(trial)
    found = f"{begun.hypervolume():.4f}, {one.hypervolume():.4f}"
    yield f"  hypervolume of all; of {len(one)} that were asked for one by one", found, ""
    yield "  trials until it is as large", f"{needed:,} of {len(study):,}", ""


# --- (d) machines that are lost --------------------------------------------------------------------------------------


def losses(options: argparse.Namespace) -> Iterator[Row]:
    """Three machines beside the head; one after the other is lost, and another one comes."""
    from ray.cluster_utils import Cluster

    count, every = (40, 10.0) if options.small else (200, 20.0)
    os.environ[SECONDS] = "2"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    machines = [cluster.add_node(num_cpus=1) for _ in range(3)]
    lost, due = 0, time.monotonic() + every

    def watch(progress: Progress) -> None:
        nonlocal lost, due
        if time.monotonic() > due and len(progress.study) < count - 3:
            cluster.remove_node(machines.pop(0), allow_graceful=False)
            machines.append(cluster.add_node(num_cpus=1))
            lost, due = lost + 1, time.monotonic() + every

    environment = json.dumps({"env_vars": {SECONDS: "2"}})
    run = {"executor": "ray", "address": cluster.address, "runtime_env": environment, "retries": 5}
    with tempfile.TemporaryDirectory() as root:
        study = search(watch=watch, **budget(root, count, problem=f"{__file__}:sleeping", **run))
        lines = (Path(root) / "study" / "trials.jsonl").read_text().splitlines()
    cluster.shutdown()
    once = len({json.loads(line)["number"] for line in lines})
    yield (
        f"{count} trials while {lost} machines of three were lost: recorded, each once",
        f"{len(lines)}, {once}",
        f"{count}, {count}",
    )
    yield "  complete", str(study.count("complete")), str(count)


# --- (e) a long record -----------------------------------------------------------------------------------------------


def record(options: argparse.Namespace) -> Iterator[Row]:
    count = 10_000 if options.small else 100_000
    with tempfile.TemporaryDirectory() as root:
        write_record(Path(root), count)
        for statement, label, target in (
            ("load", "load", "<= 3 s"),
            ("resume", "resume, to the next trial", "<= 10 s"),
        ):
            command = [sys.executable, __file__, statement, root, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, memory = map(float, done.stdout.split())
            yield f"record of {count:,} trials, 37 parameters: {label}", f"{seconds:.1f} s", target
            yield "  memory", f"{memory:.0f} MB", "<= 1000 MB"


wide = Problem(cnn.space(blocks=2, layers=2), objective=lambda candidate: random_score(candidate))


def random_score(candidate: Candidate) -> dict[str, float]:
    rng = np.random.default_rng(candidate.number)
    error = float(0.05 + 0.9 * rng.random())
    return {"error": error, "model_size": float(round(1_000 + 9_000 * (1 - error) + 4_000 * rng.random()))}


def write_record(root: Path, count: int) -> None:
    """The record of a real search of one candidate, and more lines like it."""
    search(**budget(str(root), 1, problem=wide))
    folder = root / "study"
    with (folder / "proposals.jsonl").open("a") as proposals, (folder / "trials.jsonl").open("a") as trials:
        for number in range(1, count):
            candidate = Candidate(number, drawn(wide.space, number), 1, "Next")
            trial = asdict(Trial(candidate, "complete", random_score(candidate), seconds=1.0, elapsed=float(number)))
            row = trial.pop("candidate")
            proposals.write(json.dumps({"round": [row]}) + "\n")
            trials.write(json.dumps({**row, **trial}) + "\n")
    os.sync()  # or the first one to read competes with the disk


def in_a_new_process(statement: str, root: str, count: int) -> None:
    """Seconds and megabytes of loading or of going on."""
    started = time.perf_counter()
    ended = [math.nan]

    def watch(progress: Progress) -> None:
        if progress.trial:
            ended[0] = time.perf_counter()

    if statement == "load":
        assert len(load(Path(root) / "study")) == count
        ended = [time.perf_counter()]
    else:
        search(watch=watch, **budget(root, count + 1, problem=wide))
    print(ended[0] - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    if sys.argv[1:2] in (["load"], ["resume"]):
        in_a_new_process(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
