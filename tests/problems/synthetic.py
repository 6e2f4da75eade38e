"""Problems that are formulas: costs are exact and an error takes microseconds, so a search shows its logic alone."""

import os
import signal
from collections.abc import Mapping

import numpy as np

from sparsemod.problem import Problem
from sparsemod.space import Choice, Int, Parameters, SearchSpace, Value
from sparsemod.study import Candidate

space = SearchSpace({"width": Int(1, 32), "depth": Int(1, 4), "kind": Choice(("plain", "gated"))})


def costs(parameters: Parameters) -> Mapping[str, float]:
    """10 bytes of flash for each unit, 5 bytes of RAM for each unit of one layer."""
    width, depth = int(parameters["width"]), int(parameters["depth"])
    return {"model_size": 10 * width * depth, "working_memory": 5 * width}


def objective(candidate: Candidate) -> Mapping[str, float]:
    """A larger network that is trained for longer errs less."""
    units = int(candidate.parameters["width"]) * int(candidate.parameters["depth"])
    better = 1.5 if candidate.parameters["kind"] == "gated" else 1.0
    return {"error": 1 / (1 + 0.1 * better * units * candidate.epochs**0.5), **costs(candidate.parameters)}


def wider(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Up to four units more."""
    child = {**parameters, "width": int(parameters["width"]) + int(rng.integers(1, 5))}
    return child if space.contains(child) else None


def deeper(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer more."""
    child = {**parameters, "depth": int(parameters["depth"]) + 1}
    return child if space.contains(child) else None


def deadly(candidate: Candidate) -> Mapping[str, float]:
    """Kills the process that evaluates a depth of 3."""
    if candidate.parameters["depth"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return objective(candidate)


def by_epochs(candidate: Candidate) -> Mapping[str, float]:
    """All networks are alike."""
    return {"error": 0.8 / candidate.epochs, "model_size": 100, "working_memory": 50}


problem = Problem(space, costs=costs, objective=objective, morphisms=(wider, deeper))
flat = Problem(space, costs=costs, objective=by_epochs, morphisms=(wider, deeper))
killer = Problem(space, costs=costs, objective=deadly)
small = Problem(
    SearchSpace({"width": Choice((1, 2, 3)), "depth": Int(1, 2), "kind": Choice(("plain",))}),
    costs=costs,
    objective=objective,
)
"""Six networks."""
