"""What a candidate is expected to add to the front of a study."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sparsemod.cost.screen import Screen
from sparsemod.objectives import quantity
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.samplers.pool import Pool
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.study import Candidate, Study, Trial

_log = logging.getLogger(__name__)

Array = NDArray[np.float64]


class Acquisition:
    """Expected hypervolume improvement at one state of a study.

    What the costs of a candidate give is known; every other objective, and every other figure with a limit, is
    modelled. The front is denoised: each trial counts with what the model believes, not with what was measured.
    Pending candidates count as if what is predicted of them had been found.

    Args:
        study: With at least one completed trial.
        surrogate: Models what is not known.
        screen: Gives the costs.
    """

    def __init__(self, study: Study, surrogate: Surrogate, screen: Screen) -> None:
        self._study, self._screen, self._reference = study, screen, study.reference_point()
        first = study.completed()[0]
        known = screen.costs(first.candidate.parameters)
        limited = [name for name in study.limits if name in first.score and name not in study.objectives]
        uncertain = [name for name in (*study.objectives, *limited) if name not in known]
        self._models = {name: surrogate.fit(study, name) for name in uncertain}
        self._limited = [name for name in limited if name in uncertain]
        logarithmic = [name in uncertain and self._models[name].logarithmic for name in study.objectives]
        self._logarithmic = np.array(logarithmic)
        self._trials = study.counting()
        self._front = self._denoised(self._trials)
        self._improvement = ExpectedImprovement(self._front, logarithmic)
        pending = [each for each in study.pending if screen.fits(each.parameters)]
        if pending:
            self._believe(pending)

    def gain(self, pool: Sequence[Candidate]) -> Array:
        """Expected improvement of each candidate, (P,), as a share of the box up to the reference point."""
        if not pool:
            return np.empty(0)
        return self._improvement(*self._believed(pool)) * self._chance(pool)

    def choose(self, pool: Pool, gain: Array, n: int) -> list[Candidate]:
        """Up to `n` candidates, each of largest gain over the front and those before it.

        Where none is to be gained, the one that comes nearest to what counts. A gain never grows with the front, so
        only the gains at the top are computed again.
        """
        left, gain, chosen = list(pool.candidates), gain.copy(), list[Candidate]()
        current = np.full(len(left), 0)
        while left and len(chosen) < n:
            best = int(np.argmax(gain)) if gain.max() > 0 else int(np.argmin(self._distance(left)))
            if gain[best] > 0 and current[best] < len(chosen):
                top = np.argsort(-gain, kind="stable")[:16]
                gain[top], current[top] = self.gain([left[index] for index in top]), len(chosen)
                continue
            candidate = replace(left.pop(best), number=self._study.next_number + len(chosen))
            self._explain(candidate, pool, gain, best)
            gain, current = np.delete(gain, best), np.delete(current, best)
            self._believe([candidate])
            chosen.append(candidate)
        return chosen

    def _believe(self, pending: Sequence[Candidate]) -> None:
        """Takes what is expected of some candidates for granted."""
        for values in self._expected(pending):
            self._improvement.add(values)
        self._models = {name: model.believing(pending) for name, model in self._models.items()}

    # --- what is believed --------------------------------------------------------------------------------------------

    def _believed(self, pool: Sequence[Candidate]) -> tuple[Array, Array]:
        """Mean and deviation of each objective in units of the reference point, or of its logarithm, (P, M) each."""
        mean, deviation = np.empty((2, len(pool), len(self._study.objectives)))
        costs = [self._screen.costs(candidate.parameters) for candidate in pool]
        for axis, name in enumerate(self._study.objectives):
            reference = self._reference[name]
            if name not in self._models:
                mean[:, axis], deviation[:, axis] = [cost[name] / reference for cost in costs], 0
                continue
            model, wide = self._models[name](pool)
            if self._logarithmic[axis]:
                mean[:, axis], deviation[:, axis] = model - np.log(reference), wide
            else:
                mean[:, axis], deviation[:, axis] = model / reference, wide / reference
        return mean, deviation

    def _expected(self, pool: Sequence[Candidate]) -> Array:
        """Objectives as they are most likely, in units of the reference point, (P, M)."""
        if not pool:
            return np.empty((0, len(self._study.objectives)))
        mean, _ = self._believed(pool)
        return np.where(self._logarithmic, np.exp(np.where(self._logarithmic, mean, 0)), mean)

    def _denoised(self, trials: Sequence[Trial]) -> Array:
        """Objectives of finished trials, in units of the reference point, (T, M): measured costs, believed errors."""
        values = self._expected([trial.candidate for trial in trials])
        for axis, name in enumerate(self._study.objectives):
            if name not in self._models:
                values[:, axis] = [trial.score[name] / self._reference[name] for trial in trials]
        return values

    def _chance(self, pool: Sequence[Candidate]) -> Array:
        """Probability that a candidate obeys the limits on what is no objective and not known, (P,)."""
        chance: Array = np.ones(len(pool))
        for name in self._limited:
            model, limit = self._models[name], self._study.limits[name]
            mean, deviation = model(pool)
            with np.errstate(divide="ignore", invalid="ignore"):
                edge = np.log(limit) if model.logarithmic else limit
            chance = chance * ndtr((edge - mean) / deviation)
        return chance

    def _distance(self, pool: Sequence[Candidate]) -> Array:
        """How far each candidate is expected to be beyond what counts; the first objective breaks ties, (P,)."""
        expected = self._expected(pool)
        distance: Array = np.clip(expected - 1, 0, None).sum(axis=1) + 1 - self._chance(pool)
        return distance + 1e-6 * expected[:, 0]

    def _explain(self, candidate: Candidate, pool: Pool, gain: Array, best: int) -> None:
        """Why a candidate was chosen, for those who look at the debug log."""
        if not _log.isEnabledFor(logging.DEBUG):
            return
        figures = []
        for name in self._study.objectives:
            if name not in self._models:
                figures.append(quantity(name, self._screen.costs(candidate.parameters)[name]))
                continue
            model = self._models[name]
            [mean], [deviation] = model([candidate])
            low, middle, high = (mean + place * deviation for place in (-1, 0, 1))
            told = [np.exp(each) if model.logarithmic else each for each in (low, middle, high)]
            figures.append(f"{name} {told[1]:.4g} (from {told[0]:.4g} to {told[2]:.4g})")
        [expected] = self._expected([candidate])
        worse = (expected <= self._front).all(axis=1) & (expected < self._front).any(axis=1)
        front = {trial.number for trial in self._study.pareto_front()}
        beaten = [trial.number for trial, is_worse in zip(self._trials, worse, strict=True) if is_worse]
        _log.debug(
            "candidate %d: best of %s; expected gain %.3g (next %.3g, median %.3g); predicted %s; %s; parameters %s",
            *(candidate.number, pool, gain[best], np.delete(gain, best).max(initial=0), np.median(gain)),
            ", ".join(figures),
            _beaten([number for number in beaten if number in front]),
            dict(candidate.parameters),
        )


def _beaten(numbers: Sequence[int]) -> str:
    if not numbers:
        return "a new trade-off beside the front"
    return f"expected to dominate trial{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))} of the front"
