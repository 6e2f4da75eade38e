"""Which draft is proposed, and what is where none may be."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers.fitting import Draft, Drafts, Fitting
from sparsemod.space import Int, Parameters, SearchSpace
from sparsemod.study import Candidate, Study, Trial

NUMBERS = SearchSpace({"n": Int(1, 64)})


def costs(parameters: Parameters) -> Mapping[str, float]:
    return {"model_size": int(parameters["n"]), "working_memory": 1}


def fitting(tries: int = 5, costs: Callable[[Parameters], Mapping[str, float]] = costs, **limits: float) -> Fitting:
    problem = Problem(NUMBERS, costs=costs, objective=lambda candidate: {"error": 0.5})
    return Fitting(Screen(problem, from_keywords(**limits)), 3, 7, "mine", tries)


def counting(first: int, parent: int | None = None) -> Drafts:
    """One draft for each number from `first` on."""

    def drafts(study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        for n in range(first, 65):
            yield {"n": n}, parent

    return drafts


def test_first_new_draft_is_proposed() -> None:
    study = Study(("error",))
    study.add(Trial(Candidate(0, {"n": 10}, 1, "sobol"), "failed"))
    study.propose(Candidate(1, {"n": 11}, 1, "sobol"))
    assert fitting().ask(study, 2, counting(10, parent=0)) == [
        Candidate(2, {"n": 12}, 3, "mine", 0),
        Candidate(3, {"n": 13}, 3, "mine", 0),
    ]


def falling(study: Study, rng: np.random.Generator) -> Iterator[Draft]:
    for n in range(64, 0, -1):
        yield {"n": n}, None


def test_drafts_over_a_limit_are_passed_by() -> None:
    [candidate] = fitting(tries=5, model_size=62).ask(Study(("error",)), 1, falling)
    assert candidate.parameters == {"n": 62}


@pytest.mark.parametrize("tries", [0, 5])
def test_feasible_sobol_point_stands_in_once_the_tries_are_spent(tries: int) -> None:
    [candidate] = fitting(tries, model_size=4).ask(Study(("error",)), 1, falling)
    assert candidate.parameters["n"] in range(1, 5)
    assert (candidate.number, candidate.epochs, candidate.origin) == (0, 3, "mine")


def test_drafts_may_end() -> None:
    assert fitting().ask(Study(("error",)), 1, counting(65))[0].origin == "mine"


def test_nothing_is_proposed_where_nothing_new_fits() -> None:
    asked = fitting(model_size=4).ask(Study(("error",)), 9, counting(1))
    assert sorted(int(candidate.parameters["n"]) for candidate in asked) == [1, 2, 3, 4]


def test_draft_whose_builder_raises_is_proposed_to_fail_in_its_own_trial() -> None:
    def broken(parameters: Parameters) -> Mapping[str, float]:
        return {"model_size": 1 / 0}

    assert fitting(costs=broken).ask(Study(("error",)), 1, counting(9))[0].parameters == {"n": 9}


def test_randomness_follows_from_seed_and_number() -> None:
    def random(study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        yield {"n": int(rng.integers(1, 65))}, None

    study = Study(("error",))
    first, second = (candidate.parameters for candidate in fitting().ask(study, 2, random))
    assert [candidate.parameters for candidate in fitting().ask(study, 1, random)] == [first]
    study.propose(Candidate(0, first, 3, "mine"))
    assert [candidate.parameters for candidate in fitting().ask(study, 1, random)] == [second]
