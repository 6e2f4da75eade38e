from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Morphism, Problem
from sparsemod.samplers import Morph, Sampler, Sobol
from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.study import Candidate, Study, Trial

Grow = Callable[[Study, Sampler, int], Study]
Make = Callable[..., Morph]


@pytest.fixture
def sobol(problem: Problem, screen: Screen) -> Sobol:
    return Sobol(screen, 5, 0)


@pytest.fixture
def make(problem: Problem, screen: Screen) -> Make:
    """A sampler of some morphisms; of all if none are named."""

    def made(*some: Morphism) -> Morph:
        own = replace(problem, morphisms=some or problem.morphisms)
        return Morph(Screen(own, from_keywords(**screen.limits)), 10, 0)

    return made


def never(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> None:
    """Applies to nothing."""


def same(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> Parameters:
    """The parent itself."""
    return dict(parameters)


def outside(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value]:
    """A rate that the space does not have."""
    return {**parameters, "rate": 0.2}


def too_wide(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value]:
    """320 bytes of RAM, of which there are 200."""
    return {**parameters, "width_1": 64}


def gated(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value]:
    """The best kind; beside it a parameter that is not active and a number of NumPy."""
    return {**parameters, "kind": "gated", "width_3": 7, "width_1": np.int64(parameters["width_1"]) + 1}


def test_children_are_one_morphism_away_from_a_parent_on_the_front(
    study: Study, sobol: Sobol, make: Make, grow: Grow
) -> None:
    grow(study, sobol, 12)
    front = {trial.number: trial.candidate.parameters for trial in study.pareto_front()}
    for candidate in make().ask(study, 5):
        assert candidate.parent in front
        parent = front[candidate.parent]
        changed = {name for name in candidate.parameters if candidate.parameters[name] != parent.get(name)}
        assert changed in ({"width_1"}, {"depth", "width_2"}, {"depth", "width_3"}, {"rate"}, {"kind"})
        assert (candidate.epochs, candidate.origin) == (10, "morph")


def test_children_of_children_are_born_once_these_are_on_the_front(
    study: Study, sobol: Sobol, make: Make, grow: Grow
) -> None:
    grow(grow(study, sobol, 12), make(), 20)
    generations = [study[trial.candidate.parent].candidate.origin for trial in study.trials[12:]]
    assert "morph" in generations
    random = grow(Study(study.objectives, study.limits, study.reference), sobol, 32)
    assert study.hypervolume() > 1.1 * random.hypervolume()


def test_study_without_a_front_has_no_children(study: Study, sobol: Sobol, make: Make) -> None:
    assert make().ask(study, 2) == []
    [candidate] = sobol.ask(study, 1)
    study.add(Trial(candidate, "complete", {"error": 0.5, "model_size": 1001, "working_memory": 50}))
    assert make().ask(study, 2) == []  # over a limit


@pytest.mark.parametrize("morphism", [never, same, outside, too_wide])
def test_morphism_that_gives_nothing_new_that_fits_gives_no_children(
    study: Study, sobol: Sobol, make: Make, grow: Grow, morphism: Morphism
) -> None:
    assert make(morphism).ask(grow(study, sobol, 4), 2) == []


def test_no_morphisms_no_children(study: Study, problem: Problem, sobol: Sobol, grow: Grow) -> None:
    none = Screen(replace(problem, morphisms=()), from_keywords())
    assert Morph(none, 10, 0).ask(grow(study, sobol, 4), 1) == []


def test_child_is_taken_in_canonical_form(study: Study, sobol: Sobol, make: Make, problem: Problem, grow: Grow) -> None:
    grow(study, sobol, 4)
    [child] = make(gated).ask(study, 1)
    assert child.parameters == problem.space.canonical(child.parameters)
    assert all(type(value) in (int, float, str) for value in child.parameters.values())


def test_children_end_when_all_are_born(study: Study, make: Make, screen: Screen) -> None:
    parameters = {"depth": 1, "width_1": 40, "kind": "gated", "rate": 1e-2}

    def shrink(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value]:
        return {**parameters, "width_1": int(rng.integers(1, 4))}

    study.add(Trial(Candidate(0, parameters, 5, "sobol"), "complete", {"error": 0.5, **screen.costs(parameters)}))
    asked = make(shrink).ask(study, 10)
    assert sorted(candidate.parameters["width_1"] for candidate in asked) == [1, 2, 3]
    assert {candidate.parent for candidate in asked} == {0}


def test_children_of_several_unknown_objectives(sobol: Sobol, make: Make) -> None:
    study = Study(("error", "energy"), {}, {"error": 1.0, "energy": 1.0})
    for candidate in sobol.ask(study, 4):
        study.add(Trial(candidate, "complete", {"error": 0.1 * (1 + candidate.number), "energy": 0.5}))
    [child] = make().ask(study, 1)
    assert child.parent == 0
