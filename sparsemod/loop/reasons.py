"""Why a stage or a search proposes no more."""

import math
from collections.abc import Sequence

from sparsemod.config import Config
from sparsemod.errors import SparsemodError
from sparsemod.execute import workers
from sparsemod.loop.stages import Stage
from sparsemod.samplers.finish import Finish
from sparsemod.study import Study


class Reasons:
    """What ends a stage, or the whole search.

    Args:
        config: Has the limits.
        study: As it is when a search begins or goes on; grows.
        stages: All of them.
    """

    def __init__(self, config: Config, study: Study, stages: Sequence[Stage]) -> None:
        self._config, self._study, self._stages = config, study, stages
        self._resumed = len(study.trials)
        self._before_window, self._after_window = _Growth(study), _Growth(study)

    def to_stop(self, stage: Stage, elapsed: float) -> str:
        """Why the search ends, after so many seconds."""
        train, study = self._config.train, self._study
        # what failed before a resume may be mended
        recent = study.trials[max(self._resumed, len(study.trials) - train.max_failures) :]
        if len(recent) == train.max_failures and all(trial.status == "failed" for trial in recent):
            raise SparsemodError(
                f"{train.max_failures} candidates in a row failed, so the search stops; the last one said\n"
                f"{recent[-1].reason.rstrip()}"
            )
        if train.time_limit and elapsed + self._seconds_to_finish(stage) >= train.time_limit:
            return f"time limit of {train.time_limit:g} s reached"
        if train.min_error and stage.candidates is not None:
            best = min((trial.score.get("error", math.inf) for trial in study.pareto_front()), default=math.inf)
            if best <= train.min_error:
                return f"an error of {best:.4g} is small enough (min_error {train.min_error:g})"
        return ""

    def _seconds_to_finish(self, stage: Stage) -> float:
        """Time to keep for the finish while other stages run; half of it all at most, or there is little to finish."""
        last = self._stages[-1]
        if stage is last or not isinstance(last.sampler, Finish):
            return 0.0
        return min(last.sampler.seconds(self._study) / workers(self._config), self._config.train.time_limit / 2)

    def to_ask_no_more(self, stage: Stage) -> str:
        """Why the stage ends: the hypervolume had all but stopped growing by the last trial of a stage.

        Judged by the record alone and between rounds, so that a stage that ended stays ended when a search resumes.
        """
        train, trials = self._config.train, self._study.trials
        window = train.patience * stage.batch
        if not train.tolerance or stage.candidates is None or stage.done(self._study) < window:
            return ""
        end = next(place for place in range(len(trials), 0, -1) if trials[place - 1].candidate.origin == stage.origin)
        old, new = self._before_window.hypervolume(end - window), self._after_window.hypervolume(end)
        if new - old > train.tolerance * new:
            return ""
        return f"hypervolume grew by less than {train.tolerance:g} in {train.patience} rounds"


class _Growth:
    """A study as it was after ever more of its trials, judged as it is now."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._then = Study(study.objectives)

    def hypervolume(self, count: int) -> float:
        """Of the first trials."""
        study, reference = self._study, self._study.reference_point()
        if self._then.reference != reference or len(self._then) > count:
            self._then = Study(study.objectives, study.limits, reference)
        for trial in study.trials[len(self._then) : count]:
            self._then.add(trial)
        return self._then.hypervolume()
