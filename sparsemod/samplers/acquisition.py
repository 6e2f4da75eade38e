"""What a candidate is expected to add to the front of a study."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sparsemod.cost.screen import Screen
from sparsemod.objectives import quantity
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.samplers.pool import Pool
from sparsemod.samplers.surrogate import Outlook, Surrogate, learned
from sparsemod.study import Candidate, Study, Trial

_log = logging.getLogger(__name__)

_TOO_SURE, _BY = 0.1, 2.0
"""Belief that the models are too sure of what they have not seen, and the factor on their deviations then."""

Array = NDArray[np.float64]


class Acquisition:
    """Expected hypervolume improvement at one state of a study.

    What the costs of a candidate give is known; every other objective, and every other figure with a limit, is
    modelled. The front is denoised: each trial counts with what the model believes, not with what was measured.
    Pending candidates count as if what is predicted of them had been found. What is predicted is believed to follow a
    mixture of two normal distributions, one with the deviation of the model and, with a small weight, one with a larger
    deviation: else a region that the model is wrong about would stay unseen.

    Args:
        study: With at least one completed trial.
        surrogate: Models what is not known.
        screen: Gives the costs.
    """

    def __init__(self, study: Study, surrogate: Surrogate, screen: Screen) -> None:
        self._study, self._screen, self._reference = study, screen, study.reference_point()
        self._rows = partial(surrogate.rows, study)
        first = study.completed()[0]
        known = screen.costs(first.candidate.parameters)
        limited = [name for name in study.limits if name in first.score and name not in study.objectives]
        uncertain = [name for name in (*study.objectives, *limited) if name not in known]
        self._models = {name: surrogate.fit(study, name) for name in uncertain}
        self._limits = {name: study.limits[name] for name in limited if name in uncertain}
        logarithmic = [name in uncertain and self._models[name].logarithmic for name in study.objectives]
        taught = {trial.number for trial in learned(study)}
        self._trials = [trial for trial in study.counting() if trial.number in taught]
        self._front = self._denoised(self._trials)
        self._improvement = ExpectedImprovement(self._front, logarithmic)
        pending = [each for each in study.pending if screen.fits(each.parameters)]
        if pending:
            for values in self._expected(pending):
                self._improvement.add(values)
            self.believe(pending)

    def gain(self, pool: Sequence[Candidate]) -> Array:
        """Expected improvement of each candidate, (P,), as a share of the box up to the reference point."""
        return self._gain(self._beliefs(pool), np.arange(len(pool))) if pool else np.empty(0)

    def choose(self, pool: Pool, gain: Array, n: int) -> list[Candidate]:
        """Up to `n` candidates, each of largest gain over the front and those before it.

        Where none is to be gained, the one that comes nearest to what counts. A gain never grows with the front, so
        only the gains at the top are computed again. Before another pool is looked at, they are to be believed.
        """
        if not pool.candidates:
            return []
        beliefs, gain, chosen = self._beliefs(pool.candidates), gain.copy(), list[Candidate]()
        left, current = np.full(len(gain), True), np.full(len(gain), 0)
        while left.any() and len(chosen) < n:
            best = int(np.argmax(gain if gain.max() > 0 else np.where(left, -beliefs.distance(), -np.inf)))
            if gain[best] > 0 and current[best] < len(chosen):
                top = np.argsort(-gain, kind="stable")[:16]
                top = top[left[top]]
                gain[top], current[top] = self._gain(beliefs, top), len(chosen)
                continue
            candidate = replace(pool.candidates[best], number=pool.candidates[best].number + len(chosen))
            left[best] = False
            self._explain(candidate, pool, gain[best], gain[left])
            gain[best] = 0
            self._improvement.add(beliefs.expected[best])
            beliefs.believe(best)
            chosen.append(candidate)
        return chosen

    def believe(self, candidates: Sequence[Candidate]) -> None:
        """Is as sure from now on as if these had been evaluated and what is expected of them had been found."""
        rows = self._rows(candidates)
        self._models = {name: model.believing(rows) for name, model in self._models.items()}

    def _gain(self, beliefs: "_Beliefs", places: NDArray[np.int64]) -> Array:
        mean, deviation = beliefs.mean[places], beliefs.deviation(places)
        as_sure, less_sure = self._improvement(mean, deviation), self._improvement(mean, _BY * deviation)
        return ((1 - _TOO_SURE) * as_sure + _TOO_SURE * less_sure) * beliefs.chance(places)

    def _beliefs(self, pool: Sequence[Candidate]) -> "_Beliefs":
        costs = [self._screen.costs(candidate.parameters) for candidate in pool]
        rows = self._rows(pool)
        outlooks = {name: model.outlook(rows) for name, model in self._models.items()}
        return _Beliefs(costs, outlooks, self._reference, self._limits)

    def _expected(self, pool: Sequence[Candidate]) -> Array:
        """Objectives as they are most likely, in units of the reference point, (P, M)."""
        return self._beliefs(pool).expected if pool else np.empty((0, len(self._study.objectives)))

    def _denoised(self, trials: Sequence[Trial]) -> Array:
        """Objectives of finished trials, in units of the reference point, (T, M): measured costs, believed errors."""
        values = self._expected([trial.candidate for trial in trials])
        for axis, name in enumerate(self._study.objectives):
            if name not in self._models:
                values[:, axis] = [trial.score[name] / self._reference[name] for trial in trials]
        return values

    def _explain(self, candidate: Candidate, pool: Pool, gain: float, others: Array) -> None:
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
            *(candidate.number, pool, gain, others.max(initial=0), np.median([gain, *others])),
            ", ".join(figures),
            _beaten([number for number in beaten if number in front]),
            dict(candidate.parameters),
        )


class _Beliefs:
    """What is believed of a pool, while ever more of it is taken for granted; in units of the reference point.

    Args:
        costs: Of each candidate, P of them.
        outlooks: On every objective that is not a cost, and on what has a limit.
        reference: Of each objective, M.
        limits: On what is no objective and not known.

    Attributes:
        mean: Of each objective, or of its logarithm, (P, M).
        expected: Objectives as they are most likely, (P, M).
    """

    def __init__(
        self,
        costs: Sequence[Mapping[str, float]],
        outlooks: Mapping[str, Outlook],
        reference: Mapping[str, float],
        limits: Mapping[str, float],
    ) -> None:
        self._outlooks, self._reference, self._limits = outlooks, reference, limits
        self.mean, self.expected = np.empty((2, len(costs), len(reference)))
        for axis, (name, scale) in enumerate(reference.items()):
            if name not in outlooks:
                self.mean[:, axis] = [cost[name] / scale for cost in costs]
            elif outlooks[name].logarithmic:
                self.mean[:, axis] = outlooks[name].mean - np.log(scale)
            else:
                self.mean[:, axis] = outlooks[name].mean / scale
            logarithmic = name in outlooks and outlooks[name].logarithmic
            self.expected[:, axis] = np.exp(self.mean[:, axis]) if logarithmic else self.mean[:, axis]

    def believe(self, place: int) -> None:
        """Takes what is expected of a candidate for granted."""
        for outlook in self._outlooks.values():
            outlook.believe(place)

    def deviation(self, places: NDArray[np.int64]) -> Array:
        """Of each objective, or of its logarithm, at some places, (P', M)."""
        deviation = np.zeros((len(places), len(self._reference)))
        for axis, (name, scale) in enumerate(self._reference.items()):
            if name in self._outlooks:
                outlook = self._outlooks[name]
                deviation[:, axis] = outlook.deviation[places] / (1 if outlook.logarithmic else scale)
        return deviation

    def chance(self, places: NDArray[np.int64]) -> Array:
        """Belief that a candidate obeys the limits on what is no objective and not known, (P',).

        That of Student's t distribution with one degree of freedom. Beyond what it has seen the model is too sure, by
        ten standard deviations at times, and with the tail of a normal distribution a whole region would stay unseen.
        """
        chance: Array = np.ones(len(places))
        for name, limit in self._limits.items():
            outlook = self._outlooks[name]
            with np.errstate(divide="ignore", invalid="ignore"):
                edge = np.log(limit) if outlook.logarithmic else limit
            z = (edge - outlook.mean[places]) / outlook.deviation[places]
            chance = chance * (0.5 + np.arctan(z) / np.pi)
        return chance

    def distance(self) -> Array:
        """How far each candidate is expected to be beyond what counts; the first objective breaks ties, (P,)."""
        chance = self.chance(np.arange(len(self.expected)))
        distance: Array = np.clip(self.expected - 1, 0, None).sum(axis=1) + 1 - chance
        return distance + 1e-6 * self.expected[:, 0]


def _beaten(numbers: Sequence[int]) -> str:
    if not numbers:
        return "a new trade-off beside the front"
    return f"expected to dominate trial{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))} of the front"
