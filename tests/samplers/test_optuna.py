import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest

from sparsemod import search
from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import ConfigError, Infeasible, InputError
from sparsemod.problem import Problem
from sparsemod.samplers import Optuna, Random, Sampler, Sobol
from sparsemod.samplers.optuna import gp, nsga2
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace
from sparsemod.study import Candidate, Study, Trial
from sparsemod.testing import check_sampler

Grow = Callable[[Study, Sampler, int], Study]
Reload = Callable[[Study], Study]


@pytest.fixture
def begun(study: Study, screen: Screen, grow: Grow) -> Study:
    """12 trials, of which one failed and one was infeasible, and a pending candidate."""
    sobol = Sobol(screen, 5, 0)
    grow(study, sobol, 10)
    failed, infeasible, pending = sobol.ask(study, 3)
    study.add(Trial(failed, "failed", reason="out of memory"))
    study.add(Trial(infeasible, "infeasible", reason="too deep"))
    study.propose(pending)
    return study


class Recording(optuna.samplers.RandomSampler):
    """Keeps the study that it is asked about."""

    told: "optuna.Study"

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        self.told = study
        return {}


def recorded(screen: Screen, study: Study) -> list[optuna.trial.FrozenTrial]:
    """What Optuna knows at the end of one proposal."""
    sampler = Recording(seed=0)
    Optuna(screen, 5, 0, make=lambda seed: sampler).ask(study, 1)
    return sampler.told.trials


# --- what is told ----------------------------------------------------------------------------------------------------


def test_trials_are_told_with_values_failed_or_pending(begun: Study, screen: Screen) -> None:
    told = recorded(screen, begun)[:13]
    assert [trial.state.name for trial in told] == ["COMPLETE"] * 10 + ["FAIL"] * 2 + ["RUNNING"]
    first = begun.trials[0]
    assert told[0].values == [first.score[name] for name in begun.objectives]
    assert told[0].constraints == {
        "model_size": first.score["model_size"] / 1000 - 1,
        "working_memory": first.score["working_memory"] / 200 - 1,
    }
    assert {name: told[12].params[name] for name in begun.pending[0].parameters} == begun.pending[0].parameters


def test_inactive_parameters_are_told_in_the_middle(study: Study, screen: Screen) -> None:
    study.add(Trial(Candidate(0, {"depth": 1, "width_1": 3, "kind": "wide", "rate": 0.01}, 5, "sobol"), "failed"))
    told = recorded(screen, study)[0]
    assert told.params == {"depth": 1, "width_1": 3, "width_2": 6, "width_3": 6, "kind": "wide", "rate": 0.01}


def test_what_does_not_fit_is_told_as_a_violated_constraint(begun: Study, problem: Problem) -> None:
    narrow = Screen(problem, from_keywords(model_size=30, working_memory=200))
    begun.limits["model_size"] = 30
    refused = [trial for trial in recorded(narrow, begun)[13:] if trial.state.name == "COMPLETE"]
    assert refused
    median = np.median([trial.score["error"] for trial in begun.completed()])
    for trial in refused:
        costs = narrow.costs(narrow.problem.space.canonical(trial.params))
        assert trial.constraints["model_size"] == pytest.approx(costs["model_size"] / 30 - 1)
        assert max(trial.constraints.values()) > 0
        assert trial.values == [median, costs["model_size"], costs["working_memory"]]


def test_generations_follow_the_order_of_the_trials(study: Study, screen: Screen, grow: Grow) -> None:
    """NSGA-II crosses its parents once a generation of 20 is told: most values are then those of some trial.

    Before, few are: networks that do not fit count in the generation of the proposal that they were refused for.
    """

    def inherited(size: int) -> float:
        known = grow(study.copy(), Sobol(screen, 5, 0), size)
        rates = [float(trial.candidate.parameters["rate"]) for trial in known.trials]
        asked = nsga2(screen, 5, 0).ask(known, 20)
        return float(np.mean([np.isclose(float(candidate.parameters["rate"]), rates).any() for candidate in asked]))

    assert inherited(15) < 0.2
    assert inherited(20) > 0.5


# --- what is proposed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Optuna, nsga2])
def test_study_of_any_size_passes_the_shipped_check(
    kind: Callable[[Screen, int, int], Optuna],
    study: Study,
    new_screen: Callable[[], Screen],
    grow: Grow,
    reloaded: Reload,
) -> None:
    lasting = kind(new_screen(), 5, 2)
    for _ in range(3):
        assert check_sampler(lambda: kind(new_screen(), 5, 2), study, new_screen()) == []
        assert kind(new_screen(), 5, 2).ask(reloaded(study), 1) == lasting.ask(study, 1)
        grow(study, lasting, 11)


