"""The first of many drafts that may be evaluated: for samplers that know nothing of costs, limits and repetitions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.samplers.sobol import Sobol
from sparsemod.space import Parameters, identity
from sparsemod.study import Candidate, Study

Draft = tuple[Parameters, int | None]
"""Parameters in canonical form, and the number of the trial whose weights the network starts from."""

Drafts = Callable[[Study, np.random.Generator], Iterator[Draft]]
"""Draws drafts for one proposal, one after the other; one that goes on has had its last draft refused."""


class Fitting:
    """Proposes the first new draft that fits, or, where there is none, the next of the feasible Sobol sequence.

    Args:
        screen: Of the problem; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
        origin: Of each candidate.
        tries: Drafts for one proposal.
    """

    def __init__(self, screen: Screen, epochs: int, seed: int, origin: str, tries: int) -> None:
        self._screen, self._epochs, self._seed = screen, epochs, seed
        self._origin, self._tries = origin, tries
        self._sobol = Sobol(screen, epochs, seed)

    def ask(self, study: Study, n: int, drafts: Drafts) -> list[Candidate]:
        """Up to `n` candidates, each pending for the next.

        Args:
            study: To ask about.
            n: Candidates to propose.
            drafts: Called once for each candidate, with randomness that follows from the seed and its number.
        """
        ahead, asked = study.copy(), list[Candidate]()
        while len(asked) < n:
            candidate = self._propose(ahead, drafts)
            if candidate is None:
                break
            ahead.propose(candidate)
            asked.append(candidate)
        return asked

    def _propose(self, study: Study, drafts: Drafts) -> Candidate | None:
        seen = {identity(candidate.parameters) for candidate in study.candidates}
        rng = np.random.default_rng([self._seed, study.next_number])
        for parameters, parent in islice(drafts(study, rng), self._tries):
            if identity(parameters) not in seen and self._screen.may_be_tried(parameters):
                return Candidate(study.next_number, parameters, self._epochs, self._origin, parent)
        asked = self._sobol.ask(study, 1)
        return replace(asked[0], origin=self._origin) if asked else None
