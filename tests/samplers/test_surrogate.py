import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers import Sampler, Sobol
from sparsemod.samplers.surrogate import Surrogate, learned
from sparsemod.space import Float, SearchSpace
from sparsemod.study import Candidate, Study, Trial

Grow = Callable[[Study, Sampler, int], Study]


@pytest.fixture
def surrogate(problem: Problem, screen: Screen) -> Surrogate:
    return Surrogate(screen)


@pytest.fixture
def sobol(problem: Problem, screen: Screen) -> Sobol:
    return Sobol(screen, 5, 0)


def truth(problem: Problem, candidates: list[Candidate]) -> np.ndarray:
    assert problem.objective is not None
    return np.log([problem.objective(candidate)["error"] for candidate in candidates])


def with_errors(study: Study, sobol: Sobol, *errors: float) -> Study:
    """A study of the first candidates of the sequence with these errors."""
    for candidate, error in zip(sobol.ask(study, len(errors)), errors, strict=True):
        study.add(Trial(candidate, "complete", {"error": error}))
    return study


# --- predictions -----------------------------------------------------------------------------------------------------


def test_prediction_is_close_to_the_truth_on_a_smooth_function(
    problem: Problem, study: Study, sobol: Sobol, surrogate: Surrogate, grow: Grow
) -> None:
    grow(study, sobol, 60)
    unseen = sobol.ask(study, 200)
    mean, deviation = surrogate.fit(study, "error")(unseen)
    residual, expected = mean - truth(problem, unseen), truth(problem, unseen)
    assert np.abs(residual).mean() < 0.1 * (expected.max() - expected.min())
    assert np.corrcoef(mean, expected)[0, 1] > 0.9
    assert (np.abs(residual) < 3 * deviation).mean() > 0.9


def test_prediction_is_surer_at_what_was_seen(study: Study, sobol: Sobol, surrogate: Surrogate, grow: Grow) -> None:
    grow(study, sobol, 20)
    predict = surrogate.fit(study, "error")
    _, seen = predict(study.candidates)
    _, unseen = predict(sobol.ask(study, 20))
    assert np.median(seen) < np.median(unseen)


def test_figure_without_noise_is_known_where_it_was_seen() -> None:
    space = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    study = Study(("heat",), {}, {"heat": 3.0})
    for number, (x, y) in enumerate(itertools.product(np.linspace(0, 1, 7), repeat=2)):
        heat = 2 + np.sin(2 * x) * np.cos(3 * y)
        study.add(Trial(Candidate(number, {"x": x, "y": y}, 1, "sobol"), "complete", {"heat": heat}))
    screen = Screen(Problem(space, objective=lambda candidate: {}), Config())
    mean, deviation = Surrogate(screen).fit(study, "heat")(study.candidates)
    values = study.values(study.trials)[:, 0]
    assert np.abs(mean - values).max() < 1e-3 * values.std()
    assert deviation.max() < 3e-3 * values.std()


def test_one_trial_is_enough(study: Study, sobol: Sobol, surrogate: Surrogate) -> None:
    with_errors(study, sobol, 0.25)
    mean, deviation = surrogate.fit(study, "error")(sobol.ask(study, 3))
    assert mean == pytest.approx(3 * [math.log(0.25)])
    assert (deviation > 0.1).all()


@pytest.mark.parametrize("count", [2, 3, 5, 7, 10, 12])
def test_equal_errors_leave_doubt(study: Study, sobol: Sobol, surrogate: Surrogate, count: int) -> None:
    with_errors(study, sobol, *[0.9] * count)
    mean, deviation = surrogate.fit(study, "error")(sobol.ask(study, 3))
    assert mean == pytest.approx(3 * [math.log(0.9)])
    assert (deviation > 1e-3).all()


def test_error_of_zero_counts_as_a_small_one(study: Study, sobol: Sobol, surrogate: Surrogate) -> None:
    with_errors(study, sobol, 0.0, 0.0, 0.0)
    mean, _ = surrogate.fit(study, "error")(study.candidates)
    assert mean == pytest.approx(3 * [math.log(1e-4)])


def test_trials_without_a_score_are_left_out(
    study: Study, sobol: Sobol, surrogate: Surrogate, screen: Screen, problem: Problem, grow: Grow
) -> None:
    grow(study, sobol, 6)
    unseen = sobol.ask(study, 5)
    before = surrogate.fit(study, "error")(unseen)
    study.add(Trial(unseen[0], "failed", reason="out of memory"))
    study.propose(unseen[1])
    after = Surrogate(screen).fit(study, "error")(unseen)
    assert np.array_equal(before, after)


