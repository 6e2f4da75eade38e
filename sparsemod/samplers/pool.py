"""Candidates to choose from: all within the limits, none in the study already."""

from collections.abc import Iterable

from sparsemod.cost.screen import Screen
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
