"""What is compared: each method is a coroutine that yields parameters and is sent what they measured.

Peers run as their users run them: all objectives are values to them, the limits are given as constraints, and a
candidate that breaks one costs a trial like any other.

syne-tune's own list of dependencies is long, and its EHVI needs none of them beyond what is here: it is no part of the
extra `benchmark` and is run where `pip install --no-deps syne-tune` was.
"""

import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from tasks import Task, Values

from sparsemod import Choice, Int, SearchSpace, Trial
from sparsemod.samplers import Bayes, Sobol
from sparsemod.space import Parameter, Parameters, Value

Asking = Generator[Parameters, Values, None]
Method = Callable[[Task, int], Asking]

_START = 8
"""Quasi-random candidates that ours begins with."""


# --- ours ------------------------------------------------------------------------------------------------------------


def ours(task: Task, seed: int, make: Callable[..., Any] = Bayes, start: int = _START, **settings: Any) -> Asking:
    """A few feasible quasi-random candidates, then expected hypervolume improvement."""
    study, screen = task.study(seed), task.screen()
    first, then = Sobol(screen, 1, seed), make(screen, 1, seed, **settings)
    while True:
        [candidate] = (first if len(study) < start else then).ask(study, 1)
        values = yield candidate.parameters
        study.add(Trial(candidate, "complete", values))


def sobol(task: Task, seed: int) -> Asking:
    """Quasi-random candidates that fit."""
    yield from ours(task, seed, start=10**9)


def random(task: Task, seed: int) -> Asking:
    """Uniform candidates, whether they fit or not."""
    rng = np.random.default_rng(seed)
    while True:
        yield task.space.sample(rng)


def evolution(task: Task, seed: int, population: int = 30, tournament: int = 5) -> Asking:
    """Aging evolution on random weighted Chebyshev norms, as in uNAS [Liberis2021]; a broken limit adds its share.

    [Liberis2021] uNAS: constrained neural architecture search for microcontrollers, EuroMLSys 2021.
    """
    rng = np.random.default_rng(seed)
    alive: list[tuple[Parameters, np.ndarray]] = []
    while True:
        if len(alive) < population:
            child: Parameters = task.space.sample(rng)
        else:
            weights = 1 / rng.uniform(0.01, 1, len(task.objectives))
            chosen = [alive[index] for index in rng.choice(len(alive), tournament, replace=False)]
            child = task.space.mutate(min(chosen, key=lambda each: (each[1] * weights).max())[0], rng)
        values = yield child
        scaled = np.array([values[name] / task.reference[name] for name in task.objectives])
        alive = [*alive, (child, scaled * (1 + np.clip(scaled - 1, 0, None).sum()))][-population:]


# --- Optuna ----------------------------------------------------------------------------------------------------------


def optuna(task: Task, seed: int, name: str, flat: bool = True, **settings: Any) -> Asking:
    """A sampler of Optuna by its name; flat: it is asked for all parameters, also for those that do not exist."""
    import optuna as library

    library.logging.set_verbosity(library.logging.ERROR)
    warnings.simplefilter("ignore")
    sampler = getattr(library.samplers, name)(seed=seed, **settings)
    study = library.create_study(directions=["minimize"] * len(task.objectives), sampler=sampler)
    while True:
        trial = study.ask()
        values = yield _suggested(task.space, trial, flat)
        for place, excess in enumerate(_excess(task, values)):
            trial.set_constraint(f"limit_{place}", excess)
        study.tell(trial, [values[name] for name in task.objectives])


def _suggested(space: SearchSpace, trial: Any, flat: bool) -> Parameters:
    found: dict[str, Value] = {}
    for name, parameter in space.items():
        if not flat and not space.is_active(name, found):
            continue
        if isinstance(parameter, Choice):
            found[name] = trial.suggest_categorical(name, list(parameter.options))
        else:
            suggest = trial.suggest_int if isinstance(parameter, Int) else trial.suggest_float
            found[name] = suggest(name, parameter.low, parameter.high, log=parameter.log)
    return space.canonical(found)


