"""Stage two: Bayesian optimization with exact expected hypervolume improvement."""

import itertools
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
_LEAP = 5.0
"""Step of far mutations, as a share of the range: most end at a bound, where the best often lies."""
_CLIMBS, _EACH, _ROUNDS = 6, 4, 24
"""Of local search: its starts, one more for each eight candidates of a batch; mutations of each in a round; rounds."""
_HALVED = (4, 8)
"""Rounds from which on half of the climbs, the better ones, go on with half more mutations each."""
_WIDER, _FINER, _FINEST = 1.3, 0.6, 1e-3
"""Factors of a step that found something better, and that did not; a climb ends where its step is below the finest."""
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
        """Climbs from several of the best at once, by mutations in steps of their own; returns the gain of all."""
        gain = acquisition.gain(pool.candidates)
        tops, each = _largest(gain, _CLIMBS + n // 8), _EACH
        steps = np.full(len(tops), STEP)
        for turn in range(_ROUNDS):
            if turn in _HALVED:
                better = _largest(gain[tops], max(len(tops) // 2, 1))
                tops, steps, each = tops[better], steps[better], each + each // 2
            tops, steps = tops[steps >= _FINEST], steps[steps >= _FINEST]
            ends = [len(gain)]
            for top, step in zip(tops, steps, strict=True):
                pool.add("mutations of the best", self._mutations([pool.candidates[top]], each, rng, step))
                ends.append(len(pool.candidates))
            gain = np.concatenate([gain, acquisition.gain(pool.candidates[len(gain) :])])
            for climb, (start, end) in enumerate(itertools.pairwise(ends)):
                best = max(range(start, end), key=gain.__getitem__, default=tops[climb])
                higher = gain[best] > gain[tops[climb]]
                tops[climb] = best if higher else tops[climb]
                steps[climb] *= _WIDER if higher else _FINER
        return gain

    def _mutations(
        self, parents: Sequence[Candidate], n: int, rng: np.random.Generator, step: float = STEP
    ) -> list[Parameters]:
        if not parents:
            return []
        chosen = rng.integers(len(parents), size=n)
        return [self._space.mutate(parents[index].parameters, rng, int(rng.integers(1, 4)), step) for index in chosen]


def _largest(values: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Places of the `n` largest, the largest first."""
    return np.argsort(-values, kind="stable")[:n]
