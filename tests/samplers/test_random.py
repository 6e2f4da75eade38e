from collections.abc import Callable, Mapping

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers import Random, Sampler, Sobol
from sparsemod.space import Int, Parameters, SearchSpace
from sparsemod.study import Study
from sparsemod.testing import check_sampler

Grow = Callable[[Study, Sampler, int], Study]


def screen(high: int, **limits: float) -> Screen:
    def costs(parameters: Parameters) -> Mapping[str, float]:
        return {"model_size": int(parameters["n"]), "working_memory": 1}

    problem = Problem(SearchSpace({"n": Int(1, high)}), costs=costs, objective=lambda candidate: {"error": 0.5})
    return Screen(problem, from_keywords(**limits))


def test_members_are_uniform() -> None:
    """Of 400 of 100,000 numbers, about 100 fall in each quarter, with a standard deviation of 9."""
    asked = Random(screen(100_000, model_size=200_000), 1, 0).ask(Study(("error",)), 400)
    quarters = [sum(candidate.parameters["n"] > at for candidate in asked) for at in (25_000, 50_000, 75_000)]
    assert all(abs(count - expected) < 36 for count, expected in zip(quarters, (300, 200, 100), strict=True))


def test_trials_make_no_difference(screen: Screen, study: Study, grow: Grow) -> None:
    grown = grow(study.copy(), Sobol(screen, 5, 0), 6)
    blank = study.copy()
    for trial in grown.trials:
        blank.propose(trial.candidate)
    assert Random(screen, 5, 1).ask(grown, 3) == Random(screen, 5, 1).ask(blank, 3)


def test_seeds_differ(screen: Screen, study: Study) -> None:
    assert Random(screen, 5, 0).ask(study, 3) != Random(screen, 5, 1).ask(study, 3)


def test_empty_study_passes_the_shipped_check(screen: Screen, study: Study) -> None:
    assert check_sampler(lambda: Random(screen, 5, 0), study, screen, n=20) == []


def test_rare_fits_are_all_found_and_then_nothing() -> None:
    narrow = screen(10_000, model_size=3)
    asked = Random(narrow, 1, 0).ask(Study(("error",)), 9)
    assert sorted(int(candidate.parameters["n"]) for candidate in asked) == [1, 2, 3]
