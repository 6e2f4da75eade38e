"""When a candidate is given up while it trains: where another one, costlier in nothing, was clearly better by then.

Costs are known before training, so the error that a candidate needs is known, too. At three rungs its validation error
is held against that of every comparable trial that costs no more in any objective: trained for as many epochs, from
inherited weights or not. Where one of them had, at this very rung, an error lower by a margin, the candidate will not
reach the front. Errors alone are never compared: this would end every small network, for those learn less.

Early errors tell less, so the lead must be larger there: by 4/3, 1 and 2/3 of the margin at the three rungs. The
margin is the smallest of `MARGINS` that would have given up at most `FALSE_STOPS` of the finished trials although they
stand on the front of them. Those that were given up cannot be judged any more; so the smallest margin is one that was
harmless in searches that gave nothing up (`benchmarks/early_stopping.py`).
"""

import math
from collections.abc import Sequence

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.pareto import non_dominated
from sparsemod.study import Candidate, Study, Trial

MARGINS = (0.3, 0.4, 0.5)
"""Shares by which an error must be lower, at the middle rung."""
FALSE_STOPS = 0.02
"""Largest share of finished trials that a margin may give up wrongly."""

_RUNGS = {0.1: 4 / 3, 0.3: 1.0, 0.6: 2 / 3}
"""Shares of the epochs at which candidates are compared, and by how much of the margin an error must be lower there."""
_TELLING, _JUDGED = 10, 300
"""Finished trials after which, again and again, the margin is judged by them; the latest are."""


def rungs(epochs: int) -> dict[int, float]:
    """Epochs after which a candidate is compared, all below those it trains for, and the share of the margin there."""
    found: dict[int, float] = {}
    for share, factor in _RUNGS.items():
        rung = math.ceil(share * epochs)
        if rung < epochs:
            found.setdefault(rung, factor)
    return found


class EarlyStopping:
    """Says up to which error a candidate is trained on.

    Args:
        screen: Gives the costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._known: dict[int, list[float]] = {}
        self._judged = 0, MARGINS[0]

    def bars(self, study: Study, candidate: Candidate) -> dict[int, float]:
        """The error at each rung above which a candidate is given up; infinite where nothing speaks against it."""
        margin, factors = self.margin(study), rungs(candidate.epochs)
        best = self._best(study, candidate, study.trials)
        return {rung: error / (1 - margin * factors[rung]) if margin < 1 else math.inf for rung, error in best.items()}

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
        """The largest margin by which the error of a trial was above that of an earlier one at some rung."""
        best, factors = self._best(study, trial.candidate, before), rungs(trial.candidate.epochs)
        leads = ((1 - error / max(trial.curve[rung], 1e-9)) / factors[rung] for rung, error in best.items())
        return max(leads, default=0.0)

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
