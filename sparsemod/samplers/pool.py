"""Candidates to choose from: all within the limits, none in the study already."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.space import Parameters, identity
from sparsemod.study import Candidate, Study


class Pool:
    """Grows by what is added to it, less what does not fit and what has been seen.

    Args:
        study: What it holds has been seen.
        screen: Refuses what does not fit.
        epochs: For each candidate.
        origin: Of each candidate.

    Attributes:
        candidates: What is left, in the order in which it was added; all with the study's next number.
    """

    def __init__(self, study: Study, screen: Screen, epochs: int, origin: str) -> None:
        self._number, self._screen, self._epochs, self._origin = study.next_number, screen, epochs, origin
        self._seen = {identity(candidate.parameters) for candidate in study.candidates}
        self._sources: dict[str, tuple[int, int]] = {}
        self.candidates: list[Candidate] = []

    def __str__(self) -> str:
        """Its size, and how many of what each source gave are new and fit."""
        sources = [f"{kept} of {given} {source}" for source, (kept, given) in self._sources.items()]
        return f"{len(self.candidates)} ({', '.join(sources)})"

    def add(self, source: str, many: Iterable[Parameters], parent: int | None = None) -> None:
        """Adds candidates, given by their parameters in canonical form."""
        kept, given = self._sources.get(source, (0, 0))
        for parameters in many:
            key = identity(parameters)
            given += 1
            if key not in self._seen and self._screen.fits(parameters):
                self.candidates.append(Candidate(self._number, parameters, self._epochs, self._origin, parent))
                kept += 1
            self._seen.add(key)
        self._sources[source] = kept, given


def children(
    problem: Problem, parents: Sequence[Candidate], n: int, rng: np.random.Generator
) -> Iterator[tuple[Parameters, int]]:
    """Networks that random morphisms make of random parents in `n` tries, each with the number of its parent."""
    for _ in range(n if parents and problem.morphisms else 0):
        parent = parents[int(rng.integers(len(parents)))]
        morphism = problem.morphisms[int(rng.integers(len(problem.morphisms)))]
        child = morphism(parent.parameters, problem.space, rng)
        if child is not None and problem.space.contains(child):
            yield problem.space.canonical(child), parent.number
