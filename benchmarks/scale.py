"""What a search costs when it is large: many workers, many trials, machines that come and go.

    python benchmarks/scale.py                          all parts at their full size
    python benchmarks/scale.py overhead record --small  some parts, in a minute
    python benchmarks/scale.py speedup --seconds 10

Candidates are simulated: they burn processor time, sleep, or take none. The driver, samplers and record are real.
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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import numpy as np

from sparsemod import Candidate, Problem, Study, Trial, loop
from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.evaluate import Outcome
from sparsemod.loop import Progress, search
from sparsemod.results import load
from sparsemod.space import Float, SearchSpace, Value
from sparsemod.spaces import cnn

Row = tuple[str, str, str]
"""What was measured, the figure, and what it should be."""

SECONDS = "SPARSEMOD_BENCHMARK_SECONDS"
"""Variable of the environment: of a candidate."""


def main() -> None:
    parts = {
        "speedup": speedup,
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
    """Wall time from the first trial that ended to the last, so that the start of the workers does not count."""
    os.environ[SECONDS] = str(options.seconds)
    count = 8 if options.small else 20
    for executor in ("processes", "ray"):
        rates = []
        for workers in (1, 2):
            ends: list[float] = []

            def watch(progress: Progress, ends: list[float] = ends) -> None:
                ends.extend([time.perf_counter()] if progress.trial else [])

            with tempfile.TemporaryDirectory() as root:
                place = f"{__file__}:burning"
                search(watch=watch, **budget(root, count, problem=place, executor=executor, workers=workers))
            first = workers - 1  # the last of those that began together
            rates.append((count - workers) / (ends[-1] - ends[first]))
        yield (
            f"{executor}: two workers against one, {options.seconds:g} s each",
            f"{rates[1] / rates[0]:.2f} x",
            ">= 1.9 x",
        )


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
    """Workers that take a drawn time for each candidate; a clock of its own, moved by the real time of the driver."""

    def __init__(self, mean: float) -> None:
        self.now = self._real = time.perf_counter()
        self.spans: list[tuple[float, float]] = []
        self._ends: list[tuple[float, int, Future[Outcome], Outcome]] = []
        self._mean, self._rng = mean, np.random.default_rng(0)

    def submit(self, fn, /, candidate: Candidate, config: Config, *args: object) -> "Future[Outcome]":
        self._catch_up()
        end = self.now + self._mean * float(self._rng.uniform(0.5, 1.5))
        self.spans.append((self.now, end))
        future: Future[Outcome] = Future()
        heapq.heappush(self._ends, (end, candidate.number, future, fn(candidate, config)))
        return future

    def _catch_up(self) -> None:
        """What the driver did meanwhile takes as long here."""
        real = time.perf_counter()
        self.now, self._real = self.now + real - self._real, real

    def wait(self, running: object, return_when: object = None) -> tuple[set["Future[Outcome]"], None]:
        """Goes on to the next end, and gives all that has ended by then; stands in for `concurrent.futures.wait`."""
        self._catch_up()
        self.now = max(self.now, self._ends[0][0])
        done = set()
        while self._ends and self._ends[0][0] <= self.now:
            _, _, future, outcome = heapq.heappop(self._ends)
            future.set_result(outcome)
            done.add(future)
        return done, None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass

    def utilisation(self, workers: int, first: int) -> float:
        """Share of their time that workers were busy, from candidate `first` until the last one began."""
        spans = self.spans[first:]
        begin, end = spans[0][0], spans[-1][0]
        return sum(min(last, end) - start for start, last in spans) / (workers * (end - begin))


def simulation(options: argparse.Namespace) -> Iterator[Row]:
    """Sobol for the first workers, then the real Gaussian process, asked for a batch whenever it has none left."""
    workers, batch = (100, 16) if options.small else (1_000, 64)
    settings = {"r2": 4 * workers // batch, "batch_size": batch, "executor": "processes", "workers": workers}
    executor = Simulation(30.0)
    asks: list[float] = []
    with (
        tempfile.TemporaryDirectory() as root,
        timed_asks(asks),
        mock.patch.object(loop, "open_executor", lambda config: executor),
        mock.patch.object(loop, "wait", executor.wait),
    ):
        study = search(**budget(root, workers, sampler1="sobol", **settings))
    yield (
        f"{workers:,} workers x 30 s, {len(study):,} trials: busy",
        f"{executor.utilisation(workers, 0):.1%}",
        ">= 95 %",
    )
    yield "  in the second stage alone", f"{executor.utilisation(workers, workers):.1%}", ">= 95 %"
    yield f"  asking for {batch}: median, longest", f"{np.median(asks):.2f}, {max(asks):.2f} s", "<= 10 s"
    first, second = (50, 50) if options.small else (200, 400)
    with tempfile.TemporaryDirectory() as root:
        one = search(**budget(root, first, sampler1="sobol", r2=second))
    begun = Study(study.objectives, study.limits, study.reference)
    for trial in study.trials[: len(one)]:
        begun.add(trial)
    found = f"{begun.hypervolume():.4f}, {one.hypervolume():.4f}"
    yield f"  hypervolume of the first {len(one)} trials; asked one by one", found, ""
    yield "  and of all trials", f"{study.hypervolume():.4f}", ""


class timed_asks:
    """Notes how long each ask of the Gaussian process takes."""

    def __init__(self, seconds: list[float]) -> None:
        from sparsemod.samplers import Bayes

        self._seconds, self._kind, self._ask = seconds, Bayes, Bayes.ask

    def __enter__(self) -> None:
        ask, seconds = self._ask, self._seconds

        def timed(sampler: object, study: Study, n: int) -> Sequence[Candidate]:
            started = time.perf_counter()
            asked = ask(sampler, study, n)
            seconds.append(time.perf_counter() - started)
            return asked

        self._kind.ask = timed

    def __exit__(self, *error: object) -> None:
        self._kind.ask = self._ask


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
