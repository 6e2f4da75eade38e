"""Ax, as it comes: its own generation strategies [Olson2025].

[Olson2025] Ax: A Platform for Adaptive Experimentation, AutoML 2025.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.samplers.fitting import Draft, Fitting
from sparsemod.samplers.telling import flat, misfit_costs
from sparsemod.space import Choice, Int, Parameter, Parameters, Value
from sparsemod.space.parameters import has_one_value
from sparsemod.study import Candidate, Score, Study

if TYPE_CHECKING:
    from ax.api.client import Client
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
    from ax.generation_strategy.generation_strategy import GenerationStrategy

Method = Literal["fast", "quality", "random_search"]
"""Of Ax's `configure_generation_strategy`."""

_TRIES = 5
"""Proposals of Ax for each of ours: each takes seconds, and most fit, as it is told the costs."""


class Ax:
    """What Ax proposes, told of all trials anew for each proposal.

    Every objective is told as a value and has its reference point as threshold; limits on other figures are outcome
    constraints. Within one proposal Ax is also told the costs of the networks it proposed that do not fit. The space is
    flat, as hierarchical ones of Ax must be trees: inactive parameters have their middle value.

    Args:
        screen: Of the problem; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
        strategy: A method by Ax's own name; or a function that makes a `GenerationStrategy` from a seed.

    Raises:
        InputError: The strategy needs a package that is not installed.
    """

    name = "ax"

    def __init__(
        self,
        screen: Screen,
        epochs: int,
        seed: int,
        strategy: "Method | Callable[[int], GenerationStrategy]" = "fast",
    ) -> None:
        if strategy == "quality" and find_spec("numpyro") is None:
            raise InputError(
                "numpyro is not installed, which Ax's method 'quality' needs: pip install 'ax-platform[fully_bayesian]'"
            )
        self._space, self._screen, self._strategy = screen.problem.space, screen, strategy
        self._varying = {name: parameter for name, parameter in self._space.items() if not has_one_value(parameter)}
        self._fitting = Fitting(screen, epochs, seed, self.name, _TRIES)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """What Ax proposes, one after the other, each pending for the next."""
        return self._fitting.ask(study, n, self._drafts)

    def _drafts(self, study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        if not self._varying:
            return
        with _quiet():
            client = self._told(study, int(rng.integers(2**31)))
        while True:
            proposed = _next(client)
            if proposed is None:
                return
            number, point = proposed
            parameters = self._space.canonical(self._from_ax(point))
            yield parameters, None
            costs = misfit_costs(self._screen, parameters)
            if costs is not None:  # else it stays pending, and Ax keeps away from it
                with _quiet():
                    client.complete_trial(number, _metrics(study, costs))

    def _told(self, study: Study, seed: int) -> "Client":
        """A client that knows all trials of ours."""
        from ax.api.client import Client

        client = Client(random_seed=seed)
        client.configure_experiment([_configured(name, parameter) for name, parameter in self._varying.items()])
        client.configure_optimization(*_goals(study))
        if isinstance(self._strategy, str):
            client.configure_generation_strategy(
                self._strategy,
                initialization_random_seed=seed,
                initialize_with_center=False,  # a new client would leave it for a random point, and no further
                allow_exceeding_initialization_budget=True,
            )
        else:
            client.set_generation_strategy(self._strategy(seed))
        for trial in study.trials:
            number = client.attach_trial(self._to_ax(trial.candidate.parameters))
            if trial.status == "complete":
                client.complete_trial(number, _metrics(study, trial.score))
            else:
                client.mark_trial_abandoned(number)  # what is marked as failed may be proposed again
        for candidate in study.pending:
            client.attach_trial(self._to_ax(candidate.parameters))
        return client

    def _to_ax(self, parameters: Parameters) -> dict[str, Value]:
        values = flat(self._space, parameters)
        return {name: _index(parameter, values[name]) for name, parameter in self._varying.items()}

    def _from_ax(self, point: Mapping[str, Any]) -> dict[str, Value]:
        values = flat(self._space, {})
        for name, parameter in self._varying.items():
            if isinstance(parameter, Choice):
                values[name] = parameter.options[int(point[name])]
            else:  # logarithms round
                values[name] = min(max(point[name], parameter.low), parameter.high)
        return values


quality = partial(Ax, strategy="quality")
"""Fully Bayesian models; slow."""


def _configured(name: str, parameter: Parameter) -> "RangeParameterConfig | ChoiceParameterConfig":
    """A parameter as Ax wants it; options by position, as those of Ax must be of one type."""
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if isinstance(parameter, Choice):
        return ChoiceParameterConfig(name, list(range(len(parameter.options))), "int", is_ordered=False)
    kind: Literal["int", "float"] = "int" if isinstance(parameter, Int) else "float"
    return RangeParameterConfig(
        name, (parameter.low, parameter.high), kind, scaling="log" if parameter.log else "linear"
    )


def _index(parameter: Parameter, value: Value) -> Value:
    return parameter.options.index(value) if isinstance(parameter, Choice) else value


def _goals(study: Study) -> tuple[str, list[str]]:
    """Objectives and outcome constraints in the language of Ax."""
    objectives = ", ".join(f"-{_metric(position)}" for position in range(len(study.objectives)))
    bounds = study.limits | study.reference_point()
    bounded = list(enumerate(_figures(study)))
    if len(study.objectives) == 1:  # a single objective has no threshold in Ax
        bounded = bounded[1:]
    return objectives, [f"{_metric(position)} <= {float(bounds[name])!r}" for position, name in bounded]


def _metrics(study: Study, score: Score) -> dict[str, float]:
    """What is known of the figures of a network, by the names that Ax knows them by."""
    return {_metric(at): float(score[name]) for at, name in enumerate(_figures(study)) if name in score}


def _figures(study: Study) -> list[str]:
    """Objectives, and the other figures that have a limit and are in every score."""
    scores = [trial.score for trial in study.completed()]
    limited = [name for name in study.limits if name not in study.objectives]
    return [*study.objectives, *(name for name in limited if scores and all(name in score for score in scores))]


def _metric(position: int) -> str:
    """Ours may hold what is an operator to Ax."""
    return f"figure_{position}"


def _next(client: "Client") -> tuple[int, Mapping[str, Any]] | None:
    """Number and parameters of the next trial; None where Ax has no more, or wants to know the pending ones first."""
    from ax.exceptions.core import DataRequiredError, OptimizationComplete
    from ax.exceptions.generation_strategy import MaxParallelismReachedException

    try:
        with _quiet():
            trials = client.get_next_trials(1)
    except (DataRequiredError, MaxParallelismReachedException, OptimizationComplete):
        return None
    return next(iter(trials.items()), None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Ax's lines for every trial it is told of; all are told for each proposal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