@pytest.mark.parametrize("size", [9, 10, 11, 20])
def test_prediction_follows_from_the_study_alone(
    study: Study, sobol: Sobol, problem: Problem, screen: Screen, surrogate: Surrogate, grow: Grow, size: int
) -> None:
    """A surrogate that has seen every state on the way predicts what a fresh one does."""
    unseen = sobol.ask(study, 40)[-5:]
    for _ in range(size):
        grow(study, sobol, 1)
        lasting = surrogate.fit(study, "error")
    assert np.array_equal(lasting(unseen), Surrogate(screen).fit(study, "error")(unseen))


def test_hyperparameters_are_fitted_whenever_there_are_a_tenth_more_trials(
    study: Study, sobol: Sobol, surrogate: Surrogate, grow: Grow, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botorch.optim.fit

    fitted: list[int] = []
    fit = botorch.optim.fit.fit_gpytorch_mll_scipy

    def counting(likelihood: object, **options: object) -> object:
        fitted.append(len(study.trials))
        return fit(likelihood, **options)

    monkeypatch.setattr(botorch.optim.fit, "fit_gpytorch_mll_scipy", counting)
    for _ in range(25):
        surrogate.fit(grow(study, sobol, 1), "error")
        surrogate.fit(study, "error")
    assert fitted == [*range(3, 21), 22, 24]


# --- inputs of the model ---------------------------------------------------------------------------------------------


def test_row_is_the_encoded_parameters_the_costs_and_the_epochs(
    study: Study, problem: Problem, surrogate: Surrogate
) -> None:
    parameters = {"depth": 1, "width_1": 8, "kind": "gated", "rate": 1e-2}  # 80 of 1000 bytes, 40 of 200 bytes
    rows = surrogate.rows(study, [Candidate(0, parameters, 5, "test")])
    assert rows.shape == (1, problem.space.width + 4)
    expected = [*problem.space.encode(parameters), math.log(0.08) / 5, math.log(0.2) / 5, math.log(5) / 5, 0]
    assert rows[0] == pytest.approx(expected)


def test_epochs_of_all_ancestors_and_the_error_of_the_parent_count(study: Study, surrogate: Surrogate) -> None:
    parameters = {"depth": 1, "width_1": 8, "kind": "gated", "rate": 1e-2}
    study.add(Trial(Candidate(0, parameters, 2, "sobol"), "complete", {"error": 0.3}))
    study.add(Trial(Candidate(1, parameters, 5, "morph", parent=0), "complete", {"error": 0.2}))
    child = Candidate(2, parameters, 10, "morph", parent=1)
    history = surrogate.rows(study, [*study.candidates, child])[:, -2:]
    assert history[:, 0] == pytest.approx([math.log(2) / 5, math.log(7) / 5, math.log(17) / 5])
    assert history[:, 1] == pytest.approx([0, math.log(0.3) / 5, math.log(0.2) / 5])


def test_cost_of_zero_has_a_logarithm_too(study: Study, problem: Problem) -> None:
    free = replace(problem, costs=lambda parameters: {"model_size": 0.0})
    candidate = Candidate(0, {"depth": 1, "width_1": 8, "kind": "gated", "rate": 1e-2}, 5, "test")
    assert np.isfinite(Surrogate(Screen(free, Config())).rows(study, [candidate])).all()


# --- epochs ----------------------------------------------------------------------------------------------------------


def test_networks_that_were_trained_little_are_not_believed_bad(
    study: Study, sobol: Sobol, screen: Screen, surrogate: Surrogate
) -> None:
    """Errors fall with the square root of the epochs; after 1 and 20 epochs of half the networks each, what one of the
    first half would have after 20 is known."""
    parameters = [candidate.parameters for candidate in sobol.ask(study, 40)]
    for number, each in enumerate(parameters):
        epochs = 1 if number < 20 else 20
        size = screen.costs(each)["model_size"]
        error = 0.9 * (1 + size / 100) ** -0.3 * epochs**-0.5
        study.add(Trial(Candidate(number, each, epochs, "sobol"), "complete", {"error": error, **screen.costs(each)}))
    again = [Candidate(40 + number, each, 20, "bayes") for number, each in enumerate(parameters[:20])]
    mean, _ = surrogate.fit(study, "error")(again)
    measured = np.array([study[number].score["error"] for number in range(20)])
    assert np.exp(mean) == pytest.approx(measured / 20**0.5, rel=0.15)


# --- other figures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "logarithmic"),
    [
        ([1.0, 10.0, 100.0, 1000.0, 10000.0], True),  # skewness 0 as logarithms
        ([1, 10, 100, 1000, 10000], True),
        ([1.0, 2.0, 3.0, 4.0, 5.0], False),  # skewness 0 as they are
        ([1.0, 1.5, 2.25, 3.375, 5.0625], False),  # skewness 0 as logarithms, but within a power of ten
        ([-1.0, 10.0, 100.0, 1000.0, 10000.0], False),
        ([3.0, 3.0, 3.0], False),
    ],
)
def test_figure_is_modelled_by_its_logarithm_where_that_is_spread_more_evenly(
    study: Study, sobol: Sobol, surrogate: Surrogate, figures: list[float], logarithmic: bool
) -> None:
    for candidate, figure in zip(sobol.ask(study, len(figures)), figures, strict=True):
        study.add(Trial(candidate, "complete", {"error": 0.5, "heat": figure}))
    predict = surrogate.fit(study, "heat")
    assert predict.logarithmic == logarithmic
    mean, _ = predict(study.candidates)
    assert mean.min() >= (math.log(min(figures)) if logarithmic else min(figures)) - 1


