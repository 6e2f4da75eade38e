"""A problem whose costs are exact and whose error is a smooth formula, so that samplers can be judged in seconds."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers import Sampler
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace, Value
from sparsemod.study import Candidate, Study, Trial

OBJECTIVES = ("error", "model_size", "working_memory")
REFERENCE = {"error": 0.8, "model_size": 1000.0, "working_memory": 200.0}

space = SearchSpace(
    {
        "depth": Int(1, 3),
        "width_1": Int(1, 64, log=True),
        "width_2": Int(1, 64, log=True, when={"depth": (2, 3)}),
        "width_3": Int(1, 64, log=True, when={"depth": (3,)}),
        "kind": Choice(("plain", "gated", "wide")),
        "rate": Float(1e-4, 1e-1, log=True),
    }
)


def widths(parameters: Parameters) -> list[int]:
    return [int(parameters[f"width_{layer}"]) for layer in range(1, int(parameters["depth"]) + 1)]


def costs(parameters: Parameters) -> Mapping[str, float]:
    """10 bytes of flash for each unit, 5 bytes of RAM for each unit of the widest layer."""
    return {"model_size": 10 * sum(widths(parameters)), "working_memory": 5 * max(widths(parameters))}


def error(candidate: Candidate) -> float:
    """Falls with units, depth and epochs; best for the gated kind and a rate of 10^-2.5."""
    parameters = candidate.parameters
    units = sum(widths(parameters)) * {"plain": 1.0, "gated": 2.0, "wide": 0.5}[str(parameters["kind"])]
    depth, rate = int(parameters["depth"]), math.log10(float(parameters["rate"]))
    return min(1.0, (0.05 + 0.9 / (1 + units * depth**0.5 / 15) + 0.1 * (rate + 2.5) ** 2) * candidate.epochs**-0.1)


def objective(candidate: Candidate) -> Mapping[str, float]:
    return {"error": error(candidate), **costs(candidate.parameters)}


def wider(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """The first layer wider by up to eight units."""
    child = {**parameters, "width_1": int(parameters["width_1"]) + int(rng.integers(1, 9))}
    return child if space.contains(child) else None


def deeper(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer more, of any width."""
    child = {**parameters, "depth": int(parameters["depth"]) + 1}
    return space.complete(child, rng) if child["depth"] in space["depth"] else None


def moved(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value]:
    """Another rate or kind."""
    name = ("rate", "kind")[rng.integers(2)]
    return {**parameters, name: space[name].mutate(parameters[name], rng)}


@pytest.fixture(scope="session")
def problem() -> Problem:
    return Problem(space, costs=costs, objective=objective, morphisms=(wider, deeper, moved))


@pytest.fixture
def new_screen(problem: Problem) -> Callable[[], Screen]:
    """Makes a screen with empty caches."""
    return lambda: Screen(problem, from_keywords(model_size=1000, working_memory=200))


@pytest.fixture
def screen(new_screen: Callable[[], Screen]) -> Screen:
    return new_screen()


@pytest.fixture
def study(screen: Screen) -> Study:
    """A study without trials."""
    return Study(OBJECTIVES, screen.limits, REFERENCE)


@pytest.fixture(scope="session")
def grow() -> Callable[[Study, Sampler, int], Study]:
    """Asks, evaluates and adds one candidate after the other; returns the study."""

    def grown(study: Study, sampler: Sampler, n: int) -> Study:
        for _ in range(n):
            for candidate in sampler.ask(study, 1):
                study.add(Trial(candidate, "complete", objective(candidate)))
        return study

    return grown


@pytest.fixture(scope="session")
def reloaded() -> Callable[[Study], Study]:
    """The study as it comes back from its record: the same candidates and trials in new objects."""

    def again(study: Study) -> Study:
        twin = Study(study.objectives, study.limits, study.reference, study.seed)
        for candidate in study.candidates:
            twin.propose(Candidate(**{**vars(candidate), "parameters": dict(candidate.parameters)}))
        for trial in study.trials:
            twin.add(Trial(twin.candidates[trial.number], trial.status, dict(trial.score), trial.reason))
        return twin

    return again
