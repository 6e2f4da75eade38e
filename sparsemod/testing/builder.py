"""What a problem makes of parameters: networks and front ends."""

from collections import Counter

import numpy as np
import torch

from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible
from sparsemod.graph import Graph
from sparsemod.problem import Problem
from sparsemod.testing.faults import told
from sparsemod.testing.members import MEMBERS, SCORED, members


def build_faults(problem: Problem, screen: Screen) -> tuple[int, list[str]]:
    """How many random members fit, and what went wrong with the others, each kind once."""
    rng = np.random.default_rng(0)
    fit, said, refused = 0, Counter[str](), 0
    for _ in range(MEMBERS):
        parameters = problem.space.sample(rng)
        try:
            fit += screen.misfit(parameters) is None
            screen.costs(parameters)
        except Infeasible:
            refused += 1
        except Exception as error:
            said[told(error)] += 1
    faults = [f"{what} ({count} of {MEMBERS} members)" for what, count in said.items()]
    if refused == MEMBERS:
        faults.append("build calls every member Infeasible")
    elif not faults and not fit:
        faults.append("no random member is within the limits; widen [DEVICE] or let the space hold smaller networks")
    return fit, faults


def frontend_faults(problem: Problem) -> list[str]:
    """What is wrong with the front ends of random members, each kind once."""
    faults = dict[str, None]()
    for parameters in members(problem)[:SCORED]:
        try:
            front, again = problem.frontend_of(parameters), problem.frontend_of(parameters)
            assert front is not None
            features = front(torch.randint(-(2**15), 2**15, (2, front.samples), dtype=torch.int16))
            stored = Graph.from_tensors(*Graph((), (), frontend=front).to_tensors()).frontend
        except Infeasible:
            continue
        except Exception as error:
            faults[f"the front end raises {told(error)}"] = None
            continue
        if hash(front) != hash(again) or front != again:
            faults["the front end differs for the same parameters, so its features would be computed each time"] = None
        if stored != front:
            faults["the front end differs after it was stored with a network"] = None
        if features.dtype != torch.int8 or features.shape != (2, *front.output_shape):
            found = f"{tuple(features.shape)}, {features.dtype}"
            faults[f"the front end gives {found} for two clips; it must give {(2, *front.output_shape)}, int8"] = None
        if front.ram_bytes % 4:
            faults[f"ram_bytes of the front end is {front.ram_bytes}; it must be a multiple of 4"] = None
    return list(faults)
