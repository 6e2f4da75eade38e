"""Stage two: Bayesian optimization with exact expected hypervolume improvement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sparsemod.cost.screen import Screen
from sparsemod.samplers.acquisition import Acquisition
from sparsemod.samplers.pool import Pool, children
from sparsemod.samplers.sobol import Sobol
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.space import STEP, Parameters
from sparsemod.study import Candidate, Study

_SOBOL, _RANDOM, _FAR, _NEAR, _MORPHISMS = 32, 16, 32, 64, 32
"""Candidates of the pool: the head of the Sobol sequence, random ones, mutations and morphisms of the front."""
_LEAP = 1.0
"""Step of far mutations, as a share of the range: most end at a bound, where the best often lies."""
_LOCAL, _BEST = 16, 3
"""Mutations in each round of local search, of so many of the best candidates so far."""
_GROWTH, _FINEST, _ROUNDS = 1.05, 1e-3, 24
"""Steps are halved, down to the finest, wherever a round does not make the best gain so many times as large."""
_AT_ONCE = 64
"""Candidates that are chosen from one pool."""


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
        """The best candidates of a pool, each knowing those before it; the Sobol sequence where there are no more.

        Of a large batch, no more than a pool is good for are chosen from one.
        """
        ahead, asked, wanted = study.copy(), list[Candidate](), 0
        acquisition = Acquisition(study, self._surrogate, self._screen) if study.completed() else None
        while acquisition and len(asked) == wanted < n:
            if asked:
                acquisition.believe(asked[-_AT_ONCE:])
            wanted = min(n, wanted + _AT_ONCE)
            asked += self._best(ahead, acquisition, wanted - len(asked))
            for candidate in asked:
                ahead.propose(candidate)
        rest = self._sobol.ask(ahead, n - len(asked)) if len(asked) < n else []
        return asked + [replace(candidate, origin=self.name) for candidate in rest]

    def _best(self, study: Study, acquisition: Acquisition, n: int) -> list[Candidate]:
        rng = np.random.default_rng([self._seed, study.next_number])
        parents = [trial.candidate for trial in study.pareto_front() or study.completed()]
        pool = Pool(study, self._screen, self._epochs, self.name)
        pool.add("of the Sobol sequence", self._sobol.feasible(_SOBOL))
        pool.add("random", (self._space.sample(rng) for _ in range(_RANDOM)))
        pool.add("far mutations of the front", self._mutations(parents, _FAR, rng, _LEAP))
        pool.add("mutations of the front", self._mutations(parents, _NEAR, rng))
        pool.add(
            "morphisms of the front", (child for child, _ in children(self._screen.problem, parents, _MORPHISMS, rng))
        )
        gain = self._refine(pool, acquisition, n, rng)
        return acquisition.choose(pool, gain, n)

    def _refine(self, pool: Pool, acquisition: Acquisition, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Adds mutations of the best, in finer steps where the last ones did not help; returns the gain of all."""
        gain, step = acquisition.gain(pool.candidates), STEP
        for _ in range(_ROUNDS):
            best, before = np.argsort(-gain, kind="stable")[: max(_BEST, n)], gain.max(initial=0)
            found = self._mutations([pool.candidates[index] for index in best], _LOCAL + n // 2, rng, step)
            pool.add("mutations of the best", found)
            gain = np.concatenate([gain, acquisition.gain(pool.candidates[len(gain) :])])
            if gain.max(initial=0) <= _GROWTH * before:
                step /= 2
            if step < _FINEST:
                break
        return gain

    def _mutations(
        self, parents: Sequence[Candidate], n: int, rng: np.random.Generator, step: float = STEP
    ) -> list[Parameters]:
        if not parents:
            return []
        chosen = rng.integers(len(parents), size=n)
        return [self._space.mutate(parents[index].parameters, rng, int(rng.integers(1, 4)), step) for index in chosen]
