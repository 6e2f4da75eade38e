"""Scores of a few candidates: of networks that go through the whole pipeline, or of the problem's own objective."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from sparsemod.config import Config, ProblemSection
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Samples, Sequences, Split, Tensors
from sparsemod.evaluate import evaluate
from sparsemod.problem import Problem
from sparsemod.samplers import Sobol
from sparsemod.space import Parameters
from sparsemod.study import Candidate
from sparsemod.testing.costs import screen_of_costs
from sparsemod.testing.members import SCORED, members

_TRAIN, _VALIDATION = 64, 32


def score_faults(problem: Problem, config: Config, data: Data) -> list[str]:
    """A few members that fit, through the whole pipeline on a handful of samples."""
    screen = Screen(problem, config, data)
    # An error of one's own may need what only all samples have, such as anomalies.
    validation = _head(data.validation, _VALIDATION) if problem.error is None else data.validation
    small = replace(data, train=_head(data.train, _TRAIN), validation=validation, test=None)
    brief = replace(config, problem=ProblemSection(replace(problem, load_data=lambda: small)))
    return _trial_faults(brief, [p for p in members(problem) if _fits(screen, p)][:SCORED])


def objective_faults(problem: Problem, config: Config) -> list[str]:
    """What is wrong with a few evaluations, and where they contradict the costs."""
    candidates = Sobol(screen_of_costs(problem, config), 1, 0).feasible(SCORED)
    return _trial_faults(config, candidates, problem.costs)


def _trial_faults(
    config: Config,
    candidates: Sequence[Parameters],
    costs: Callable[[Parameters], Mapping[str, float]] | None = None,
) -> list[str]:
    faults = dict[str, None]()
    for number, parameters in enumerate(candidates):
        trial = evaluate(Candidate(number, parameters, 1, "check"), config).trial
        if trial.status == "failed":
            faults[f"scoring failed: {trial.reason.rstrip().splitlines()[-1]}"] = None
        known = {} if costs is None or trial.status != "complete" else costs(parameters)
        for name, value in known.items():
            if not math.isclose(value, trial.score[name], rel_tol=1e-6):
                faults[f"the costs give {name} {value:g}, the objective {trial.score[name]:g} for {parameters}"] = None
    return list(faults)


def _fits(screen: Screen, parameters: Parameters) -> bool:
    try:
        return screen.misfit(parameters) is None
    except Exception:  # reported by the builder's own check
        return False


def _head(split: Split, n: int) -> Split:
    size = min(n, len(split))
    if isinstance(split, Tensors):
        return replace(split.select(torch.arange(size)), augment=None)
    if isinstance(split, Sequences):
        return split.select(torch.arange(size))
    if isinstance(split, Samples):
        return Samples(split.dataset, list(split.indices)[:size])
    dataset: Any = split
    return Samples(dataset, range(size))
