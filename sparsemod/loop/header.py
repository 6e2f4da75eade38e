"""What a study is judged by, fixed when it begins: objectives, limits and the reference point."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.samplers import Sobol

_REFERENCE_SAMPLES = 64
"""Networks that fit, of which the largest cost stands in for a limit that is not set."""


def header(screen: Screen, config: Config) -> dict[str, Any]:
    """What a study is judged by, fixed when it begins: the reference point is the limits, or what is usual."""
    train = config.train
    sobol = Sobol(screen, train.epochs1, train.seed)
    samples = [parameters for parameters in sobol.require(_REFERENCE_SAMPLES) if screen.can_build(parameters)]
    usual = [screen.costs(parameters) for parameters in samples]
    if usual and screen.problem.objective is None:
        _require_known(train.objectives, screen.problem.limits, usual[0])
    largest = {name: max(cost[name] for cost in usual) for name in usual[0]} if usual else {}
    _require_positive(train.objectives, screen.limits)
    reference = largest | screen.limits | _largest_error(screen, config)
    return {
        "objectives": list(train.objectives),
        "limits": limits(screen, config),
        "reference": {name: reference[name] for name in train.objectives if reference.get(name, 0) > 0},
        "seed": train.seed,
    }


def limits(screen: Screen, config: Config) -> dict[str, float]:
    """Hard limits; `max_error` is one where the error is no objective."""
    train = config.train
    of_shares = screen.problem.error is None  # which 1 does not limit
    unlimited = "error" in train.objectives or (of_shares and train.max_error == 1)
    hard = {} if unlimited else _largest_error(screen, config)
    return {**screen.limits, **hard}


def _largest_error(screen: Screen, config: Config) -> dict[str, float]:
    """The error from which on nothing counts; not known of an error of the problem's own if `max_error` is not set."""
    largest = config.train.max_error
    if screen.problem.error is not None and ("TRAIN", "max_error") not in config.origins:
        largest = math.inf
    known = min(largest, screen.limits.get("error", largest))
    return {"error": known} if math.isfinite(known) else {}


def _require_known(objectives: Sequence[str], limits: Iterable[str], costs: Mapping[str, float]) -> None:
    """Refuses, before any training, to minimise or to limit what nothing will measure."""
    strange = [name for name in dict.fromkeys([*objectives, *limits]) if name not in ("error", *costs)]
    if strange:
        raise InputError(
            f"objectives and limits: nothing gives {', '.join(strange)}; a trained network has error, "
            f"{', '.join(costs)}. Let the problem's `costs` give it, or an `objective` of your own"
        )


def _require_positive(objectives: Sequence[str], limits: Mapping[str, float]) -> None:
    """Refuses limits that no objective can obey: these are minimised towards 0."""
    wrong = [f"{name} is {limits[name]:g}" for name in objectives if limits.get(name, 1) <= 0]
    if wrong:
        raise InputError(f"limits on objectives must be above 0, but {', '.join(wrong)}")
