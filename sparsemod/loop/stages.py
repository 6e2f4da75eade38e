"""Which samplers propose how much, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sparsemod.config import SAMPLERS, Config
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.execute import workers
from sparsemod.locate import locate
from sparsemod.samplers import Sampler
from sparsemod.samplers.finish import Finish
from sparsemod.study import Candidate, Study

_TITLES = {"sobol": "quasi-random", "bayes": "Gaussian process", "morph": "morphism", "finish": "finish"}
"""Of the stages of SpArSe and the last one; another sampler is called by its name."""


@dataclass(frozen=True)
class Stage:
    """One sampler and how much it may propose.

    Attributes:
        title: For people.
        origin: Name of the sampler, and origin of its candidates.
        sampler: Proposes.
        candidates: In all; None for as many as the sampler has.
        batch: Asked for at a time: one round.
    """

    title: str
    origin: str
    sampler: Sampler
    candidates: int | None
    batch: int

    def done(self, study: Study) -> int:
        """Trials of this stage that have ended."""
        return self._proposed(study) - sum(candidate.origin == self.origin for candidate in study.pending)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """Up to `n` new candidates, which bear the name of the stage's sampler."""
        return [replace(candidate, origin=self.origin) for candidate in self.sampler.ask(study, n)]

    def remaining(self, study: Study) -> int:
        """Candidates this stage may still propose."""
        return self.batch if self.candidates is None else self.candidates - self._proposed(study)

    def planned(self, study: Study) -> int:
        """Candidates in all, as far as they are known."""
        return self._proposed(study) if self.candidates is None else self.candidates

    def _proposed(self, study: Study) -> int:
        return len(study.proposed(self.origin))


def stages_of(screen: Screen, config: Config) -> list[Stage]:
    """SpArSe's three stages as three samplers, or as those that the configuration names; then the finish."""
    train = config.train
    stages: list[Stage] = []
    for sampler, epochs, candidates, batch in (
        (train.sampler1, train.epochs1, train.r1, workers(config)),
        (train.sampler2, train.epochs2, train.r2 * train.batch_size, train.batch_size),
        (train.sampler3, train.epochs3, train.r3, 1),
    ):
        if sampler == "morph" and not (train.morphisms and screen.problem.morphisms):
            continue
        name, make = _named(sampler, config.folder)
        if candidates and any(stage.origin == name and stage.candidates for stage in stages):
            raise InputError(f"two stages use the sampler {name}; set the rounds of one of them to 0")
        stages.append(Stage(_TITLES.get(name, name), name, make(screen, epochs, train.seed), candidates, batch))
    if train.finish_epochs != 0 and screen.problem.objective is None:
        stages.append(Stage(_TITLES["finish"], "finish", Finish(screen, train.finish_epochs, train.seed), None, 1))
    return stages


def _named(sampler: str | Callable[..., Sampler], folder: Path) -> tuple[str, Callable[..., Sampler]]:
    """Name of a sampler, and what makes it."""
    if not isinstance(sampler, str):
        return getattr(sampler, "__name__", type(sampler).__name__), sampler
    place = SAMPLERS.get(sampler, sampler)
    return (sampler if sampler in SAMPLERS else place.rpartition(":")[2]), locate(place, folder)
