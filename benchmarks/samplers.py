"""Samplers side by side: hypervolume by trials, and processor time per ask, of sparsemod and its peers.

    python benchmarks/samplers.py run --task nas --method "Optuna GP" --seeds 10 --trials 100
    python benchmarks/samplers.py table

`run` adds a line per method and seed to benchmarks/samplers.jsonl, and leaves out those that are there; without
--method it runs all. `table` prints what the lines say and draws benchmarks/samplers.png.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from peers import METHODS
from tasks import TASKS
from tqdm import tqdm

from sparsemod import Candidate, Trial

RECORD = Path(__file__).with_suffix(".jsonl")
STEP = 10
"""Trials between two readings of the hypervolume."""


def main() -> None:
    arguments = _parser().parse_args()
    torch.set_num_threads(1)
    arguments.work(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(required=True)
    run = works.add_parser("run", help="run what is missing")
    run.add_argument("--task", choices=TASKS, action="append", help="default: all")
    run.add_argument("--method", choices=METHODS, action="append", help="default: all")
    run.add_argument("--seeds", type=int, default=10)
    run.add_argument("--trials", type=int, default=100)
    run.set_defaults(work=_run)
    table = works.add_parser("table", help="print and draw what was run")
    table.set_defaults(work=_table)
    return parser


# --- run -------------------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> None:
    for seed in range(arguments.seeds):
        for task in arguments.task or TASKS:
            for method in arguments.method or METHODS:
                found = [row for row in _rows() if (row["task"], row["method"], row["seed"]) == (task, method, seed)]
                if max((row["trials"] for row in found), default=0) < arguments.trials:
                    row = measured(task, method, seed, arguments.trials)
                    with RECORD.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


def measured(task_name: str, method: str, seed: int, trials: int) -> dict[str, object]:
    """One search: hypervolume every `STEP` trials, and processor seconds of every ask."""
    task = TASKS[task_name]()
    study, asking, seconds, volumes = task.study(), METHODS[method](task, seed), [], []
    started = time.process_time()
    parameters = next(asking)
    for number in tqdm(range(trials), f"{task_name}, {method}, seed {seed}", leave=False, disable=None):
        seconds.append(time.process_time() - started)
        study.add(Trial(Candidate(number, parameters, 1, method), "complete", task.truth(parameters)))
        if (number + 1) % STEP == 0:
            volumes.append(round(study.hypervolume() / task.best, 6))
        values = task.measured(parameters, seed, number)
        started = time.process_time()
        try:
            parameters = asking.send(values)
        except StopIteration:
            break
    times = [round(float(np.mean(part)), 4) for part in np.array_split(seconds, max(len(seconds) // STEP, 1))]
    return {
        **{"task": task_name, "method": method, "seed": seed, "trials": trials},
        **{"hypervolume": volumes, "seconds_per_ask": times},
    }


def _rows() -> Sequence[dict[str, object]]:
    lines: Iterator[str] = iter(RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else [])
    return [json.loads(line) for line in lines]


# --- table -----------------------------------------------------------------------------------------------------------


def _table(arguments: argparse.Namespace) -> None:
    """Means and standard errors over seeds."""
    rows = _rows()
    for task in TASKS:
        print(f"\n{task}\n{'':<24}" + "".join(f"{trials:>16}" for trials in (30, 60, 100, 200)) + "   s/ask  seeds")
        for method in METHODS:
            found = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            if found:
                print(_line(method, found))


def _line(method: str, rows: Sequence[dict[str, object]]) -> str:
    cells = []
    for trials in (30, 60, 100, 200):
        values = [row["hypervolume"][trials // STEP - 1] for row in rows if len(row["hypervolume"]) >= trials // STEP]
        error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        cells.append(f"{np.mean(values):>8.4f} ± {error:.4f}" if values else " " * 16)
    seconds = np.mean([row["seconds_per_ask"][-1] for row in rows])
    return f"{method:<24}" + "".join(cells) + f"{seconds:>8.2f}{len({row['seed'] for row in rows}):>7}"


if __name__ == "__main__":
    main()
