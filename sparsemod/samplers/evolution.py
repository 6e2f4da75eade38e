"""Aging evolution [Real2019] with a random scalarization for each step [Liberis2021].

[Real2019] Regularized Evolution for Image Classifier Architecture Search, AAAI 2019, arXiv 1802.01548.
[Liberis2021] µNAS: Constrained Neural Architecture Search for Microcontrollers, EuroMLSys 2021, arXiv 2010.14246.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.fitting import Draft, Fitting
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Study, Trial

_POPULATION, _TOURNAMENT = 20, 5
"""A fifth of the 100 and 25 of both papers, which evaluate thousands of networks; a stage here has tens."""
_TRIES = 1_000
"""Mutations for one proposal; they cost next to nothing."""


class Evolution:
    """Mutations of those who win small tournaments among the youngest trials.

    Each tournament has a goal of its own: the largest objective, in units of the reference point and divided by weights
    drawn anew (a Chebyshev scalarization), so that the population spreads along the front.

    Args:
        screen: Of the problem, whose morphisms are used besides mutations; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
    """

    name = "evolution"

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._morphisms = screen.problem.space, screen.problem.morphisms
        self._fitting = Fitting(screen, epochs, seed, self.name, _TRIES)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """Random members until the population is full, then children of its best."""
        return self._fitting.ask(study, n, self._drafts)

    def _drafts(self, study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        population = study.completed()[-_POPULATION:]
        front = {trial.number for trial in study.pareto_front()}
        while True:
            if len(population) < _POPULATION:
                yield self._space.sample(rng), None
                continue
            winner = _winner(study, population, rng)
            child, inherits = self._child(winner.candidate.parameters, rng)
            # The weights of other trials are not kept when a search ends, and it may be continued.
            yield child, winner.number if inherits and winner.number in front else None

    def _child(self, parameters: Parameters, rng: np.random.Generator) -> tuple[Parameters, bool]:
        """A mutation or, as often, a morphism, which inherits weights."""
        if self._morphisms and rng.random() < 0.5:
            morphism = self._morphisms[int(rng.integers(len(self._morphisms)))]
            child = morphism(parameters, self._space, rng)
            if child is not None and self._space.contains(child):
                return self._space.canonical(child), True
        return self._space.mutate(parameters, rng), False


def _winner(study: Study, population: Sequence[Trial], rng: np.random.Generator) -> Trial:
    """The best of a few trials drawn with replacement, by weights drawn for this tournament."""
    drawn: list[Trial] = [population[index] for index in rng.integers(len(population), size=_TOURNAMENT)]
    reference = np.array([study.reference_point()[name] for name in study.objectives])
    weights = 1 - rng.random(len(reference))  # in (0, 1]
    scalar = (study.values(drawn) / reference / weights).max(axis=1)
    return drawn[int(np.argmin(scalar))]