def test_believing_keeps_the_means_and_lessens_the_doubt(
    study: Study, sobol: Sobol, surrogate: Surrogate, grow: Grow
) -> None:
    unseen = sobol.ask(grow(study, sobol, 12), 20)
    predict = surrogate.fit(study, "error")
    believing = predict.believing(surrogate.rows(study, unseen[:5]))
    before, after = predict(unseen), believing(unseen)
    assert after[0] == pytest.approx(before[0], abs=1e-3)
    assert (after[1] <= before[1] + 1e-9).all()
    assert (after[1][:5] < 0.9 * before[1][:5]).all()


def test_outlook_believes_one_by_one_what_a_predictor_believes_together(
    study: Study, sobol: Sobol, surrogate: Surrogate, grow: Grow
) -> None:
    unseen = sobol.ask(grow(study, sobol, 12), 20)
    predict = surrogate.fit(study, "error")
    outlook = predict.outlook(surrogate.rows(study, unseen))
    assert np.array_equal([outlook.mean, outlook.deviation], predict(unseen))
    for place in (3, 7, 11):
        outlook.believe(place)
    mean, deviation = predict.believing(surrogate.rows(study, [unseen[place] for place in (3, 7, 11)]))(unseen)
    assert outlook.mean == pytest.approx(mean, rel=1e-9)
    assert outlook.deviation == pytest.approx(deviation, rel=1e-6)


# --- a large study ---------------------------------------------------------------------------------------------------


def test_from_four_hundred_trials_on_hyperparameters_are_fitted_ever_more_rarely_on_as_many(
    study: Study, sobol: Sobol, surrogate: Surrogate, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botorch.optim.fit

    fitted: list[tuple[int, int]] = []
    monkeypatch.setattr(
        botorch.optim.fit,
        "fit_gpytorch_mll_scipy",
        lambda likelihood, **options: fitted.append((len(study), len(likelihood.model.train_targets))),
    )
    with_errors(study, sobol, *np.linspace(0.2, 0.8, 380))
    while len(study) < 910:
        surrogate.fit(with_errors(study, sobol, *np.linspace(0.2, 0.8, 10)), "error")
    assert fitted == [(390, 377), (420, 400), (630, 400)]


def test_large_study_teaches_its_front_its_latest_trials_and_as_many_spread_over_those_before(
    study: Study, sobol: Sobol
) -> None:
    """Of 1 002 trials that are not failed, 500 of the first 502: all but 250 and 501, which is the front."""
    for candidate in sobol.ask(study, 1_002):
        score = {"error": 0.1 if candidate.number == 501 else 0.5, "model_size": 10.0, "working_memory": 5.0}
        study.add(Trial(candidate, "complete", score))
        study.add(Trial(replace(candidate, number=candidate.number + 10_000), "failed"))
        if len(study) == 2 * 1_000:
            assert [trial.number for trial in learned(study)] == list(range(1_000))
    assert [trial.number for trial in learned(study)] == [number for number in range(1_002) if number != 250]
