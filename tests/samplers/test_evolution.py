from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers import Evolution, Random, Sampler, Sobol
from sparsemod.space import Float, Parameters, SearchSpace
from sparsemod.study import Candidate, Study, Trial
from sparsemod.testing import check_sampler

Grow = Callable[[Study, Sampler, int], Study]
Reload = Callable[[Study], Study]

LINE = SearchSpace({name: Float(0.0, 1.0) for name in ("a", "b", "c", "d")})


def costs(parameters: Parameters) -> Mapping[str, float]:
    return {"model_size": 1000 * float(parameters["a"]), "working_memory": 1}


def line_screen(**limits: float) -> Screen:
    """Four numbers, of which the first costs memory."""
    problem = Problem(LINE, costs=costs, objective=lambda candidate: {"error": 0.5})
    return Screen(problem, from_keywords(**limits))


def population(errors: list[float]) -> Study:
    """A study of one trial for each error, at different points."""
    study = Study(("error",), reference={"error": 1.0})
    for number, error in enumerate(errors):
        parameters = {name: (number + 1) / 100 for name in LINE}
        study.add(Trial(Candidate(number, parameters, 1, "sobol"), "complete", {"error": error}))
    return study


def relatives(candidate: Candidate, study: Study) -> list[int]:
    """Trials from which a candidate differs in one parameter at most."""
    return [
        trial.number
        for trial in study.trials
        if sum(trial.candidate.parameters[name] != candidate.parameters[name] for name in LINE) <= 1
    ]


def test_population_is_filled_at_random() -> None:
    screen, study = line_screen(), population([0.5] * 19)
    assert Evolution(screen, 1, 3).ask(study, 1)[0].parameters == Random(screen, 1, 3).ask(study, 1)[0].parameters


def test_child_is_one_mutation_of_a_trial() -> None:
    study = population([0.5] * 20)
    for candidate in Evolution(line_screen(), 1, 0).ask(study, 10):
        assert len(relatives(candidate, study)) == 1
        assert candidate.parent is None


def test_old_trials_are_forgotten_however_good() -> None:
    """Of 30 trials the first 10 are perfect, yet all children are of the last 20."""
    study = population([0.0] * 10 + [0.5] * 20)
    parents = {relatives(candidate, study)[0] for candidate in Evolution(line_screen(), 1, 0).ask(study, 20)}
    assert min(parents) >= 10
    assert len(parents) > 5


def test_better_trials_have_more_children() -> None:
    """The best of five drawn from twenty is among the best ten with a probability of 31 in 32."""
    study = population([0.01 * number for number in range(20)])
    parents = [relatives(candidate, study)[0] for candidate in Evolution(line_screen(), 1, 0).ask(study, 64)]
    assert sum(parent < 10 for parent in parents) >= 58


def test_each_end_of_the_front_has_children() -> None:
    """Ten trials are good in one objective, ten in the other; weights decide who wins."""
    study = Study(("error", "model_size"), reference={"error": 1.0, "model_size": 1000.0})
    for number in range(20):
        score = {"error": 0.1, "model_size": 900.0} if number < 10 else {"error": 0.9, "model_size": 100.0}
        parameters = {name: (number + 1) / 100 for name in LINE}
        study.add(Trial(Candidate(number, parameters, 1, "sobol"), "complete", score))
    parents = [relatives(candidate, study)[0] for candidate in Evolution(line_screen(), 1, 0).ask(study, 40)]
    assert 10 <= sum(parent < 10 for parent in parents) <= 30


def test_failed_trials_do_not_count() -> None:
    screen, study = line_screen(), population([0.5] * 19)
    study.add(Trial(Candidate(19, {name: 0.9 for name in LINE}, 1, "sobol"), "failed"))
    assert Evolution(screen, 1, 3).ask(study, 1)[0].parameters == Random(screen, 1, 3).ask(study, 1)[0].parameters


def test_children_of_morphisms_inherit_from_the_front_alone(
    study: Study, screen: Screen, problem: Problem, grow: Grow
) -> None:
    grow(study, Sobol(screen, 5, 0), 25)
    front = {trial.number for trial in study.pareto_front()}
    asked = Evolution(screen, 5, 0).ask(study, 60)
    parents = {candidate.parent for candidate in asked} - {None}
    assert parents
    assert parents <= front
    plain = Screen(replace(problem, morphisms=()), from_keywords(model_size=1000, working_memory=200))
    assert {candidate.parent for candidate in Evolution(plain, 5, 0).ask(study, 20)} == {None}


def test_study_of_any_size_passes_the_shipped_check(
    study: Study, new_screen: Callable[[], Screen], grow: Grow, reloaded: Reload
) -> None:
    lasting = Evolution(new_screen(), 5, 2)
    for _ in range(3):
        assert check_sampler(lambda: Evolution(new_screen(), 5, 2), study, new_screen()) == []
        assert Evolution(new_screen(), 5, 2).ask(reloaded(study), 2) == lasting.ask(study, 2)
        grow(study, lasting, 15)


@pytest.mark.parametrize("limit", [5, 0.5])
def test_tiny_share_that_fits_is_kept_to(limit: float) -> None:
    study = population([0.5] * 20)
    screen = line_screen(model_size=limit)
    asked = Evolution(screen, 1, 0).ask(study, 3)
    assert [candidate for candidate in asked if screen.misfit(candidate.parameters)] == []
    assert len(asked) == 3


def test_evolution_beats_random_search(study: Study, new_screen: Callable[[], Screen], grow: Grow) -> None:
    """Means over four seeds of 60 trials; they differ by 0.04, with standard deviations of 0.002 and 0.02."""
    means = []
    for kind in (Evolution, Random):
        volumes = [grow(study.copy(), kind(new_screen(), 5, seed), 60).hypervolume() for seed in range(4)]
        means.append(np.mean(volumes))
    assert means[0] > means[1] + 0.01
