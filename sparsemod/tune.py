"""sparsemod inside Ray Tune, for those who live there: a searcher, a scheduler and a trainable.

    search = SparseSearch(problem, device="microbit-v2", r1=20, r2=20, r3=20)
    tuner = tune.Tuner(
        tune.with_resources(trainable(problem, device="microbit-v2"), {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=search, num_samples=-1, max_concurrent_trials=4),
    )
    tuner.fit()
    search.study.pareto_front()

A search that was interrupted goes on by `tune.Tuner.restore(path, trainable=...)`, which makes a searcher of its own;
`search.restore_from_dir(path)` reads what that has found.

Tune knows one metric. It gets the first objective; the study behind the searcher gets them all.
"""

import math
import pickle
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sparsemod.config import Config, from_keywords
from sparsemod.early_stopping import EarlyStopping
from sparsemod.evaluate import Weights, evaluate, problem_of
from sparsemod.loop import begin
from sparsemod.problem import Problem
from sparsemod.samplers.finish import Finish
from sparsemod.study import Candidate, Study, Trial


class SparseSearch(Searcher):
    """The stages of a search as a searcher of Tune.

    A trial's `config` is one candidate: `parameters`, `epochs`, `number`, `origin` and `parent`; see `trainable`.

    Args:
        problem: What to search, or its place as `module:name` or `file.py:name`.
        keywords: As those of `sparsemod.search`: `device`, `objectives`, `r1`, `sampler1`, `seed` and so on.

    Attributes:
        config: Of the search.
        study: What was found so far.

    Raises:
        InputError: Something cannot be used.
    """

    def __init__(self, problem: Problem | str, **keywords: Any) -> None:
        self._begin(from_keywords(problem=problem, **keywords))

    def _begin(self, config: Config) -> None:
        self.config = config
        self._screen, self.study, self._stages = begin(config)
        self._stopping = EarlyStopping(self._screen)
        self._given: dict[str, int] = {}
        self._curves: dict[str, dict[int, float]] = {}
        self._stopped: set[str] = set()
        self._shelf = f"sparsemod-{uuid.uuid4().hex}"
        super().__init__(metric=self.study.objectives[0], mode="min")

    # --- what Tune calls ---------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> Any:
        """The next candidate; None while a stage waits for its last results, and FINISHED in the end."""
        waiting = [each for each in self.study.pending if each.number not in self._given.values()]
        if not waiting:
            for stage in self._stages:
                wanted = min(stage.batch, stage.remaining(self.study))
                waiting = stage.ask(self.study, wanted) if wanted > 0 else []
                if waiting:
                    break
                if any(each.origin == stage.origin for each in self.study.pending):
                    return None
            if not waiting:
                return Searcher.FINISHED
            for each in waiting:
                self.study.propose(each)
        self._given[trial_id] = waiting[0].number
        return self._settings(waiting[0])

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Notes the error of a trainable that reports it after every epoch."""
        if "status" not in result and "error" in result:
            self._curves.setdefault(trial_id, {})[int(result["training_iteration"])] = float(result["error"])

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Takes a trial into the study, with all of its objectives."""
        if trial_id in self._given:
            self.study.add(self._trial(trial_id, result or {}))

    def save(self, checkpoint_path: str) -> None:
        """Writes what was proposed and found to a file, with the weights that later candidates may begin with."""
        with open(checkpoint_path, "wb") as file:
            pickle.dump(self._state(), file)

    def restore(self, checkpoint_path: str) -> None:
        """Goes on from such a file: what is proposed next is what would have been."""
        with open(checkpoint_path, "rb") as file:
            self._resume(pickle.load(file))

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, **self._state()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._begin(state["config"])
        self._resume(state)

    # --- a study behind it -------------------------------------------------------------------------------------------

    def candidate(self, trial_id: str) -> Candidate | None:
        """What a trial of Tune evaluates, while it runs."""
        number = self._given.get(trial_id, -1)
        return next((each for each in self.study.pending if each.number == number), None)

    def bars(self, candidate: Candidate) -> dict[int, float]:
        """The error at each rung above which a candidate is given up."""
        if "error" not in self.study.objectives or candidate.origin == Finish.name:
            return {}
        bars = self._stopping.bars(self.study, candidate)
        return bars if self.config.train.early_stopping else dict.fromkeys(bars, math.inf)

    def give_up(self, trial_id: str) -> None:
        """Says that a trial ends early: what it reported last is no score."""
        self._stopped.add(trial_id)

    def _settings(self, candidate: Candidate) -> dict[str, Any]:
        """What a trial of Tune is told."""
        if problem_of(self.config).objective is not None:
            return asdict(candidate)
        parent = None if candidate.parent is None else dict(self.study[candidate.parent].candidate.parameters)
        _shelf(self._shelf)
        return {**asdict(candidate), "inherits": parent, "bars": self.bars(candidate), "shelf": self._shelf}

    def _trial(self, trial_id: str, result: Mapping[str, Any]) -> Trial:
        candidate = next(each for each in self.study.candidates if each.number == self._given[trial_id])
        curve = dict(result["curve"]) if "curve" in result else self._curves.pop(trial_id, {})
        seconds = float(result.get("time_total_s", 0))
        if trial_id in self._stopped:
            return Trial(candidate, "stopped", reason="given up while training", seconds=seconds, curve=curve)
        if "status" in result:  # of `trainable`
            score = {name: result[name] for name in result["figures"]}
            return Trial(candidate, result["status"], score, result["reason"], seconds, curve=curve)
        missing = [name for name in self.study.objectives if name not in result]
        if missing:
            return Trial(candidate, "failed", reason=f"it reported no {', '.join(missing)}", seconds=seconds)
        costs = dict(self._screen.costs(candidate.parameters))
        score = {
            name: float(result[name]) for name in {**costs, **dict.fromkeys(self.study.objectives)} if name in result
        }
        return Trial(candidate, "complete", {**costs, **score}, seconds=seconds, curve=curve)

    def _state(self) -> dict[str, Any]:
        needed = {trial.number for trial in self.study.pareto_front()} | {each.parent for each in self.study.pending}
        return {
            "candidates": self.study.candidates,
            "trials": self.study.trials,
            "given": self._given,
            "curves": self._curves,
            "stopped": self._stopped,
            "shelf": self._shelf,
            "weights": ray.get(_shelf(self._shelf).some.remote(needed)) if ray.is_initialized() else {},
        }

    def _resume(self, state: Mapping[str, Any]) -> None:
        before = self.study
        self.study = Study(before.objectives, before.limits, before.reference, before.seed)
        for candidate in state["candidates"]:
            self.study.propose(candidate)
        for trial in state["trials"]:
            self.study.add(trial)
        self._given, self._curves, self._stopped = dict(state["given"]), dict(state["curves"]), set(state["stopped"])
        self._shelf = state["shelf"]  # which trials that are run again ask by its name
        if ray.is_initialized():
            _shelf(self._shelf).put_all.remote(state["weights"])


