"""What is told to libraries that know neither conditions between parameters nor that costs are exact."""

from collections.abc import Mapping

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible
from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.study import Score, Study


def flat(space: SearchSpace, parameters: Parameters) -> dict[str, Value]:
    """Every parameter of a space; those that do not exist in the candidate sit in their middle, where all are alike."""
    return {name: parameters.get(name, parameter.from_unit(0.5)) for name, parameter in space.items()}


def misfit_costs(screen: Screen, parameters: Parameters) -> Mapping[str, float] | None:
    """Exact costs of a network that is over a limit; None for one that is not, or for what makes no network."""
    if not screen.can_build(parameters):
        return None
    try:
        costs = screen.costs(parameters)
    except Infeasible:
        return None
    return costs if any(excess > 0 for excess in excesses(costs, screen.limits).values()) else None


def excesses(score: Score, limits: Mapping[str, float]) -> dict[str, float]:
    """By which share of a limit each figure is over it; negative within, 0 where the figure is not known."""
    return {name: (score.get(name, limit) - limit) / (abs(limit) or 1) for name, limit in limits.items()}


def values_or_medians(study: Study, costs: Mapping[str, float]) -> list[float]:
    """Objective values of a network that was not trained: its costs, and for the rest the median of what was measured.

    Args:
        study: With at least one completed trial.
        costs: Of the network.
    """
    medians = np.median(study.values(study.completed()), axis=0)
    return [float(costs.get(name, median)) for name, median in zip(study.objectives, medians, strict=True)]
