"""Ax takes seconds for each proposal, so what needs many of them is marked slow."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sparsemod import search
from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.problem import Problem
from sparsemod.samplers import Ax, Sampler, Sobol
from sparsemod.samplers.ax import quality
from sparsemod.space import Choice, Float, Int, SearchSpace
from sparsemod.study import Candidate, Study, Trial
from sparsemod.testing import check_sampler

Grow = Callable[[Study, Sampler, int], Study]
Reload = Callable[[Study], Study]


@pytest.fixture
def begun(study: Study, screen: Screen, grow: Grow) -> Study:
    """10 trials, of which one failed and one was infeasible, and a pending candidate."""
    sobol = Sobol(screen, 5, 0)
    grow(study, sobol, 8)
    failed, infeasible, pending = sobol.ask(study, 3)
    study.add(Trial(failed, "failed", reason="out of memory"))
    study.add(Trial(infeasible, "infeasible", reason="too deep"))
    study.propose(pending)
    return study


def parabola() -> tuple[Screen, Study]:
    """Six trials of one number, whose error is least at 0.37."""
    problem = Problem(SearchSpace({"x": Float(0.0, 1.0)}), objective=lambda candidate: {"error": 0.5})
    study = Study(("error",), reference={"error": 1.0})
    for number in range(6):
        x = number / 5
        study.add(Trial(Candidate(number, {"x": x}, 1, "sobol"), "complete", {"error": (x - 0.37) ** 2}))
    return Screen(problem, from_keywords()), study


def test_empty_study_passes_the_shipped_check(study: Study, new_screen: Callable[[], Screen]) -> None:
    assert check_sampler(lambda: Ax(new_screen(), 5, 0), study, new_screen(), n=2) == []
    assert Ax(new_screen(), 5, 0).ask(study, 1) != Ax(new_screen(), 5, 1).ask(study, 1)


def test_models_find_the_bottom_of_a_parabola(capfd: pytest.CaptureFixture[str]) -> None:
    screen, study = parabola()
    [candidate] = Ax(screen, 1, 0).ask(study, 1)
    assert abs(float(candidate.parameters["x"]) - 0.37) < 0.1
    assert Ax(screen, 1, 0).ask(study, 1) == [candidate]
    assert capfd.readouterr() == ("", "")  # Ax logs every trial that it is told of


def test_small_space_of_mixed_options_is_proposed_whole() -> None:
    space = SearchSpace({"n": Int(1, 2), "kind": Choice((True, 2.5, "c")), "fixed": Int(5, 5)})
    screen = Screen(Problem(space, objective=lambda candidate: {"error": 0.5}), from_keywords())
    asked = Ax(screen, 1, 0).ask(Study(("error",), reference={"error": 1.0}), 6)
    assert len(asked) == 6
    assert {(candidate.parameters["n"], candidate.parameters["kind"]) for candidate in asked} == {
        (n, kind) for n in (1, 2) for kind in (True, 2.5, "c")
    }


def test_space_without_anything_to_vary() -> None:
    screen = Screen(Problem(SearchSpace({"n": Int(5, 5)}), objective=lambda candidate: {"error": 0.5}), from_keywords())
    study = Study(("error",), reference={"error": 1.0})
    assert [candidate.parameters for candidate in Ax(screen, 1, 0).ask(study, 2)] == [{"n": 5}]


def test_random_search_of_ax_keeps_to_a_tiny_share_that_fits(study: Study, problem: Problem) -> None:
    narrow = Screen(problem, from_keywords(model_size=30, working_memory=15))
    asked = Ax(narrow, 5, 0, strategy="random_search").ask(study, 3)
    assert len(asked) == 3
    assert [candidate for candidate in asked if narrow.misfit(candidate.parameters)] == []


def test_own_strategy_is_made_from_a_seed() -> None:
    seeds = []

    def sobol(seed: int) -> Any:
        from ax.adapter.registry import Generators
        from ax.generation_strategy.generation_node import GenerationNode
        from ax.generation_strategy.generation_strategy import GenerationStrategy
        from ax.generation_strategy.generator_spec import GeneratorSpec

        seeds.append(seed)
        spec = GeneratorSpec(generator_enum=Generators.SOBOL, generator_kwargs={"seed": seed})
        return GenerationStrategy(name="mine", nodes=[GenerationNode(name="Sobol", generator_specs=[spec])])

    screen, study = parabola()
    assert check_sampler(lambda: partial(Ax, strategy=sobol)(screen, 1, 0), study, screen, n=1) == []
    assert len(seeds) == 2
    assert seeds[0] == seeds[1]


def test_fully_bayesian_models_name_what_to_install(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(InputError, match=r"pip install 'ax-platform\[fully_bayesian\]'"):
        quality(screen, 5, 0)


@pytest.mark.slow
def test_three_objectives_are_proposed_for_alike_after_a_reload(
    begun: Study, new_screen: Callable[[], Screen], reloaded: Reload
) -> None:
    [candidate] = Ax(new_screen(), 5, 0).ask(begun, 1)
    assert new_screen().misfit(candidate.parameters) is None
    assert Ax(new_screen(), 5, 0).ask(reloaded(begun), 1) == [candidate]


@pytest.mark.slow
def test_limits_on_figures_that_are_no_objective_are_kept(begun: Study, problem: Problem) -> None:
    """Errors fall with size, so that without its constraint the model would propose what is too large."""
    begun.objectives = ("error",)
    narrow = Screen(problem, from_keywords(model_size=300, working_memory=150))
    begun.limits = narrow.limits
    [candidate] = Ax(narrow, 5, 0).ask(begun, 1)
    assert narrow.misfit(candidate.parameters) is None


@pytest.mark.slow
def test_search_names_it_in_a_stage(problem: Problem, tmp_path: Path) -> None:
    plain = replace(problem, morphisms=())
    names = ["error", "model_size"]
    study = search(problem=plain, root=tmp_path, sampler2="ax", r1=4, r2=3, r3=0, objectives=names)
    assert [trial.candidate.origin for trial in study.trials] == ["sobol"] * 4 + ["ax"] * 3
    assert {trial.status for trial in study.trials} == {"complete"}
