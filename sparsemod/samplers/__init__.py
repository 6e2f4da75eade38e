"""Samplers: objects with `ask(study, n)` that propose candidates.

What a sampler proposes is a pure function of the study and its seed: it keeps nothing but caches, so a resumed study
goes on as if it had never stopped. Proposals of one call know the ones before them.
"""

from collections.abc import Sequence
from typing import Protocol

from sparsemod.samplers.ax import Ax
from sparsemod.samplers.bayes import Bayes
from sparsemod.samplers.evolution import Evolution
from sparsemod.samplers.morph import Morph
from sparsemod.samplers.optuna import Optuna
from sparsemod.samplers.random import Random
from sparsemod.samplers.sobol import Sobol
from sparsemod.study import Candidate, Study

__all__ = ["Ax", "Bayes", "Evolution", "Morph", "Optuna", "Random", "Sampler", "Sobol"]


class Sampler(Protocol):
    """The one method of a sampler."""

    def ask(self, study: Study, n: int) -> Sequence[Candidate]:
        """Up to `n` new candidates, numbered from `study.next_number`; fewer only if there are no more.

        Every candidate is in the space, within the hard limits and unlike all before it. The study is not changed.
        Where several workers evaluate, this is called in a thread of its own, once at a time.
        """
