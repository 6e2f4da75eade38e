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
from collections.abc import Mapping, Sequence

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

    What it has read of a study is kept: asked again after a few more trials, it reads those alone.

    Args:
        screen: Gives the costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._known: dict[int, list[float]] = {}
        self._begin(Study(()))

    def _begin(self, study: Study) -> None:
        self._study, self._read = study, 0
        self._finished: list[Trial] = []
        self._unread: dict[_Kind, list[Trial]] = {}
        self._rivals: dict[_Kind, _Rivals] = {}
        self._judged = 0, MARGINS[0]

    def bars(self, study: Study, candidate: Candidate) -> dict[int, float]:
        """The error at each rung above which a candidate is given up; infinite where nothing speaks against it."""
        margin, factors = self.margin(study), rungs(candidate.epochs)
        kind = _kind(candidate)
        rivals = self._rivals.setdefault(kind, _Rivals())
        for trial in self._unread.pop(kind, ()):
            rivals.add(trial, self._costs(study, trial.candidate))
        best = rivals.best(candidate, self._costs(study, candidate))
        return {rung: error / (1 - margin * factors[rung]) if margin < 1 else math.inf for rung, error in best.items()}

    def margin(self, study: Study) -> float:
        """The smallest margin that would have been harmless so far; 1, by which nothing is given up, if none was."""
        self._catch_up(study)
        count = len(self._finished) // _TELLING * _TELLING
        if count and count != self._judged[0]:
            self._judged = count, self._calibrated(study, self._finished[max(count - _JUDGED, 0) : count])
        return self._judged[1]

    def _catch_up(self, study: Study) -> None:
        if study is not self._study:
            self._begin(study)
        for trial in study.trials[self._read :]:
            if trial.curve:
                self._unread.setdefault(_kind(trial.candidate), []).append(trial)
                self._finished += [trial] if trial.status == "complete" else []
        self._read = len(study.trials)

    def _calibrated(self, study: Study, finished: Sequence[Trial]) -> float:
        on_front = non_dominated(study.values(finished))
        earlier: dict[_Kind, _Rivals] = {}
        leads = []
        for trial in finished:
            rivals = earlier.setdefault(_kind(trial.candidate), _Rivals())
            costs = self._costs(study, trial.candidate)
            leads.append(_lead(trial, rivals.best(trial.candidate, costs)))
            rivals.add(trial, costs)
        harmless = (margin for margin in MARGINS if np.mean(on_front & (np.array(leads) > margin)) <= FALSE_STOPS)
        return next(harmless, 1.0)

    def _costs(self, study: Study, candidate: Candidate) -> list[float]:
        """Those of the objectives that are known."""
        if candidate.number not in self._known:
            costs = self._screen.costs(candidate.parameters)
            self._known[candidate.number] = [costs[name] for name in study.objectives if name in costs]
        return self._known[candidate.number]


_Kind = tuple[int, bool]


def _kind(candidate: Candidate) -> _Kind:
    """What comparable candidates share: the epochs, and whether their weights are inherited."""
    return candidate.epochs, candidate.parent is not None


def _lead(trial: Trial, best: Mapping[int, float]) -> float:
    """The largest margin by which the error of a trial was above that of an earlier one at some rung."""
    factors = rungs(trial.candidate.epochs)
    leads = ((1 - error / max(trial.curve[rung], 1e-9)) / factors[rung] for rung, error in best.items())
    return max(leads, default=0.0)


class _Rivals:
    """Comparable trials; at each rung those only that no other undercuts both in error and in all costs."""

    def __init__(self) -> None:
        self._at: dict[int, list[tuple[float, list[float]]]] = {}

    def add(self, trial: Trial, costs: list[float]) -> None:
        """Takes a trial in."""
        for rung, error in trial.curve.items():
            rivals = self._at.setdefault(rung, [])
            if not any(other <= error and _no_more(cost, costs) for other, cost in rivals):
                rivals[:] = [each for each in rivals if not (error <= each[0] and _no_more(costs, each[1]))]
                rivals.append((error, costs))

    def best(self, candidate: Candidate, costs: list[float]) -> dict[int, float]:
        """The smallest error at each rung of what costs no more; infinite if there is none."""
        return {
            rung: min((error for error, cost in self._at.get(rung, ()) if _no_more(cost, costs)), default=math.inf)
            for rung in rungs(candidate.epochs)
        }


def _no_more(costs: Sequence[float], others: Sequence[float]) -> bool:
    return all(own <= other for own, other in zip(costs, others, strict=True))
