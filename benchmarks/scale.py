"""What a search costs when it is large: many workers, many trials, machines that come and go.

    python benchmarks/scale.py                          all parts at their full size
    python benchmarks/scale.py overhead record --small  some parts, in a minute
    python benchmarks/scale.py speedup --seconds 10

Candidates are simulated: they burn processor time, sleep, or take none; but for `real` and `packing`, which train
networks. The driver, samplers and record are real. `packing` needs a GPU, and MNIST in the folder DATA_PATH.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from simulation import Simulation

from sparsemod import Candidate, Problem, Study, Trial
from sparsemod.cost.screen import Screen
from sparsemod.loop import Progress, search
from sparsemod.results import load
from sparsemod.space import Float, SearchSpace, Value
from sparsemod.spaces import cnn

Row = tuple[str, str, str]
"""What was measured, the figure, and what it should be."""

EXAMPLES = Path(__file__).parents[1] / "examples"
DIGITS, MNIST = (f"{EXAMPLES / name / 'problem.py'}:problem" for name in ("digits", "mnist"))

SECONDS = "SPARSEMOD_BENCHMARK_SECONDS"
"""Variable of the environment: of a candidate."""


def main() -> None:
    parts = {
        "speedup": speedup,
        "real": real,
        "packing": packing,
        "overhead": overhead,
        "simulation": simulation,
        "losses": losses,
        "record": record,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[*parts], metavar="part", help=", ".join(parts))
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of a candidate in `speedup` and, about, in `packing`"
    )
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


def packing(options: argparse.Namespace) -> Iterator[Row]:
    """Several candidates on each GPU against one: a network for a microcontroller is far too small to fill it."""
    gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
    if not gpus or "DATA_PATH" not in os.environ:
        yield "networks for MNIST that share a GPU", "no GPU here" if not gpus else "DATA_PATH is not set", ""
        return
    settings = {"problem": MNIST, "objectives": 4, "sampler1": "sobol", "epochs1": 4, "early_stopping": False}
    count = 2 * max(cores, 8 * gpus) if options.small else 8 * max(cores, 8 * gpus)
    alone = timed(count, "ray", cores, **settings).rate
    yield f"networks for MNIST, 4 epochs each, on {cores} cores: per hour", f"{3600 * alone:,.0f}", ""
    for each in (1, 2, 4, 8):
        shares = {"gpus_per_candidate": 1 / each, "cpus_per_candidate": min(1.0, cores / (gpus * each))}
        rate = timed(count, "ray", gpus * each, **shares, **settings).rate
        label = f"  {each} on each of {gpus} GPUs: per hour; against those cores"
        yield label, f"{3600 * rate:,.0f}; {rate / alone:.2f} x", ""


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
