"""When a candidate is given up while it trains: where another one, costlier in nothing, was clearly better by then.

Costs are known before training, so the error that a candidate needs is known, too. At three rungs its validation error
is held against that of every comparable trial that costs no more in any objective: trained for as many epochs, from
inherited weights or not. Where one of them had, at this very rung, an error lower by a margin, the candidate will not
reach the front. Errors alone are never compared: this would end every small network, for those learn less.

The margin is the smallest of `MARGINS` that would have given up at most `FALSE_STOPS` of the finished trials although
they stand on the front of them; without enough trials to tell it is the middle one.
"""

import math
from collections.abc import Sequence

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.pareto import non_dominated
from sparsemod.study import Candidate, Study, Trial

MARGINS = (0.2, 0.25, 0.3, 0.4, 0.5)
"""Shares by which an error must be lower."""
FALSE_STOPS = 0.02
"""Largest share of finished trials that a margin may give up wrongly."""

_RUNGS = (0.1, 0.3, 0.6)
"""Shares of the epochs at which candidates are compared."""
_TELLING, _JUDGED = 10, 300
"""Finished trials after which, again and again, the margin is judged by them; the latest are."""


def rungs(epochs: int) -> list[int]:
    """Epochs after which a candidate is compared, all below those it trains for."""
    return sorted({rung for share in _RUNGS if (rung := math.ceil(share * epochs)) < epochs})


class EarlyStopping:
    """Says up to which error a candidate is trained on.

    Args:
        screen: Gives the costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._known: dict[int, list[float]] = {}
        self._judged = 0, MARGINS[len(MARGINS) // 2]

    def bars(self, study: Study, candidate: Candidate) -> dict[int, float]:
        """The error at each rung above which a candidate is given up; infinite where nothing speaks against it."""
        margin = self.margin(study)
        best = self._best(study, candidate, study.trials)
        return {rung: error / (1 - margin) if margin < 1 else math.inf for rung, error in best.items()}

    def margin(self, study: Study) -> float:
        """The smallest margin that would have been harmless so far; 1, by which nothing is given up, if none was."""
        finished = [trial for trial in study.completed() if trial.curve]
        count = len(finished) // _TELLING * _TELLING
        if count and count != self._judged[0]:
            self._judged = count, self._calibrated(study, finished[:count][-_JUDGED:])
        return self._judged[1]

    def _calibrated(self, study: Study, finished: Sequence[Trial]) -> float:
        on_front = non_dominated(study.values(finished))
        leads = np.array([self._lead(study, trial, finished[:place]) for place, trial in enumerate(finished)])
        harmless = (margin for margin in MARGINS if np.mean(on_front & (leads > margin)) <= FALSE_STOPS)
        return next(harmless, 1.0)

    def _lead(self, study: Study, trial: Trial, before: Sequence[Trial]) -> float:
        """Largest share, over the rungs, by which the error of a trial was above that of an earlier one."""
        best = self._best(study, trial.candidate, before)
        return max((1 - error / max(trial.curve[rung], 1e-9) for rung, error in best.items()), default=0.0)

    def _best(self, study: Study, candidate: Candidate, trials: Sequence[Trial]) -> dict[int, float]:
        """The smallest error at each rung of what is comparable and costs no more; infinite if there is none."""
        costs = self._costs(study, candidate)
        rivals = [
            trial.curve
            for trial in trials
            if trial.curve
            and trial.candidate.epochs == candidate.epochs
            and (trial.candidate.parent is None) == (candidate.parent is None)
            and all(own <= other for own, other in zip(self._costs(study, trial.candidate), costs, strict=True))
        ]
        return {
            rung: min((curve[rung] for curve in rivals if rung in curve), default=math.inf)
            for rung in rungs(candidate.epochs)
        }

    def _costs(self, study: Study, candidate: Candidate) -> list[float]:
        """Those of the objectives that are known."""
        if candidate.number not in self._known:
            costs = self._screen.costs(candidate.parameters)
            self._known[candidate.number] = [costs[name] for name in study.objectives if name in costs]
        return self._known[candidate.number]
