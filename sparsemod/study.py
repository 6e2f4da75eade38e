"""`Candidate`, `Trial`, `Study`: what was proposed, what came of it, and all of it together, as plain data."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sparsemod.errors import InputError
from sparsemod.objectives import column
from sparsemod.pareto import hypervolume, knee, non_dominated
from sparsemod.space import Parameters

if TYPE_CHECKING:
    import pandas as pd

    from sparsemod.graph import Graph


Score = Mapping[str, float]
"""Figures by name: error (share of wrong answers on validation), float_error (the same before quantization), model_size
(bytes of flash), working_memory (bytes of RAM), latency (ms), energy (mJ, where the power is known), macs, params and
nnz (counts), or whatever the problem returns. All objectives are minimised."""


_TELLING = 10
"""Completed trials that tell what values an objective takes."""

_POINT = 0.01
"""One point of accuracy."""


@dataclass(frozen=True)
class Candidate:
    """What to evaluate.

    Attributes:
        number: Position in the study, from 0; with the study's seed it fixes every random number of the trial.
        parameters: A member of the space, in canonical form.
        epochs: To train for.
        origin: The sampler that proposed it.
        parent: Number of the trial whose weights it starts from.
    """

    number: int
    parameters: Parameters
    epochs: int
    origin: str
    parent: int | None = None


@dataclass(frozen=True)
class Trial:
    """What came of a candidate.

    Attributes:
        candidate: What was evaluated.
        status: complete, infeasible (with the reason), stopped (given up while training) or failed (with the
            traceback).
        score: Figures by name; empty unless complete.
        reason: Why it is not complete.
        seconds: Wall time of the evaluation.
        elapsed: Wall time of the whole search when the trial was recorded.
        curve: Validation error while training, before quantization, by the epochs done.
    """

    candidate: Candidate
    status: str
    score: Score = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    elapsed: float = 0.0
    curve: Mapping[int, float] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of the candidate."""
        return self.candidate.number


