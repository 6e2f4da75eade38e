"""Stage three: network morphisms of the front, chosen by the same acquisition; children inherit weights."""

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.acquisition import Acquisition
from sparsemod.samplers.pool import Pool
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.study import Candidate, Study

_POOL = 256
"""Morphisms tried."""


class Morph:
    """Children of the front of largest expected hypervolume improvement.

    Args:
        screen: Of the problem, whose morphisms are used; gives costs and refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
    """

    name = "morph"

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._screen, self._epochs, self._seed = screen.problem.space, screen, epochs, seed
        self._morphisms = screen.problem.morphisms
        self._surrogate = Surrogate(screen)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The best children, each knowing those before it."""
        parents = study.pareto_front()
        if not parents or not self._morphisms:
            return []
        rng = np.random.default_rng([self._seed, study.next_number])
        pool = Pool(study, self._screen, self._epochs, self.name)
        for _ in range(max(_POOL, 4 * n)):
            parent = parents[rng.integers(len(parents))]
            morphism = self._morphisms[int(rng.integers(len(self._morphisms)))]
            child = morphism(parent.candidate.parameters, self._space, rng)
            if child is not None and self._space.contains(child):
                pool.add("children of the front", [self._space.canonical(child)], parent.number)
        acquisition = Acquisition(study, self._surrogate, self._screen)
        return acquisition.choose(pool, acquisition.gain(pool.candidates), n)
