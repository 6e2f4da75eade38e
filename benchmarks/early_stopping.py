"""What giving candidates up early saves, and what it costs: finished searches, replayed under several rules.

    python benchmarks/early_stopping.py --seeds 3

Searches of examples/digits without early stopping give the errors of every candidate at the rungs and in the end; they
are kept in results/benchmarks and are not run again. Each rule then sees the trials in their order and gives up what it
would have given up. `epochs` is the share it trains, `hypervolume` the share it keeps of the front, `false stops` the
share of the finished trials that stood on the final front and were given up.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from sparsemod import Config, Study, Trial, config, search
from sparsemod.cost.screen import Screen
from sparsemod.early_stopping import MARGINS, EarlyStopping
from sparsemod.evaluate import data_of, problem_of

Rule = Callable[[Study, Trial], Mapping[int, float]]
"""Errors at the rungs of a trial above which it is given up, by what has ended before it."""

_ROOT = Path("results/benchmarks/early_stopping")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/digits/config.cfg", help="of the searches; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="searches; default: %(default)s")
    arguments = parser.parse_args()
    studies, screen = [], None
    for seed in range(arguments.seeds):
        settings = _settings(arguments.config, seed)
        studies.append(search(settings))
        screen = screen or _screen(settings)
        print(f"seed {seed}: {studies[-1]!r}", flush=True)
    assert screen is not None
    print(f"\n{'rule':<46}{'epochs':>8}{'hypervolume':>13}{'false stops':>13}{'given up':>10}")
    for name, rule in _rules(screen).items():
        figures = np.mean([_replayed(study, rule()) for study in studies], axis=0)
        print(f"{name:<46}{figures[0]:>8.3f}{figures[1]:>13.4f}{figures[2]:>13.3f}{figures[3]:>10.3f}")


def _settings(path: str, seed: int) -> Config:
    return config.read(
        path,
        [
            f"TRAIN.root={_ROOT}",
            f"TRAIN.name={Path(path).parent.name}-{seed}",
            f"TRAIN.seed={seed}",
            "TRAIN.early_stopping=false",
            "TRAIN.finish_epochs=0",
        ],
    )


def _screen(settings: Config) -> Screen:
    problem = problem_of(settings)
    data = data_of(problem)
    return Screen(problem, settings, data)


# --- rules -----------------------------------------------------------------------------------------------------------


def _rules(screen: Screen) -> Mapping[str, Callable[[], Rule]]:
    fixed = {f"cheaper and better by {margin:.0%}": partial(_Fixed, screen, margin) for margin in (0.1, *MARGINS)}
    return {
        "none": lambda: lambda study, trial: {},
        "cheaper and better, margin calibrated (ours)": lambda: partial(_ours, EarlyStopping(screen)),
        **{name: lambda make=make: partial(_ours, make()) for name, make in fixed.items()},
        "error alone, best third goes on (ASHA)": lambda: _asha,
    }


def _ours(stopping: EarlyStopping, study: Study, trial: Trial) -> Mapping[int, float]:
    return stopping.bars(study, trial.candidate)


class _Fixed(EarlyStopping):
    """Of one margin, whatever it does."""

    def __init__(self, screen: Screen, margin: float) -> None:
        super().__init__(screen)
        self._margin = margin

    def margin(self, study: Study) -> float:
        return self._margin


def _asha(study: Study, trial: Trial) -> Mapping[int, float]:
    """The error of the best third at each rung [Li2020]."""
    bars = {}
    for rung in trial.curve:
        seen = [each.curve[rung] for each in study if rung in each.curve and _same_kind(each, trial)]
        bars[rung] = float(np.quantile(seen, 1 / 3)) if len(seen) >= 3 else math.inf
    return bars


def _same_kind(one: Trial, other: Trial) -> bool:
    first, second = one.candidate, other.candidate
    return first.epochs == second.epochs and (first.parent is None) == (second.parent is None)


# --- replay ----------------------------------------------------------------------------------------------------------


def _replayed(study: Study, rule: Rule) -> Sequence[float]:
    """Shares of epochs trained, of hypervolume kept, of false stops, and of trials given up."""
    finished = study.completed()
    front = {trial.number for trial in study.pareto_front()}
    seen = Study(study.objectives, study.limits, study.reference_point())
    spent, lost = 0, []
    for trial in finished:
        bars = rule(seen, trial)
        over = [rung for rung, error in trial.curve.items() if error > bars.get(rung, math.inf)]
        if not over:
            seen.add(trial)
            spent += trial.candidate.epochs
            continue
        curve = {rung: error for rung, error in trial.curve.items() if rung <= over[0]}
        seen.add(replace(trial, status="stopped", score={}, curve=curve))
        spent += over[0]
        lost.append(trial.number)
    return (
        spent / sum(trial.candidate.epochs for trial in finished),
        seen.hypervolume() / study.hypervolume(),
        len(front.intersection(lost)) / len(finished),
        len(lost) / len(finished),
    )


if __name__ == "__main__":
    main()