class Study:
    """Trials and what they are judged by. It only grows: candidates are proposed, later their trials are added.

    Attributes:
        objectives: Names of the minimised figures, M.
        limits: Hard upper limits by name.
        reference: The worst value of each objective that still counts for the hypervolume, where it is given; see
            `reference_point`.
        seed: Of the search.
        trials: In the order in which they ended.
        pending: Candidates proposed whose trial has not ended, in order.
    """

    def __init__(
        self,
        objectives: Sequence[str],
        limits: Mapping[str, float] | None = None,
        reference: Mapping[str, float] | None = None,
        seed: int = 0,
        models: "Callable[[int], Graph] | None" = None,
    ) -> None:
        self.objectives = tuple(objectives)
        self.limits = dict(limits or {})
        self.reference = dict(reference or {})
        self.seed = seed
        self.trials: list[Trial] = []
        self._pending: dict[int, Candidate] = {}
        self._candidates: dict[int, Candidate] = {}
        self._by_origin: dict[str, list[Candidate]] = {}
        self._next = 0
        self._by_number: dict[int, Trial] = {}
        self._statuses: Counter[str] = Counter()
        self._completed: list[Trial] = []
        self._shorter: set[int] = set()  # completed trials whose very network was trained on
        self._front: tuple[int, list[Trial]] = (0, [])  # of the first so many completed trials
        self._models = models

    def __repr__(self) -> str:
        front = len(self.pareto_front())
        return f"<Study of {len(self.trials)} trials on {', '.join(self.objectives)}; {front} on the front>"

    @property
    def pending(self) -> list[Candidate]:
        """Candidates whose trial has not ended, in the order of their proposal."""
        return list(self._pending.values())

    @property
    def candidates(self) -> list[Candidate]:
        """Every candidate ever proposed, in order."""
        return list(self._candidates.values())

    @property
    def next_number(self) -> int:
        """Number of the next candidate."""
        return self._next

    def proposed(self, origin: str) -> Sequence[Candidate]:
        """Every candidate that one sampler ever proposed, in order."""
        return self._by_origin.get(origin, ())

    def propose(self, candidate: Candidate) -> None:
        """Adds a candidate; it is pending until its trial is added. One that is there already is not added again."""
        if candidate.number not in self._candidates:
            self._candidates[candidate.number] = candidate
            self._by_origin.setdefault(candidate.origin, []).append(candidate)
            self._next = max(self._next, candidate.number + 1)
        if candidate.number not in self._by_number:
            self._pending[candidate.number] = candidate

    def add(self, trial: Trial) -> None:
        """Adds a trial. A second trial of the same candidate is ignored: a result may arrive twice after a retry."""
        if trial.number in self._by_number:
            return
        if trial.number not in self._pending:
            self.propose(trial.candidate)
        del self._pending[trial.number]
        self._by_number[trial.number] = trial
        self.trials.append(trial)
        self._statuses[trial.status] += 1
        if trial.status == "complete":
            self._completed.append(trial)
            if self._is_trained_on(trial.candidate):
                assert trial.candidate.parent is not None
                self._shorter.add(trial.candidate.parent)

    def copy(self) -> "Study":
        """A study of the same trials that grows on its own."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (list, dict, set)):
                setattr(twin, name, copy(value))
        twin._by_origin = {origin: list(candidates) for origin, candidates in self._by_origin.items()}
        return twin

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __getitem__(self, number: int) -> Trial:
        if number not in self._by_number:
            raise InputError(f"the study has no finished trial {number}")
        return self._by_number[number]

    def has(self, number: int) -> bool:
        """Whether the trial of a candidate has ended."""
        return number in self._by_number

    def count(self, status: str) -> int:
        """Number of trials that ended in a status."""
        return self._statuses[status]

    def completed(self) -> list[Trial]:
        """Trials with a score, in the order in which they ended."""
        return list(self._completed)

    def epochs_seen(self, candidate: Candidate) -> int:
        """Epochs that the weights of a candidate are trained for in the end, those of its ancestors counted."""
        epochs = candidate.epochs
        while candidate.parent is not None:
            candidate = self._candidates[candidate.parent]
            epochs += candidate.epochs
        return epochs

    def values(self, trials: Iterable[Trial]) -> NDArray[np.float64]:
        """Objective values of some trials, (T, M)."""
        rows = [[trial.score[name] for name in self.objectives] for trial in trials]
        return np.asarray(rows, dtype=float).reshape(-1, len(self.objectives))

    def obeys_limits(self, score: Score) -> bool:
        """Whether a score is within every hard limit."""
        return all(score[name] <= limit for name, limit in self.limits.items() if name in score)

    def counting(self) -> list[Trial]:
        """The completed trials within all limits; of a network that was trained on, the longest training alone."""
        return [trial for trial in self._completed if self._counts(trial)]

    def _counts(self, trial: Trial) -> bool:
        return trial.number not in self._shorter and self.obeys_limits(trial.score)

    def pareto_front(self) -> list[Trial]:
        """The trials that count and that no other dominates, by rising error (or first objective)."""
        judged, front = self._front
        new = self._completed[judged:]
        if not self._shorter.isdisjoint(trial.candidate.parent for trial in new):
            front = self._best_of(self.counting())  # one that leaves may let others in
        elif new:
            front = self._best_of([*front, *(trial for trial in new if self._counts(trial))])
        self._front = judged + len(new), front  # in one step: a panel asks from another thread
        return list(front)

    def _best_of(self, trials: Sequence[Trial]) -> list[Trial]:
        values, numbers = self.values(trials), [trial.number for trial in trials]
        keep = non_dominated(values)
        return [trials[place] for place in np.lexsort((numbers, *values.T[::-1])) if keep[place]]

    def _is_trained_on(self, candidate: Candidate) -> bool:
        parent = candidate.parent
        return parent in self._candidates and self._candidates[parent].parameters == candidate.parameters

    def reference_point(self) -> dict[str, float]:
        """The worst value of each objective that still counts; where none is given, the largest of the first trials."""
        first = self._completed[:_TELLING]
        point = {}
        for name in self.objectives:
            seen = [] if name in self.reference else [trial.score[name] for trial in first]
            point[name] = self.reference.get(name, max(seen, default=0) or 1.0)
        return point

    def reference_basis(self) -> dict[str, str]:
        """How each value of the reference point is known: a limit, `max_error`, or inferred from what."""
        basis = {}
        for name in self.objectives:
            if name not in self.reference:
                basis[name] = "inferred from the first trials"
            elif name in self.limits:
                basis[name] = "limit"
            else:
                basis[name] = "max_error" if name == "error" else "inferred from candidates that fit"
        return basis

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """Share of the box between zero and the reference point that the front dominates.

        Args:
            reference: Worst value that counts, per objective; the study's own if not given.
        """
        point = self.reference_point() if reference is None else reference
        missing = [name for name in self.objectives if name not in point]
        if missing:
            raise InputError(f"hypervolume needs a reference value for {', '.join(missing)}")
        wrong = [f"{name} is {point[name]}" for name in self.objectives if not point[name] > 0]
        if wrong:
            raise InputError(f"hypervolume needs reference values above 0, but {', '.join(wrong)}")
        return hypervolume(self.values(self.pareto_front()), [point[name] for name in self.objectives])

    def to_rows(self, trials: Iterable[Trial]) -> list[dict[str, object]]:
        """One flat row per trial, units in the names; parameters follow the figures."""
        return [
            {
                "number": trial.number,
                "origin": trial.candidate.origin,
                "parent": trial.candidate.parent,
                "epochs": trial.candidate.epochs,
                "epochs_seen": self.epochs_seen(trial.candidate),
                "status": trial.status,
                **{column(name): value for name, value in trial.score.items()},
                **trial.candidate.parameters,
            }
            for trial in trials
        ]

    def to_pandas(self) -> "pd.DataFrame":
        """All trials as a table, units in the column names, by number."""
        import pandas as pd

        trials = sorted(self.trials, key=lambda trial: trial.number)
        rows = self.to_rows(trials)
        for row, trial in zip(rows, trials, strict=True):
            row |= {"reason": trial.reason, "seconds": trial.seconds, "elapsed_seconds": trial.elapsed}
        table = pd.DataFrame(rows)
        return table.astype({"parent": "Int64"}) if rows else table  # a missing parent must not make numbers floats

    def load_model(self, number: int) -> "Graph":
        """The network that was scored as trial `number`: `graph(x)` runs it, its costs are the recorded ones.

        Raises:
            InputError: Its file was not kept; the models of the front are.
        """
        if self._models is None:
            raise InputError("this study lives in memory only and keeps no models")
        return self._models(number)


def picks(study: Study) -> dict[str, Trial]:
    """The networks of the front to look at first, by why: each answers a question that people ask of a front.

    Returns:
        "most accurate that fits"; "smallest within 1 point": the least model size of those whose error is at most 0.01
        above that of the first; "knee": the one that gives up least in all objectives together. What an objective is
        missing for is left out.
    """
    front = study.pareto_front()
    if not front:
        return {}
    found = {}
    if all("error" in trial.score for trial in front):
        best = min(front, key=lambda trial: trial.score["error"])
        found["most accurate that fits"] = best
        if all("model_size" in trial.score for trial in front):
            largest = best.score["error"] + _POINT + 1e-9  # 0.06 + 0.01 is less than 0.07
            near = [trial for trial in front if trial.score["error"] <= largest]
            found["smallest within 1 point"] = min(near, key=lambda trial: trial.score["model_size"])
    if len(study.objectives) > 1:
        found["knee"] = front[knee(study.values(front))]
    return found
