"""What sparsemod itself costs, beside training: start-up, choosing a candidate, scoring and recording a trial; and the
default run as a whole, in time and memory.

    python benchmarks/overhead.py

Figures are medians of several runs on one core; work in this process is counted in processor seconds. Machines
differ: the ratio to the reference work in the last row (a matrix product, timed in the same run) is what compares.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch

from sparsemod import Candidate, Choice, Float, Int, Problem, SearchSpace, Study, Trial, datasets
from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.evaluate import data_of, evaluate
from sparsemod.results import Record
from sparsemod.samplers import Bayes, Morph
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.spaces import cnn

RUNS = 5


def main() -> None:
    torch.set_num_threads(1)
    rows = [
        ("import sparsemod", 0.3, start_up("import sparsemod")),
        ("sparsemod --help", 1.0, start_up("from sparsemod.cli import main; main(['--help'])")),
        *choosing(),
        *scoring(),
    ]
    reference = median(lambda: torch.ones(1000, 1000) @ torch.ones(1000, 1000))
    print(f"{'':<66} {'measured':>10} {'at most':>8} {'ratio':>8}")
    for name, limit, seconds in rows:
        most = f"{limit:>6.1f} s" if limit else ""
        print(f"{name:<66} {seconds:>8.3f} s {most:>8} {seconds / reference:>8.1f}")
    print(f"{'reference: product of two 1000 x 1000 matrices':<66} {reference:>8.3f} s {'':>8} {1:>8.1f}")
    default_run()


def start_up(statement: str) -> float:
    """A fresh interpreter with a statement, less a fresh interpreter with none."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    whole = median(lambda: subprocess.run([sys.executable, "-c", statement], **quiet), time.perf_counter)
    return whole - median(lambda: subprocess.run([sys.executable, "-c", ""], **quiet), time.perf_counter)


def choosing() -> list[tuple[str, float | None, float]]:
    """Candidates for a space of thirty parameters with four objectives, after a hundred and after four hundred trials.

    The first one is asked of a new sampler, which knows no costs yet and fits its model anew, as after a resume; the
    third one fits it anew, too, as whenever there are a tenth more trials, or from 400 on half more. The libraries are
    loaded before, and timed on their own.
    """
    problem = Problem(cnn.space(blocks=2, layers=2), cnn.build, datasets.digits, cnn.MORPHISMS)
    config = from_keywords(problem=problem, device="arduino-uno")
    data = data_of(problem)
    screen = Screen(problem, config, data)
    rng = np.random.default_rng(0)

    def grown(count: int) -> Study:
        reference = {"error": 1.0, "latency": 100.0, **screen.limits}
        study = Study(config.train.objectives, screen.limits, reference)
        add(study, count)
        return study

    def add(study: Study, count: int) -> None:
        wanted = len(study) + count
        while len(study) < wanted:
            parameters = problem.space.sample(rng)
            if screen.fits(parameters):
                costs = screen.costs(parameters)
                error = min(0.9, 40 / (costs["macs"] + 40) + 0.02 * rng.random())
                candidate = Candidate(study.next_number, parameters, 5, "bench")
                study.add(Trial(candidate, "complete", {"error": error, **costs}))

    def seconds(sampler: Bayes | Morph, study: Study, batch: int = 1) -> float:
        started = time.process_time()
        assert len(sampler.ask(study, batch)) == batch
        return time.process_time() - started

    def new(kind: type[Bayes | Morph]) -> Bayes | Morph:
        return kind(Screen(problem, config, data), 10, 0)

    study = grown(3)
    loading = seconds(new(Bayes), study) - min(seconds(new(Bayes), study) for _ in range(RUNS))
    rows: list[tuple[str, float | None, float]] = [("libraries of the model, loaded once", None, loading)]
    for kind, trials, limit in ((Bayes, 100, 2.0), (Morph, 100, 2.0), (Bayes, 400, 5.0)):
        study = grown(trials)
        first, later, refit = [], [], []
        for _ in range(RUNS):
            sampler = new(kind)
            first.append(seconds(sampler, study))
            add(study, 1)
            later.append(seconds(sampler, study))
            add(study, 1)
            sampler._surrogate = Surrogate(sampler._screen)
            refit.append(seconds(sampler, study))
        label = f"ask {kind.name}, {len(problem.space)} parameters, {trials} to {len(study)} trials"
        rows += [
            (f"{label}: first", limit, statistics.median(first)),
            (f"{label}: model kept", limit, statistics.median(later)),
            (f"{label}: model fitted anew", limit, statistics.median(refit)),
        ]
    study = grown(400)
    rows.append(("ask bayes for 64 candidates after 400 trials: first", 10.0, seconds(new(Bayes), study, 64)))
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory of this process, after all asks: {largest:.0f} MB of 600 MB\n")
    return rows


