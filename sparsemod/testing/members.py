"""Random members of a search space that a problem is tried with, the same in each run."""

import numpy as np

from sparsemod.problem import Problem
from sparsemod.space import Parameters

MEMBERS, SCORED, TRIES, PRICED = 200, 3, 100, 20
"""How many are built, are scored or asked for features, are given to each morphism, and are priced."""


def members(problem: Problem) -> list[Parameters]:
    """`MEMBERS` of them."""
    rng = np.random.default_rng(1)
    return [problem.space.sample(rng) for _ in range(MEMBERS)]
