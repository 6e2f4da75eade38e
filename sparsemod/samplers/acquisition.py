"""What a candidate is expected to add to the front of a study."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.samplers.surrogate import Surrogate
from sparsemod.study import Candidate, Study

_log = logging.getLogger(__name__)

Array = NDArray[np.float64]


class Acquisition:
    """Expected hypervolume improvement at one state of a study.

    The front is denoised: each trial counts with the error that the model believes, not the one that was measured.
    Pending candidates count with their predicted error.

    Args:
        study: With at least one completed trial.
        surrogate: Models the error.
        screen: Gives the costs.
    """

    def __init__(self, study: Study, surrogate: Surrogate, screen: Screen) -> None:
        self._study, self._screen = study, screen
        self._target = uncertain_objective(study.objectives, screen.costs(study.completed()[0].candidate.parameters))
        self._predict = surrogate.fit(study, self._target)
        position = study.objectives.index(self._target)
        self._improvement = ExpectedImprovement(self._denoised_front(), position)

    def gain(self, pool: Sequence[Candidate]) -> Array:
        """Expected improvement of each candidate, (P,), as a share of the box up to the reference point."""
        if not pool:
            return np.empty(0)
        reference = self._study.reference
        mean, deviation = self._predict(pool)
        known = [name for name in self._study.objectives if name != self._target]
        costs = [self._screen.costs(candidate.parameters) for candidate in pool]
        scaled = np.array([[cost[name] / reference[name] for name in known] for cost in costs])
        log_error = mean - np.log(reference[self._target])
        return self._improvement(log_error, deviation, scaled.reshape(len(pool), -1))

    def best(self, pool: Sequence[Candidate], gain: Array) -> Candidate | None:
        """The candidate of largest gain; where none is to be expected, the one of smallest predicted error."""
        if not pool:
            return None
        best = int(np.argmax(gain)) if gain.max() > 0 else int(np.argmin(self._predict(pool)[0]))
        [mean], [deviation] = self._predict([pool[best]])
        _log.debug(
            "candidate %d: best of a pool of %d, expected gain %.3g (median %.3g), predicted %s %.4g, times or by %.2f",
            *(pool[best].number, len(pool), gain[best], np.median(gain)),
            *(self._target, np.exp(mean), np.exp(deviation)),
        )
        return pool[best]

    def _denoised_front(self) -> Array:
        """Objective values in units of the reference point, (T, M); dominated rows included."""
        study = self._study
        trials = [trial for trial in study.completed() if study.obeys_limits(trial.score)]
        pending = [candidate for candidate in study.pending if self._screen.can_build(candidate.parameters)]
        candidates = [trial.candidate for trial in trials] + pending
        scores: list[Mapping[str, float]] = [trial.score for trial in trials]
        scores += [self._screen.costs(candidate.parameters) for candidate in pending]
        if not candidates:
            return np.empty((0, len(study.objectives)))
        believed = np.exp(self._predict(candidates)[0])
        rows = [
            [(error if name == self._target else score[name]) / study.reference[name] for name in study.objectives]
            for score, error in zip(scores, believed, strict=True)
        ]
        return np.array(rows)


def greedily(study: Study, n: int, propose: Callable[[Study], Candidate | None]) -> list[Candidate]:
    """Up to `n` proposals in a row, each pending for the next; the study itself is not changed."""
    ahead = study.copy()
    asked: list[Candidate] = []
    for _ in range(n):
        candidate = propose(ahead)
        if candidate is None:
            break
        ahead.propose(candidate)
        asked.append(candidate)
    return asked


def uncertain_objective(objectives: Sequence[str], costs: Mapping[str, float]) -> str:
    """The one objective that the costs of a candidate do not give.

    Raises:
        InputError: There is none, or there are several.
    """
    unknown = [name for name in objectives if name not in costs]
    if len(unknown) != 1:
        raise InputError(
            "the Gaussian-process and morphism stages model exactly one objective; unknown before training: "
            f"{', '.join(unknown) or 'none'}. Let the problem's `costs` give all objectives but one"
        )
    return unknown[0]