def scoring() -> list[tuple[str, float, float]]:
    """All of a trial but its training, for a network of about 50 000 parameters on the digits."""
    space = SearchSpace({"width": Int(1, 400), "kind": Choice(["plain"]), "prune_threshold": Float(0.0, 0.9)})

    def build(parameters, input_shape, num_classes):
        filters = {f"b1_l{layer}_filters": width for layer, width in ((1, 32), (2, 48), (3, 64))}
        kinds = {f"b1_l{layer}_{key}": value for layer in (1, 2, 3) for key, value in (("type", "conv"), ("kernel", 3))}
        shape = {"blocks": 1, "b1_layers": 3, "b1_stride": 2, "b1_skip": True, "b1_pool": True, "b1_pool_rate": 2}
        head = {"global_pool": True, "fc_layers": 1, "fc1_units": 64, "dropout": 0.1}
        return cnn.build({**filters, **kinds, **shape, **head}, input_shape, num_classes)

    problem = Problem(space, build, datasets.digits, train=lambda *arguments: None)
    config = from_keywords(problem=problem, device="stm32f746")
    candidate = Candidate(0, {"width": 1, "kind": "plain", "prune_threshold": 0.5}, 1, "bench")
    evaluate(candidate, config)  # imports
    outcomes = []
    seconds = median(lambda: outcomes.append(evaluate(candidate, config)))
    params = outcomes[-1].trial.score["params"]

    with tempfile.TemporaryDirectory() as folder:
        header = {"objectives": ["error"], "limits": {}, "reference": {"error": 1.0}, "seed": 0}
        record = Record(Path(folder), config, space, lambda: header)
        numbers = iter(range(RUNS))

        def write() -> None:
            number = next(numbers)
            trial = Trial(Candidate(number, candidate.parameters, 1, "bench"), "complete", {"error": 0.5})
            record.add(trial, outcomes[-1].weights, outcomes[-1].graph)

        recording = median(write)
        record.close()
    return [
        (f"build, cost, quantize, score {params:,.0f} parameters", 1.0, seconds),
        ("record a trial with its model", 1.0, recording),
    ]


def default_run() -> None:
    """README's search, at its full size, with the memory of all its processes together."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config.cfg", "examples"):
            (Path(folder) / name).symlink_to(root / name)
        command = [sys.executable, "-m", "sparsemod", "search", "config.cfg"]
        started = time.perf_counter()
        running = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        resident, shared_once = 0.0, 0.0
        while running.poll() is None:
            processes = [running, *running.children(recursive=True)]
            used = [usage for process in processes if (usage := memory(process))]
            resident = max(resident, sum(rss for rss, _ in used))
            shared_once = max(shared_once, sum(pss for _, pss in used))
            time.sleep(0.25)
        seconds = time.perf_counter() - started
    assert running.returncode == 0, f"the search ended with exit code {running.returncode}"
    print(f"\ndefault run: {seconds:.0f} s of 300 s; memory of all processes {resident / 1e9:.2f} GB of 1.5 GB, or")
    print(f"{shared_once / 1e9:.2f} GB with pages that several of them share counted once")


def memory(process: psutil.Process) -> tuple[int, int] | None:
    """Resident set and its proportional share in bytes; None if the process has ended."""
    try:
        usage = process.memory_full_info()
    except psutil.Error:
        return None
    return usage.rss, usage.pss


def median(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    times = []
    for _ in range(RUNS):
        started = clock()
        work()
        times.append(clock() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