class CostAwareStopping(FIFOScheduler):
    """Ends a trial once a network that costs no more in any objective was clearly better at the same epoch.

    For a trainable of one's own that reports `error` after every epoch; `trainable` sees to it by itself. Errors alone
    are never compared, as successive halving does: it would end every small network. See `sparsemod.early_stopping`.

    Args:
        search: The searcher of the same `Tuner`.
    """

    def __init__(self, search: SparseSearch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search = search

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Whether a trial goes on."""
        candidate = self._search.candidate(trial.trial_id)
        if candidate is None or "status" in result or "error" not in result:
            return str(TrialScheduler.CONTINUE)
        bar = self._search.bars(candidate).get(int(result["training_iteration"]), math.inf)
        if result["error"] <= bar:
            return str(TrialScheduler.CONTINUE)
        self._search.give_up(trial.trial_id)
        return str(TrialScheduler.STOP)


def trainable(problem: Problem | str, **keywords: Any) -> Callable[[Mapping[str, Any]], None]:
    """A trainable that scores a candidate of `SparseSearch` as `sparsemod.search` does.

    Every trial of Tune is a process of its own, which loads the data anew; `reuse_actors=True` keeps it.

    Args:
        problem: As that of the searcher.
        keywords: As those of the searcher; what only concerns proposing may be left out.
    """
    config = from_keywords(problem=problem, **keywords)

    def train(settings: Mapping[str, Any]) -> None:
        candidate = Candidate(*(settings[name] for name in ("number", "parameters", "epochs", "origin", "parent")))
        shelf = ray.get_actor(settings["shelf"]) if "shelf" in settings else None
        weights: Any = ray.get(shelf.get.remote(candidate.parent)) if shelf and candidate.parent is not None else None
        outcome = evaluate(candidate, config, weights, settings.get("inherits"), settings.get("bars", {}))
        if shelf and outcome.weights is not None:
            ray.get(shelf.put_all.remote({candidate.number: outcome.weights}))
        trial = outcome.trial
        known = {name: math.nan for name in config.train.objectives} | dict(trial.score)
        lists = {"figures": list(trial.score), "curve": list(trial.curve.items())}  # Tune would flatten dictionaries
        tune.report({**known, "status": trial.status, "reason": trial.reason, **lists})

    return train


class _Shelf:
    """Trained weights by number of the trial: an actor, for the processes of Tune share no disk."""

    def __init__(self) -> None:
        self._weights: dict[int, Weights] = {}

    def put_all(self, weights: Mapping[int, Weights]) -> None:
        self._weights.update(weights)

    def get(self, number: int) -> Weights | None:
        return self._weights.get(number)

    def some(self, numbers: set[int]) -> dict[int, Weights]:
        return {number: self._weights[number] for number in numbers if number in self._weights}


def _shelf(name: str) -> Any:
    """The shelf of that name; made if it is not there."""
    return ray.remote(num_cpus=0)(_Shelf).options(name=name, get_if_exists=True, lifetime="detached").remote()
