from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.problem import Problem
from sparsemod.samplers import Sampler, Sobol
from sparsemod.samplers.acquisition import Acquisition, greedily
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Study, Trial

Grow = Callable[[Study, Sampler, int], Study]
Acquire = Callable[[Study], Acquisition]


@pytest.fixture
def sobol(problem: Problem, screen: Screen) -> Sobol:
    return Sobol(screen, 5, 0)


@pytest.fixture
def acquire(problem: Problem, screen: Screen) -> Acquire:
    return lambda study: Acquisition(study, Surrogate(screen), screen)


def test_gain_ranks_candidates_as_the_hypervolume_that_they_will_add(
    problem: Problem, study: Study, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    grow(study, sobol, 50)
    pool = sobol.ask(study, 100)
    expected = []
    for candidate in pool:
        assert problem.objective is not None
        grown = study.copy()
        grown.add(Trial(candidate, "complete", problem.objective(candidate)))
        expected.append(grown.hypervolume() - study.hypervolume())
    gain = acquire(study).gain(pool)
    assert gain.shape == (100,)
    assert (gain >= 0).all()
    assert np.corrcoef(gain, expected)[0, 1] > 0.8


def test_best_has_the_largest_gain(study: Study, sobol: Sobol, acquire: Acquire, grow: Grow) -> None:
    grow(study, sobol, 12)
    pool, acquisition = sobol.ask(study, 50), acquire(study)
    gain = acquisition.gain(pool)
    assert acquisition.best(pool, gain) is pool[int(np.argmax(gain))]


def test_best_has_the_smallest_predicted_error_where_nothing_is_to_be_gained(
    problem: Problem, study: Study, sobol: Sobol, screen: Screen, acquire: Acquire, grow: Grow
) -> None:
    grow(study, sobol, 12)
    study.reference.update(model_size=1e-3)  # every candidate costs more than counts
    pool, acquisition = sobol.ask(study, 50), acquire(study)
    gain = acquisition.gain(pool)
    assert (gain == 0).all()
    mean, _ = Surrogate(screen).fit(study, "error")(pool)
    assert acquisition.best(pool, gain) is pool[int(np.argmin(mean))]


def test_empty_pool_has_no_best(study: Study, sobol: Sobol, acquire: Acquire, grow: Grow) -> None:
    acquisition = acquire(grow(study, sobol, 3))
    gain = acquisition.gain([])
    assert gain.shape == (0,)
    assert acquisition.best([], gain) is None


def test_pending_candidate_leaves_less_to_gain_beside_it(
    study: Study, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    grow(study, sobol, 12)
    pool = sobol.ask(study, 50)
    before = acquire(study).gain(pool)
    best = int(np.argmax(before))
    study.propose(pool[best])
    after = acquire(study).gain(pool)
    assert after[best] < 0.6 * before[best]
    assert (after <= before + 1e-12).all()


def test_pending_candidate_whose_builder_raises_is_left_out(
    problem: Problem, study: Study, sobol: Sobol, grow: Grow
) -> None:
    def sometimes(parameters: Parameters) -> Mapping[str, float]:
        assert problem.costs is not None
        return problem.costs(parameters) if parameters["rate"] != 1e-4 else {"model_size": 1 / 0}

    screen = Screen(replace(problem, costs=sometimes), Config())
    grow(study, sobol, 12)
    pool = sobol.ask(study, 50)
    before = Acquisition(study, Surrogate(screen), screen).gain(pool)
    study.propose(replace(pool[0], parameters={**pool[0].parameters, "rate": 1e-4}))
    after = Acquisition(study, Surrogate(screen), screen).gain(pool)
    assert np.array_equal(before, after)


def test_front_counts_with_the_believed_error_not_with_a_lucky_one(
    problem: Problem, study: Study, screen: Screen, acquire: Acquire
) -> None:
    """Thirty repetitions of one network that measure from 0.3 to 0.5 make a front near 0.4, not at 0.3."""
    parameters = {"depth": 1, "width_1": 10, "kind": "gated", "rate": 3e-3}
    costs = screen.costs(parameters)
    for number, error in enumerate(np.linspace(0.3, 0.5, 30)):
        study.add(Trial(Candidate(number, parameters, 5, "sobol"), "complete", {"error": error, **costs}))
    again = [Candidate(30, parameters, 5, "bayes")]
    mean, deviation = Surrogate(screen).fit(study, "error")(again)
    scaled = np.array([[costs[name] / study.reference[name] for name in study.objectives[1:]]])
    measured = study.values(study.trials) / [study.reference[name] for name in study.objectives]
    beyond_luck = ExpectedImprovement(measured, error=0)(mean - np.log(study.reference["error"]), deviation, scaled)
    assert acquire(study).gain(again) > 100 * beyond_luck
    assert acquire(study).gain(again) > 1e-3


def test_trial_over_a_limit_is_no_part_of_the_front(study: Study, sobol: Sobol, acquire: Acquire, grow: Grow) -> None:
    grow(study, sobol, 12)
    pool = sobol.ask(study, 50)
    all_count = acquire(study).gain(pool)
    study.limits["working_memory"] = 1.0  # now none does
    none_counts = acquire(study).gain(pool)
    assert (none_counts >= all_count).all()
    assert none_counts.sum() > 2 * all_count.sum()


def test_study_may_have_the_error_alone_as_objective(
    problem: Problem, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    alone = grow(Study(("error",), screen.limits, {"error": 1.0}), sobol, 12)
    pool, acquisition = sobol.ask(alone, 50), acquire(alone)
    best = acquisition.best(pool, acquisition.gain(pool))
    assert best is not None
    assert problem.objective is not None
    errors = [problem.objective(candidate)["error"] for candidate in pool]
    assert problem.objective(best)["error"] < np.median(errors)


@pytest.mark.parametrize(
    ("objectives", "unknown"),
    [(("error", "energy", "model_size"), "error, energy"), (("model_size", "working_memory"), "none")],
)
def test_exactly_one_objective_must_be_unknown(
    sobol: Sobol, acquire: Acquire, objectives: tuple[str, ...], unknown: str
) -> None:
    study = Study(objectives, {}, dict.fromkeys(objectives, 1.0))
    [candidate] = sobol.ask(study, 1)
    study.add(Trial(candidate, "complete", dict.fromkeys(objectives, 0.5)))
    with pytest.raises(InputError) as caught:
        acquire(study)
    assert str(caught.value) == (
        "the Gaussian-process and morphism stages model exactly one objective; unknown before training: "
        f"{unknown}. Let the problem's `costs` give all objectives but one"
    )


def test_problem_without_costs_may_have_one_objective(problem: Problem) -> None:
    bare = replace(problem, costs=None)
    screen = Screen(bare, Config())
    study = Study(("error",), {}, {"error": 1.0})
    for candidate in Sobol(screen, 5, 0).ask(study, 4):
        study.add(Trial(candidate, "complete", {"error": 0.1 * (candidate.number + 1)}))
    pool = Sobol(screen, 5, 1).ask(study, 5)
    acquisition = Acquisition(study, Surrogate(screen), screen)
    assert acquisition.best(pool, acquisition.gain(pool)) in pool


# --- greedily --------------------------------------------------------------------------------------------------------


def test_each_proposal_is_pending_for_the_next(study: Study) -> None:
    def propose(ahead: Study) -> Candidate:
        return Candidate(ahead.next_number, {"pending": len(ahead.pending)}, 1, "test")

    asked = greedily(study, 3, propose)
    assert [(candidate.number, candidate.parameters["pending"]) for candidate in asked] == [(0, 0), (1, 1), (2, 2)]
    assert (study.pending, study.candidates) == ([], [])


def test_proposals_end_where_there_are_no_more(study: Study) -> None:
    def propose(ahead: Study) -> Candidate | None:
        return Candidate(ahead.next_number, {}, 1, "test") if ahead.next_number < 2 else None

    assert len(greedily(study, 5, propose)) == 2
    assert greedily(study, 0, propose) == []
