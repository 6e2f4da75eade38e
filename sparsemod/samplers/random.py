"""Random search: the baseline of every comparison [Bergstra2012].

[Bergstra2012] Random Search for Hyper-Parameter Optimization, JMLR 13, 2012.
"""

from collections.abc import Iterator

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.fitting import Draft, Fitting
from sparsemod.study import Candidate, Study

_TRIES = 1_000
"""Members drawn for one proposal. Where fewer than one in a thousand fits, the Sobol sequence goes on from its last."""


class Random:
    """Independent uniform members of the space that fit.

    Args:
        screen: Of the problem; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
    """

    name = "random"

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space = screen.problem.space
        self._fitting = Fitting(screen, epochs, seed, self.name, _TRIES)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """Members drawn at random, whatever the trials say."""
        return self._fitting.ask(study, n, self._drafts)

    def _drafts(self, study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        while True:
            yield self._space.sample(rng), None
