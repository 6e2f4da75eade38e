"""Costs and limits of a problem's own."""

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sparsemod.config import Config
from sparsemod.cost.screen import Screen, over_limits
from sparsemod.errors import Infeasible, InputError
from sparsemod.objectives import is_number
from sparsemod.problem import Problem
from sparsemod.samplers import Sobol
from sparsemod.space import Parameters
from sparsemod.testing.faults import told
from sparsemod.testing.members import PRICED, members


def limit_faults(problem: Problem, config: Config) -> list[str]:
    """Limits of objectives that nothing can keep."""
    limits = {name: problem.limits[name] for name in config.train.objectives if name in problem.limits}
    return [
        f"the limit of {name} is {limit:g}; objectives are minimised towards 0, so it must be above that"
        for name, limit in limits.items()
        if limit <= 0
    ]


def cost_faults(problem: Problem, config: Config) -> tuple[int, float, list[str]]:
    """How many random candidates fit, the seconds that one takes, and what is wrong with the costs, each kind once."""
    screen = screen_of_costs(problem, config)
    faults, priced, seconds = dict[str, str](), list[Mapping[str, float]](), list[float]()
    for parameters in members(problem)[:PRICED]:
        started = time.perf_counter()
        costs, wrong = _priced(problem, parameters)
        seconds.append((time.perf_counter() - started) / 2)
        if costs is not None:
            priced.append(costs)
            if set(costs) != set(priced[0]):
                wrong["names"] = f"gives {_listed(costs)} for {parameters}, and {_listed(priced[0])} for others"
        faults = wrong | faults
    fit = 0 if faults else sum(over_limits(costs, screen.limits) is None for costs in priced)
    if not priced and not faults:
        faults["refused"] = "calls every candidate Infeasible"
    elif not fit and not faults:
        faults |= _nothing_fits(screen)
    return fit, statistics.median(seconds), [f"costs {fault}" for fault in faults.values()]


def screen_of_costs(problem: Problem, config: Config) -> Screen:
    """A screen that asks the costs alone where the problem has an objective of its own."""
    return Screen(replace(problem, build=None) if problem.objective is not None else problem, config)


def _nothing_fits(screen: Screen) -> dict[str, str]:
    """Whether even a search finds nothing within the limits, which random candidates may miss."""
    try:
        Sobol(screen, 1, 0).require(1)
    except InputError as reason:
        return {"fit": f"leave nothing to search: {'; '.join(line.strip() for line in str(reason).splitlines())}"}
    return {}


def _priced(problem: Problem, parameters: Parameters) -> tuple[Mapping[str, float] | None, dict[str, str]]:
    """Costs of a candidate, None if it has none, and what is wrong with them, by kind."""
    assert problem.costs is not None
    given = dict(parameters)
    try:
        costs, again = dict(problem.costs(given)), dict(problem.costs(dict(parameters)))
    except Infeasible:
        return None, {}
    except Exception as error:
        return None, {"raises": f"raises {told(error)} for {parameters}"}
    faults = {"argument": "changes its argument"} if given != parameters else {}
    wrong = {name: value for name, value in costs.items() if not (is_number(value) and math.isfinite(float(value)))}
    if wrong:
        faults["finite"] = f"must be finite numbers, but are {wrong} for {parameters}"
    elif costs != again:
        faults["same"] = f"gives {costs} for {parameters}, and {again} when asked again"
    return costs, faults


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
