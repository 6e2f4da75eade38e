"""Stage two: Bayesian optimization with exact expected hypervolume improvement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.acquisition import Acquisition, greedily
from sparsemod.samplers.pool import Pool
from sparsemod.samplers.sobol import Sobol
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Study

_SOBOL, _RANDOM, _MUTATIONS = 32, 32, 96
"""Candidates of the pool: the head of the Sobol sequence, random ones, and mutations of the front."""
_LOCAL_ROUNDS, _LOCAL, _BEST = 2, 48, 10
"""Rounds of local search, each with this many mutations of the best candidates so far."""


class Bayes:
    """Candidates of largest expected hypervolume improvement.

    Args:
        screen: Of the problem; gives costs and refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
    """

    name = "bayes"

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._screen, self._epochs, self._seed = screen.problem.space, screen, epochs, seed
        self._sobol = Sobol(screen, epochs, seed)
        self._surrogate = Surrogate(screen)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The best candidates of a pool, one after the other, each knowing those before it as pending."""
        return greedily(study, n, self._propose)

    def _propose(self, study: Study) -> Candidate | None:
        if not study.completed():
            return self._next_sobol(study)
        rng = np.random.default_rng([self._seed, study.next_number])
        acquisition = Acquisition(study, self._surrogate, self._screen)
        parents = study.pareto_front() or study.completed()
        pool = Pool(study, self._screen, self._epochs, self.name)
        pool.add(self._sobol.feasible(_SOBOL))
        pool.add(self._space.sample(rng) for _ in range(_RANDOM))
        pool.add(self._mutations([trial.candidate for trial in parents], _MUTATIONS, rng))
        gain = acquisition.gain(pool.candidates)
        for _ in range(_LOCAL_ROUNDS):
            order = np.argsort(-gain, kind="stable")
            pool.add(self._mutations([pool.candidates[index] for index in order[:_BEST]], _LOCAL, rng))
            gain = np.concatenate([gain, acquisition.gain(pool.candidates[len(gain) :])])
        return acquisition.best(pool.candidates, gain) or self._next_sobol(study)

    def _next_sobol(self, study: Study) -> Candidate | None:
        asked = self._sobol.ask(study, 1)
        return replace(asked[0], origin=self.name) if asked else None

    def _mutations(self, parents: Sequence[Candidate], n: int, rng: np.random.Generator) -> list[Parameters]:
        if not parents:
            return []
        chosen = rng.integers(len(parents), size=n)
        return [self._space.mutate(parents[index].parameters, rng, int(rng.integers(1, 4))) for index in chosen]
