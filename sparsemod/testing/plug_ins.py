"""Plug-ins other than problems: samplers, executors and cost models."""

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import torch

from sparsemod.cost.screen import Screen
from sparsemod.device import DEVICES, Device
from sparsemod.graph import Graph, trace
from sparsemod.samplers import Sampler
from sparsemod.space import identity
from sparsemod.study import Study


def check_sampler(make: Callable[[], Sampler], study: Study, screen: Screen, n: int = 3) -> list[str]:
    """Everything that is wrong with a sampler at one state of a study.

    Args:
        make: Makes the sampler anew, as a resumed search does.
        study: To ask about.
        screen: Of the problem.
        n: Candidates to ask for.
    """
    before = pickle.dumps([study.trials, study.pending])
    asked = list(make().ask(study, n))
    faults = []
    if pickle.dumps([study.trials, study.pending]) != before:
        faults.append("ask changed the study")
    if len(asked) > n:
        faults.append(f"ask({n}) returned {len(asked)} candidates")
    seen = {identity(candidate.parameters) for candidate in study.candidates}
    for position, candidate in enumerate(asked):
        if candidate.number != study.next_number + position:
            faults.append(f"candidate {candidate.number} should have number {study.next_number + position}")
        wrong = screen.problem.space.mistakes(candidate.parameters) or [screen.misfit(candidate.parameters) or ""]
        faults += [f"candidate {candidate.number}: {mistake}" for mistake in wrong if mistake]
        if identity(candidate.parameters) in seen:
            faults.append(f"candidate {candidate.number} repeats an earlier one")
        seen.add(identity(candidate.parameters))
    if list(make().ask(study, n)) != asked:
        faults.append("a new sampler proposes something else for the same study, so a resumed search would differ")
    return faults


def check_executor(executor: Executor) -> list[str]:
    """Everything that is wrong with an executor: results must come in and exceptions out."""
    faults = []
    futures = [executor.submit(pow, base, 2) for base in range(8)]
    results = [future.result(timeout=120) for future in futures]
    if results != [base**2 for base in range(8)]:
        faults.append(f"the squares of 0 to 7 came back as {results}")
    error = executor.submit(divmod, 1, 0).exception(timeout=120)
    if not isinstance(error, ZeroDivisionError):
        faults.append(f"1 / 0 should come back as a ZeroDivisionError, came back as {error!r}")
    return faults


def check_cost(cost: Callable[[Graph, Device], Mapping[str, float]]) -> list[str]:
    """Everything that is wrong with a cost model: figures must be positive, and grow with the width of a network."""
    faults = []
    narrow, wide = (cost(trace(_example(width), (1, 12, 12)), DEVICES["microbit-v2"]) for width in (4, 32))
    for name in ("model_size", "working_memory", "latency"):
        if name not in narrow:
            faults.append(f"{name} is missing")
        elif not 0 < narrow[name] < wide[name]:
            faults.append(
                f"{name} is {narrow[name]:g} for a narrow and {wide[name]:g} for a wide network; it should grow"
            )
    return faults


def _example(width: int) -> torch.nn.Module:
    with torch.device("meta"):
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, width, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(100 * width, 10)
        )
