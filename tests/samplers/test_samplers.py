"""What holds for every sampler."""

import pickle
from collections.abc import Callable

import pytest

from sparsemod.cost.screen import Screen
from sparsemod.samplers import Bayes, Evolution, Morph, Optuna, Random, Sampler, Sobol
from sparsemod.space import identity
from sparsemod.study import Study, Trial
from sparsemod.testing import check_sampler

Make = Callable[[Screen, int], Sampler]
Grow = Callable[[Study, Sampler, int], Study]
Reload = Callable[[Study], Study]

MAKERS: dict[str, Make] = {
    "sobol": lambda screen, seed: Sobol(screen, 5, seed),
    "bayes": lambda screen, seed: Bayes(screen, 5, seed),
    "morph": lambda screen, seed: Morph(screen, 5, seed),
    "random": lambda screen, seed: Random(screen, 5, seed),
    "evolution": lambda screen, seed: Evolution(screen, 5, seed),
    "optuna": lambda screen, seed: Optuna(screen, 5, seed),
}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Make:
    return MAKERS[name]


@pytest.fixture
def begun(study: Study, screen: Screen, grow: Grow) -> Study:
    """Eight trials, of which one failed and one was infeasible, and a pending candidate."""
    sobol = Sobol(screen, 5, 0)
    grow(study, sobol, 8)
    failed, infeasible, pending = sobol.ask(study, 3)
    study.add(Trial(failed, "failed", reason="out of memory"))
    study.add(Trial(infeasible, "infeasible", reason="too deep"))
    study.propose(pending)
    return study


def test_proposals_are_new_members_within_the_limits(name: str, make: Make, begun: Study, screen: Screen) -> None:
    asked = list(make(screen, 0).ask(begun, 4))
    assert [candidate.number for candidate in asked] == [11, 12, 13, 14]
    assert {candidate.origin for candidate in asked} == {name}
    assert {candidate.epochs for candidate in asked} == {5}
    space = screen.problem.space
    for candidate in asked:
        assert space.mistakes(candidate.parameters) == []
        assert candidate.parameters == space.canonical(candidate.parameters)
        assert screen.misfit(candidate.parameters) is None
    identities = {identity(candidate.parameters) for candidate in [*begun.candidates, *asked]}
    assert len(identities) == 15


def test_ask_never_changes_the_study(make: Make, begun: Study, screen: Screen) -> None:
    before = pickle.dumps([begun.trials, begun.pending, begun.candidates, begun.limits, begun.reference])
    make(screen, 0).ask(begun, 3)
    assert pickle.dumps([begun.trials, begun.pending, begun.candidates, begun.limits, begun.reference]) == before


def test_fresh_sampler_on_a_reloaded_study_goes_on_alike(
    make: Make, study: Study, new_screen: Callable[[], Screen], grow: Grow, reloaded: Reload
) -> None:
    """Also around the trials 10 and 20, at which the surrogate is fitted anew."""
    screen = new_screen()
    grow(study, Sobol(screen, 5, 0), 5)
    lasting = make(screen, 0)
    for size in range(5, 23):
        if size in (5, 9, 10, 11, 19, 20, 21):
            assert make(new_screen(), 0).ask(reloaded(study), 1) == lasting.ask(study, 1), size
        grow(study, lasting, 1)


def test_equal_seeds_propose_alike(make: Make, begun: Study, screen: Screen) -> None:
    assert make(screen, 3).ask(begun, 2) == make(screen, 3).ask(begun, 2)


def test_nothing_is_asked_for(make: Make, begun: Study, screen: Screen) -> None:
    assert list(make(screen, 0).ask(begun, 0)) == []


def test_shipped_check_finds_no_fault(make: Make, begun: Study, screen: Screen) -> None:
    assert check_sampler(lambda: make(screen, 0), begun, screen) == []
