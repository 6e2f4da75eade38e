"""Stage three: network morphisms of the front, chosen by the same acquisition; children inherit weights."""

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.acquisition import Acquisition
from sparsemod.samplers.pool import Pool, children
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
        self._screen, self._epochs, self._seed = screen, epochs, seed
        self._surrogate = Surrogate(screen)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The best children, each knowing those before it."""
        rng = np.random.default_rng([self._seed, study.next_number])
        parents = [trial.candidate for trial in study.pareto_front()]
        pool = Pool(study, self._screen, self._epochs, self.name)
        for child, parent in children(self._screen.problem, parents, max(_POOL, 4 * n), rng):
            pool.add("children of the front", [child], parent)
        if not pool.candidates:
            return []
        acquisition = Acquisition(study, self._surrogate, self._screen)
        return acquisition.choose(pool, acquisition.gain(pool.candidates), n)