def _excess(task: Task, values: Values) -> list[float]:
    """Above zero where a limit is broken, or an objective is beyond the reference point."""
    bounds = {**task.reference, **task.limits}
    return [values[name] / bound - 1 if bound else values[name] for name, bound in bounds.items()]


# --- pymoo -----------------------------------------------------------------------------------------------------------


def pymoo(task: Task, seed: int, population: int = 20) -> Asking:
    """NSGA-II over mixed variables; inactive ones vary without effect."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core import mixed
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.problems.static import StaticProblem

    problem = Problem(
        vars=_variables(task.space), n_obj=len(task.objectives), n_ieq_constr=len({*task.limits, *task.objectives})
    )
    same = mixed.MixedVariableDuplicateElimination()
    mating = mixed.MixedVariableMating(eliminate_duplicates=same)
    algorithm = NSGA2(
        pop_size=population, sampling=mixed.MixedVariableSampling(), mating=mating, eliminate_duplicates=same
    )
    algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed)
    while True:
        asked = algorithm.ask()
        found = []
        for individual in asked:
            found.append((yield task.space.canonical(_back(task.space, individual.X))))
        objectives = np.array([[values[name] for name in task.objectives] for values in found])
        excess = np.array([_excess(task, values) for values in found])
        Evaluator().eval(StaticProblem(problem, F=objectives, G=excess), asked)
        algorithm.tell(infills=asked)


def _variables(space: SearchSpace) -> dict[str, Any]:
    """Logarithmic ones as their logarithms."""
    from pymoo.core.variable import Choice as Options
    from pymoo.core.variable import Integer, Real

    found: dict[str, Any] = {}
    for name, parameter in space.items():
        if isinstance(parameter, Choice):
            found[name] = Options(options=list(parameter.options))
        elif parameter.log:
            found[name] = Real(bounds=(np.log(parameter.low), np.log(parameter.high)))
        else:
            found[name] = (Integer if isinstance(parameter, Int) else Real)(bounds=(parameter.low, parameter.high))
    return found


def _back(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, parameter in space.items():
        value = values[name]
        if isinstance(parameter, Choice):
            found[name] = value.item() if isinstance(value, np.generic) else value
        else:
            real = float(np.exp(value)) if parameter.log else float(value)
            kind = round if isinstance(parameter, Int) else float
            found[name] = kind(min(max(real, parameter.low), parameter.high))
    return found


# --- Ax --------------------------------------------------------------------------------------------------------------


def ax(task: Task, seed: int, parego: int = 0) -> Asking:
    """Ax's client with its default strategy; or as many quasi-random trials, then qLogNParEGO.

    A bound on an objective is a threshold to Ax, any other an outcome constraint. qLogNParEGO does not look at
    thresholds; outcome constraints in their place made it slower, and on `nas` no better. Inactive parameters vary
    without effect.
    """
    logging.disable(logging.WARNING)  # Ax tells of every trial, and of its import
    from ax.api.client import Client
    from ax.utils.common.random import set_rng_seed

    warnings.simplefilter("ignore")
    set_rng_seed(seed)  # a seed of the client is set anew for each ask: qLogNParEGO would draw one weighting for ever
    bounds = {**task.reference, **task.limits}
    client = Client()
    client.configure_experiment([_configured(name, parameter) for name, parameter in task.space.items()])
    client.configure_optimization(
        ", ".join(f"-{name}" for name in task.objectives),
        [f"{name} <= {bound!r}" for name, bound in bounds.items()],
    )
    if parego:
        client.set_generation_strategy(_parego(parego))
    while trials := client.get_next_trials(1):
        for number, point in trials.items():
            values = yield task.space.canonical({name: _within(task.space[name], point[name]) for name in task.space})
            client.complete_trial(number, {name: values[name] for name in bounds})


def _configured(name: str, parameter: Parameter) -> Any:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if isinstance(parameter, Choice):
        return ChoiceParameterConfig(name, list(parameter.options), type(parameter.options[0]).__name__)
    kind = "int" if isinstance(parameter, Int) else "float"
    return RangeParameterConfig(
        name, (parameter.low, parameter.high), kind, scaling="log" if parameter.log else "linear"
    )


def _within(parameter: Parameter, value: Value) -> Value:
    """Logarithms round."""
    return value if isinstance(parameter, Choice) else min(max(value, parameter.low), parameter.high)


def _parego(start: int) -> Any:
    """Quasi-random trials, then qLogNParEGO on Ax's default model."""
    from ax.adapter.registry import Generators
    from ax.generation_strategy.generation_node import GenerationNode
    from ax.generation_strategy.generation_strategy import GenerationStrategy
    from ax.generation_strategy.generator_spec import GeneratorSpec
    from ax.generation_strategy.transition_criterion import MinTrials
    from botorch.acquisition.multi_objective.parego import qLogNParEGO

    model = GeneratorSpec(Generators.BOTORCH_MODULAR, {"botorch_acqf_class": qLogNParEGO})
    first = GenerationNode(
        "Sobol",
        [GeneratorSpec(Generators.SOBOL)],
        [MinTrials(threshold=start, transition_to="ParEGO")],
        should_deduplicate=True,
    )
    then = GenerationNode("ParEGO", [model], should_deduplicate=True)
    return GenerationStrategy(name="qLogNParEGO", nodes=[first, then])


