"""Stage two: Bayesian optimization with exact expected hypervolume improvement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.acquisition import Acquisition, greedily
from sparsemod.samplers.sobol import Sobol
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import Parameters, SearchSpace, identity
from sparsemod.study import Candidate, Study

_GLOBAL, _MUTATIONS = 256, 256
"""Candidates of the pool from the Sobol sequence, and from mutations of the front."""
_LOCAL_ROUNDS, _LOCAL, _BEST = 2, 96, 10
"""Rounds of local search, each with this many mutations of the best candidates so far."""


class Bayes:
    """Candidates of largest expected hypervolume improvement.

    Args:
        space: To search.
        screen: Gives costs and refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
    """

    name = "bayes"

    def __init__(self, space: SearchSpace, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._screen, self._epochs, self._seed = space, screen, epochs, seed
        self._sobol = Sobol(space, screen, epochs, seed)
        self._surrogate = Surrogate(space, screen)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The best candidates of a pool, one after the other, each knowing those before it as pending."""
        return greedily(study, n, self._propose)

    def _propose(self, study: Study) -> Candidate | None:
        if not study.completed():
            first = self._sobol.ask(study, 1)
            return replace(first[0], origin=self.name) if first else None
        number = study.next_number
        rng = np.random.default_rng([self._seed, number])
        acquisition = Acquisition(study, self._surrogate, self._screen)
        seen = {identity(candidate.parameters) for candidate in study.candidates}
        parents = [trial.candidate.parameters for trial in study.pareto_front()] or [
            trial.candidate.parameters for trial in study.completed()
        ]
        pool: list[Candidate] = []

        def add(many: Sequence[Parameters]) -> None:
            for parameters in many:
                key = identity(parameters)
                if key not in seen and self._screen.misfit(parameters) is None:
                    seen.add(key)
                    pool.append(Candidate(number, parameters, self._epochs, self.name))

        add(self._sobol.feasible(_GLOBAL))
        add(self._mutations(parents, _MUTATIONS, rng))
        for _ in range(_LOCAL_ROUNDS):
            order = np.argsort(-acquisition.gain(pool), kind="stable")
            best = [pool[index].parameters for index in order[:_BEST]]
            add(self._mutations(best, _LOCAL, rng))
        return acquisition.best(pool)

    def _mutations(self, parents: Sequence[Parameters], n: int, rng: np.random.Generator) -> list[Parameters]:
        if not parents:
            return []
        chosen = rng.integers(len(parents), size=n)
        return [self._space.mutate(parents[index], rng, int(rng.integers(1, 4))) for index in chosen]

