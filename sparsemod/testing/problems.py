"""A problem: its parts one after the other, as far as it has them."""

from collections.abc import Iterator
from dataclasses import replace

from sparsemod.config import Config, ProblemSection, from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.data import Data
from sparsemod.problem import Problem
from sparsemod.testing.builder import build_faults, frontend_faults
from sparsemod.testing.costs import cost_faults, limit_faults
from sparsemod.testing.data import described, loaded, taught
from sparsemod.testing.members import MEMBERS, PRICED, SCORED, TRIES
from sparsemod.testing.morphisms import morphism_faults, name
from sparsemod.testing.scores import objective_faults, score_faults


def check_problem(problem: Problem, config: Config | None = None) -> list[str]:
    """Everything that is wrong with a problem.

    Args:
        problem: To check.
        config: Device and quantization scheme; the defaults if not given.
    """
    return [fault for _, faults in problem_checks(problem, config) for fault in faults]


def problem_checks(problem: Problem, config: Config | None = None) -> Iterator[tuple[str, list[str]]]:
    """The checks of a problem one after the other: what was checked, and its faults."""
    config = replace(config or from_keywords(), problem=ProblemSection(problem))
    wrong_costs: list[str] = []
    if problem.limits:
        yield f"limits: {', '.join(problem.limits)}", limit_faults(problem, config)
    if problem.costs is not None:
        fit, seconds, wrong_costs = cost_faults(problem, config)
        yield f"costs: {PRICED} random candidates, {fit} within the limits, {seconds:.2g} s each", wrong_costs
    if problem.objective is not None and not wrong_costs:
        yield f"objective: {SCORED} candidates that fit", objective_faults(problem, config)
    data: Data | None = None
    if problem.load_data is not None:
        data, faults = loaded(problem)
        yield f"data: {described(data, problem)}", faults
    if problem.teacher is not None and data is not None:
        problem, faults = taught(problem, data)
        yield "teacher: loaded or trained, and asked", faults
    if problem.frontend is not None:
        yield f"front end: {SCORED} random members asked for features", frontend_faults(problem)
    if problem.build is not None and data is not None:
        fit, faults = build_faults(problem, Screen(problem, config, data))
        yield f"builder: {MEMBERS} random members built and traced, {fit} within the limits", faults
    for morphism in problem.morphisms:
        yield f"morphism {name(morphism)}: {TRIES} random parents", morphism_faults(problem, morphism)
    if problem.build is not None and data is not None and problem.objective is None:
        yield f"scoring: {SCORED} networks trained a step, quantized and run", score_faults(problem, config, data)
