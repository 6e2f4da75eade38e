"""Any sampler of Optuna [Akiba2019].

[Akiba2019] Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019, arXiv 1907.10902.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.samplers.fitting import Draft, Fitting
from sparsemod.samplers.telling import excesses, flat, misfit_costs, values_or_medians
from sparsemod.space import Choice, Float, Int, SearchSpace
from sparsemod.study import Candidate, Study

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_TRIES = 20
"""Proposals of Optuna for each of ours: what it is told of those that do not fit is forgotten at the next."""
_POPULATION = 20
"""Of NSGA-II: its own 50 would make most stages one generation, which is random."""


def _tpe(seed: int) -> "BaseSampler":
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True)


def _nsga2(seed: int) -> "BaseSampler":
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=_POPULATION)


def _gp(seed: int) -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


class Optuna:
    """What a sampler of Optuna proposes, told of all trials anew for each proposal.

    Every objective is told as a value, the limits as constraints. Within one proposal the sampler is also told of the
    networks it proposed that do not fit. Inactive parameters have their middle value. A sampler that counts generations
    finds them by the order of the trials; one that leaves other notes at trials or study, as CMA-ES and QMC do, begins
    anew each time.

        # sampler2 = mine.py:narrow
        narrow = functools.partial(Optuna, make=lambda seed: optuna.samplers.TPESampler(seed=seed, n_ei_candidates=8))

    Args:
        screen: Of the problem; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the search.
        make: Makes the sampler from a seed; multivariate TPE if not given.

    Raises:
        InputError: Optuna is not installed.
    """

    name = "optuna"

    def __init__(self, screen: Screen, epochs: int, seed: int, make: "Callable[[int], BaseSampler]" = _tpe) -> None:
        if find_spec("optuna") is None:
            raise InputError("Optuna is not installed, which this sampler needs: pip install 'sparsemod[optuna]'")
        self._space, self._screen, self._make = screen.problem.space, screen, make
        self._fitting = Fitting(screen, epochs, seed, self.name, _TRIES)

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """What Optuna proposes, one after the other, each pending for the next."""
        return self._fitting.ask(study, n, self._drafts)

    def _drafts(self, study: Study, rng: np.random.Generator) -> Iterator[Draft]:
        distributions = _distributions(self._space)
        peer = self._told(study, distributions, int(rng.integers(2**31)))
        while True:
            trial = peer.ask(distributions)
            parameters = self._space.canonical(trial.params)
            yield parameters, None
            costs = misfit_costs(self._screen, parameters)
            if costs is None or not study.completed():
                continue  # pending, which samplers keep away from
            for name, excess in excesses(costs, study.limits).items():
                trial.set_constraint(name, excess)
            peer.tell(trial, values_or_medians(study, costs))

    def _told(self, study: Study, distributions: "dict[str, BaseDistribution]", seed: int) -> "optuna.Study":
        """A study of Optuna that knows all trials of ours."""
        from optuna.samplers import BaseGASampler
        from optuna.trial import TrialState

        sampler = self._make(seed)
        peer = _new_study(len(study.objectives), sampler)
        for number, trial in enumerate(study.trials):
            peer.add_trial(self._begun(trial.candidate, distributions, excesses(trial.score, study.limits)))
            if trial.status != "complete":
                peer.tell(number, state=TrialState.FAIL)
                continue
            if isinstance(sampler, BaseGASampler):  # notes the generation at the trial, as if it had proposed it
                sampler.get_trial_generation(peer, peer.get_trials(deepcopy=False)[number])
            peer.tell(number, [trial.score[name] for name in study.objectives])
        for candidate in study.pending:
            peer.add_trial(self._begun(candidate, distributions, {}))
        return peer

    def _begun(
        self, candidate: Candidate, distributions: "dict[str, BaseDistribution]", constraints: dict[str, float]
    ) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        values = flat(self._space, candidate.parameters)
        return create_trial(
            state=TrialState.RUNNING, params=values, distributions=distributions, constraints=constraints
        )


nsga2 = partial(Optuna, make=_nsga2)
"""NSGA-II."""

gp = partial(Optuna, make=_gp)
"""Gaussian processes of all objectives and constraints, and the logarithm of expected hypervolume improvement."""


def _distributions(space: SearchSpace) -> "dict[str, BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, parameter in space.items():
        match parameter:
            case Int():
                found[name] = IntDistribution(parameter.low, parameter.high, log=parameter.log)
            case Float():
                found[name] = FloatDistribution(parameter.low, parameter.high, log=parameter.log)
            case Choice():
                found[name] = CategoricalDistribution(tuple(parameter.options))
    return found


def _new_study(objectives: int, sampler: "BaseSampler") -> "optuna.Study":
    """A study that minimises, made without a line of log: there is one for each proposal."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(level)
