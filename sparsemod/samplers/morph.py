"""Stage three: network morphisms of the front, chosen by the same acquisition; children start from their parents' weights."""

from collections.abc import Sequence

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.problem import Morphism
from sparsemod.samplers.acquisition import Acquisition, greedily
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import SearchSpace, identity
from sparsemod.study import Candidate, Study

_POOL = 384
"""Morphisms tried for each proposal."""


class Morph:
    """Children of the front of largest expected hypervolume improvement.

    Args:
        space: Every child is a member.
        screen: Gives costs and refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
        morphisms: Small changes of a network.
    """

    name = "morph"

    def __init__(
        self, space: SearchSpace, screen: Screen, epochs: int, seed: int, morphisms: Sequence[Morphism]
    ) -> None:
        self._space, self._screen, self._epochs, self._seed = space, screen, epochs, seed
        self._morphisms = tuple(morphisms)
        self._surrogate = Surrogate(space, screen)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The best children, one after the other, each knowing those before it as pending."""
        return greedily(study, n, self._propose)

    def _propose(self, study: Study) -> Candidate | None:
        parents = study.pareto_front()
        if not parents or not self._morphisms:
            return None
        number = study.next_number
        rng = np.random.default_rng([self._seed, number])
        seen = {identity(candidate.parameters) for candidate in study.candidates}
        pool: list[Candidate] = []
        for _ in range(_POOL):
            parent = parents[rng.integers(len(parents))]
            morphism = self._morphisms[rng.integers(len(self._morphisms))]
            child = morphism(parent.candidate.parameters, self._space, rng)
            if child is None or not self._space.contains(child):
                continue
            child = self._space.canonical(child)
            if identity(child) not in seen and self._screen.misfit(child) is None:
                seen.add(identity(child))
                pool.append(Candidate(number, child, self._epochs, self.name, parent.number))
        if not pool:
            return None
        return Acquisition(study, self._surrogate, self._screen).best(pool)
