"""The morphisms of a problem, one at a time."""

import copy

import numpy as np

from sparsemod.problem import Morphism, Problem
from sparsemod.space import identity
from sparsemod.testing.faults import told
from sparsemod.testing.members import TRIES


def morphism_faults(problem: Problem, morphism: Morphism) -> list[str]:
    """What went wrong with random parents, the first of each kind."""
    rng = np.random.default_rng(0)
    faults: dict[str, str] = {}
    applied = 0
    for _ in range(TRIES):
        parent = problem.space.sample(rng)
        kept = copy.deepcopy(parent)
        try:
            child = morphism(parent, problem.space, rng)
        except Exception as error:
            faults.setdefault("raises", f"raises {told(error)}")
            continue
        if parent != kept:
            faults.setdefault("argument", "changes its argument")
        if child is None:
            continue
        applied += 1
        wrong = problem.space.mistakes(child)
        if wrong:
            faults.setdefault("outside", f"leaves the space: {wrong[0]}")
        elif identity(problem.space.canonical(child)) == identity(kept):
            faults.setdefault("same", "returns its parent; it should return None where it changes nothing")
    if not applied and not faults:
        faults["idle"] = f"applies to none of {TRIES} random members"
    return [f"{name(morphism)} {fault}" for fault in faults.values()]


def name(morphism: Morphism) -> str:
    """As its author calls it."""
    return getattr(morphism, "__name__", repr(morphism))
