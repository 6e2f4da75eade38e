import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers import Sampler, Sobol
from sparsemod.samplers.acquisition import Acquisition
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.samplers.pool import Pool
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import Float, Parameters, SearchSpace
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


def filled(study: Study, screen: Screen, sobol: Sobol, n: int) -> Pool:
    """A pool of the next candidates of the sequence."""
    pool = Pool(study, screen, 5, "test")
    pool.add("of the Sobol sequence", [candidate.parameters for candidate in sobol.ask(study, n)])
    return pool


def test_first_choice_has_the_largest_gain(
    study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    pool, acquisition = filled(grow(study, sobol, 12), screen, sobol, 50), acquire(study)
    gain = acquisition.gain(pool.candidates)
    assert acquisition.choose(pool, gain, 1) == [pool.candidates[int(np.argmax(gain))]]


def test_every_choice_has_the_largest_gain_once_those_before_are_pending(
    study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    pool, acquisition = filled(grow(study, sobol, 12), screen, sobol, 50), acquire(study)
    chosen = acquisition.choose(pool, acquisition.gain(pool.candidates), 6)
    assert [candidate.number for candidate in chosen] == [12, 13, 14, 15, 16, 17]
    left = list(pool.candidates)
    for candidate in chosen:
        best = left.pop(int(np.argmax(acquire(study).gain(left))))
        assert candidate.parameters == best.parameters
        study.propose(candidate)


def test_where_nothing_is_to_be_gained_the_nearest_to_what_counts_is_chosen(
    study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    grow(study, sobol, 12)
    study.reference.update(model_size=1e-3)  # every candidate costs more than counts
    pool, acquisition = filled(study, screen, sobol, 50), acquire(study)
    gain = acquisition.gain(pool.candidates)
    assert (gain == 0).all()
    [chosen] = acquisition.choose(pool, gain, 1)
    sizes = [screen.costs(candidate.parameters)["model_size"] for candidate in pool.candidates]
    assert screen.costs(chosen.parameters)["model_size"] == min(sizes)


def test_all_of_a_pool_are_chosen_if_asked_for(
    study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    pool, acquisition = filled(grow(study, sobol, 3), screen, sobol, 5), acquire(study)
    chosen = acquisition.choose(pool, acquisition.gain(pool.candidates), 9)
    assert sorted(map(repr, (each.parameters for each in chosen))) == sorted(
        map(repr, (each.parameters for each in pool.candidates))
    )


def test_empty_pool_has_no_best(study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow) -> None:
    acquisition = acquire(grow(study, sobol, 3))
    gain = acquisition.gain([])
    assert gain.shape == (0,)
    assert acquisition.choose(Pool(study, screen, 5, "test"), gain, 2) == []


def test_debug_log_explains_the_choice(
    study: Study, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow, caplog: pytest.LogCaptureFixture
) -> None:
    pool, acquisition = filled(grow(study, sobol, 12), screen, sobol, 50), acquire(study)
    with caplog.at_level("DEBUG", "sparsemod"):
        acquisition.choose(pool, acquisition.gain(pool.candidates), 1)
    [line] = caplog.messages
    assert line.startswith("candidate 12: best of 50 (50 of 50 of the Sobol sequence); expected gain 0.")
    assert "predicted error 0." in line
    assert "front" in line


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
    log_error = mean - np.log(study.reference["error"])
    believed = np.insert(scaled, 0, log_error, axis=1), np.array([[*deviation, 0, 0]])
    beyond_luck = ExpectedImprovement(measured, (True, False, False))(*believed)
    assert acquire(study).gain(again) > 100 * beyond_luck
    assert acquire(study).gain(again) > 1e-3


def test_candidate_that_the_model_is_sure_is_worse_keeps_a_small_gain(
    problem: Problem, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    """A normal tail would leave it none, and what the model is wrong about would stay unseen."""
    alone = grow(Study(("error",), screen.limits, {"error": 1.0}), sobol, 30)
    pool, surrogate = sobol.ask(alone, 100), Surrogate(screen).fit(alone, "error")
    front = np.exp(surrogate([trial.candidate for trial in alone.trials])[0].min())
    mean, deviation = surrogate(pool)
    worse = (mean - np.log(front)) / deviation
    normal = ExpectedImprovement(np.array([[front]]), (True,))(mean[:, None], deviation[:, None])
    gain = acquire(alone).gain(pool)
    hopeless, promising = (worse > 5) & (worse < 8), worse < 0
    assert hopeless.any() and promising.any()
    assert (gain[hopeless] > 100 * normal[hopeless]).all()
    assert (gain[hopeless] < 0.01 * gain.max()).all()
    assert (np.abs(gain[promising] / normal[promising] - 1) < 0.15).all()


def test_trial_over_a_limit_is_no_part_of_the_front(study: Study, sobol: Sobol, acquire: Acquire, grow: Grow) -> None:
    grow(study, sobol, 12)
    pool = sobol.ask(study, 50)
    all_count = acquire(study).gain(pool)
    study.limits["working_memory"] = 1.0  # now none does
    none_counts = acquire(study).gain(pool)
    assert (none_counts >= all_count).all()
    assert none_counts.sum() > 2 * all_count.sum()


def test_region_that_the_model_is_sure_is_over_a_learned_limit_keeps_a_small_share_of_its_gain() -> None:
    """A normal tail would leave it nothing, and what lies behind would never be seen."""
    space = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    screen = Screen(Problem(space, objective=lambda candidate: {}), Config())
    free, limited = Study(("error",), {}, {"error": 1.0}), Study(("error",), {"heat": 0.5}, {"error": 1.0})
    cool, hot = itertools.product((0.0, 0.2, 0.4, 0.6), (0.0, 0.2, 0.4)), itertools.product((0.0, 0.1), (0.6, 0.8, 1.0))
    for number, (x, y) in enumerate((*cool, *hot)):
        trial = Trial(Candidate(number, {"x": x, "y": y}, 5, "sobol"), "complete", {"error": 0.9 - 0.8 * x, "heat": y})
        free.add(trial)
        limited.add(trial)
    pool = [Candidate(18, {"x": 0.65, "y": y}, 5, "test") for y in (0.1, 0.95)]
    mean, deviation = Surrogate(screen).fit(limited, "heat")(pool)
    assert (mean[1] - 0.5) / deviation[1] > 10
    gain, at_most = (Acquisition(study, Surrogate(screen), screen).gain(pool) for study in (limited, free))
    within, beyond = gain / at_most
    assert 0.9 < within < 1
    assert 1e-3 < beyond < 0.05


def test_study_may_have_the_error_alone_as_objective(
    problem: Problem, screen: Screen, sobol: Sobol, acquire: Acquire, grow: Grow
) -> None:
    alone = grow(Study(("error",), screen.limits, {"error": 1.0}), sobol, 12)
    pool, acquisition = filled(alone, screen, sobol, 50), acquire(alone)
    [best] = acquisition.choose(pool, acquisition.gain(pool.candidates), 1)
    assert problem.objective is not None
    errors = [problem.objective(candidate)["error"] for candidate in pool.candidates]
    assert problem.objective(best)["error"] < np.median(errors)


def test_problem_without_costs_may_have_one_objective(problem: Problem) -> None:
    bare = replace(problem, costs=None)
    screen = Screen(bare, Config())
    study = Study(("error",), {}, {"error": 1.0})
    for candidate in Sobol(screen, 5, 0).ask(study, 4):
        study.add(Trial(candidate, "complete", {"error": 0.1 * (candidate.number + 1)}))
    pool, acquisition = filled(study, screen, Sobol(screen, 5, 1), 5), Acquisition(study, Surrogate(screen), screen)
    [chosen] = acquisition.choose(pool, acquisition.gain(pool.candidates), 1)
    assert chosen in pool.candidates