# --- syne-tune -------------------------------------------------------------------------------------------------------


def syne_tune(task: Task, seed: int) -> Asking:
    """Its expected hypervolume improvement, which knows no constraints.

    It is told shares of the reference point, shifted to the point of its own, which is -2 in every objective; a broken
    limit on a figure that is no objective adds to all of them. With four objectives its exact partition has thousands
    of boxes, and its asks become slow: a front of 10 points makes 900 boxes, one of 30 points 20 000. Where values are
    few, as on `digits`, it proposes one candidate again and again: nothing in it refuses what it has proposed before.
    """
    from syne_tune.optimizer.baselines import EHVI
    from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

    warnings.simplefilter("ignore")
    np.random.seed(seed)  # its first candidates are drawn from the global generator
    space = {name: _domain(parameter) for name, parameter in task.space.items()}
    scheduler = AskTellScheduler(EHVI(space, list(task.objectives), random_seed=seed))
    others = [name for name in task.limits if name not in task.objectives]
    while True:
        with _float64():
            trial = scheduler.ask()
        values = yield task.space.canonical(
            {name: _within(parameter, trial.config[name]) for name, parameter in task.space.items()}
        )
        excess = sum(max(values[name] - task.limits[name], 0) / (task.limits[name] or 1) for name in others)
        scheduler.tell(trial, {name: values[name] / task.reference[name] + excess - 3 for name in task.objectives})


@contextmanager
def _float64() -> Iterator[None]:
    """As the default: syne-tune 0.16 mixes it with float64, which BoTorch 0.18 refuses."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _domain(parameter: Parameter) -> Any:
    from syne_tune import config_space

    if isinstance(parameter, Choice):
        return config_space.choice(list(parameter.options))
    kind = "randint" if isinstance(parameter, Int) else "uniform"
    kind = {"randint": "lograndint", "uniform": "loguniform"}[kind] if parameter.log else kind
    return getattr(config_space, kind)(parameter.low, parameter.high)


METHODS: Mapping[str, Method] = {
    "sparsemod": ours,
    "Sobol, feasible": sobol,
    "random": random,
    "evolution (uNAS)": evolution,
    "Optuna TPE": partial(optuna, name="TPESampler", flat=False, multivariate=True, group=True),
    "Optuna NSGA-II": partial(optuna, name="NSGAIISampler", population_size=20),
    "Optuna GP": partial(optuna, name="GPSampler"),
    "pymoo NSGA-II": pymoo,
    "Ax": ax,
    "Ax qLogNParEGO": partial(ax, parego=12),
    "syne-tune EHVI": syne_tune,
}
"""Every method by the name that tables give it."""

PEERS: Sequence[str] = [name for name in METHODS if name != "sparsemod"]