def test_gaussian_processes_find_the_bottom_of_a_parabola() -> None:
    problem = Problem(SearchSpace({"x": Float(0.0, 1.0)}), objective=lambda candidate: {"error": 0.5})
    screen, study = Screen(problem, from_keywords()), Study(("error",))
    for number in range(11):
        x = number / 10
        study.add(Trial(Candidate(number, {"x": x}, 1, "sobol"), "complete", {"error": (x - 0.37) ** 2}))
    [candidate] = gp(screen, 1, 0).ask(study, 1)
    assert abs(float(candidate.parameters["x"]) - 0.37) < 0.05
    assert gp(screen, 1, 0).ask(study, 1) == [candidate]


@pytest.mark.slow
def test_gaussian_processes_of_three_objectives(begun: Study, new_screen: Callable[[], Screen]) -> None:
    assert check_sampler(lambda: gp(new_screen(), 5, 0), begun, new_screen(), n=1) == []


def test_tiny_share_that_fits_is_kept_to(begun: Study, problem: Problem) -> None:
    """One network in about fifty has three units at most."""
    narrow = Screen(problem, from_keywords(model_size=30, working_memory=15))
    begun.limits = narrow.limits
    asked = Optuna(narrow, 5, 0).ask(begun, 5)
    assert len(asked) == 5
    assert [candidate for candidate in asked if narrow.misfit(candidate.parameters)] == []


def test_small_space_is_proposed_whole_and_then_nothing() -> None:
    def costs(parameters: Parameters) -> Mapping[str, float]:
        if parameters["n"] == 2:
            raise Infeasible("no network of two")
        return {"model_size": 1 / (int(parameters["n"]) - 1)}  # 1 raises, and fails in its trial

    space = SearchSpace({"n": Int(1, 4), "kind": Choice((True, 2.5, "c")), "fixed": Int(5, 5)})
    problem = Problem(space, costs=costs, objective=lambda candidate: {"error": 0.5})
    asked = Optuna(Screen(problem, from_keywords()), 1, 0).ask(Study(("error",)), 20)
    expected = [(n, kind) for n in (1, 3, 4) for kind in (True, 2.5, "c")]
    found = {(candidate.parameters["n"], candidate.parameters["kind"]) for candidate in asked}
    assert (len(asked), found) == (9, set(expected))


@pytest.mark.filterwarnings("ignore:NSGAIIISampler is experimental")
def test_any_sampler_of_optuna_may_be_named(begun: Study, screen: Screen) -> None:
    mine = partial(Optuna, make=lambda seed: optuna.samplers.NSGAIIISampler(seed=seed, population_size=4))
    assert check_sampler(lambda: mine(screen, 5, 0), begun, screen) == []


def test_optuna_says_nothing(begun: Study, screen: Screen, capfd: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    Optuna(screen, 5, 0).ask(begun, 2)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity == logging.INFO


def test_tpe_beats_random_search(study: Study, new_screen: Callable[[], Screen], grow: Grow) -> None:
    """Means over three seeds of 60 trials, eight of them Sobol."""
    means = []
    for kind in (Optuna, Random):
        volumes = []
        for seed in range(3):
            begun = grow(study.copy(), Sobol(new_screen(), 5, seed), 8)
            volumes.append(grow(begun, kind(new_screen(), 5, seed), 52).hypervolume())
        means.append(np.mean(volumes))
    assert means[0] > means[1] + 0.01


# --- in a search -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["optuna", "optuna-nsga2", "random", "evolution"])
def test_search_names_it_in_a_stage(problem: Problem, tmp_path: Path, name: str) -> None:
    study = search(problem=problem, root=tmp_path, sampler2=name, r1=4, r2=4, r3=2, objectives=["error", "model_size"])
    assert [trial.candidate.origin for trial in study.trials] == ["sobol"] * 4 + [name] * 4 + ["morph"] * 2
    assert {trial.status for trial in study.trials} == {"complete"}


def test_own_sampler_of_optuna_may_be_named_in_a_file(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from functools import partial\n"
        "from optuna.samplers import TPESampler\n"
        "from sparsemod.samplers import Optuna\n"
        "eager = partial(Optuna, make=lambda seed: TPESampler(seed=seed, n_startup_trials=2))\n"
    )
    place = f"{tmp_path / 'mine.py'}:eager"
    study = search(problem=problem, root=tmp_path, sampler2=place, r1=2, r2=2, r3=0, objectives=["error", "model_size"])
    assert [trial.candidate.origin for trial in study.trials] == ["sobol"] * 2 + ["eager"] * 2


def test_unknown_name_is_answered_with_the_known_ones(problem: Problem) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'optuna'.*random, evolution, optuna, optuna-nsga2"):
        from_keywords(problem=problem, sampler2="optna")


def test_missing_optuna_is_named_with_what_to_install(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'sparsemod\[optuna\]'"):
        Optuna(screen, 5, 0)
