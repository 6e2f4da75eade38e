"""How a search went: hypervolume trial by trial, and what each stage gained."""

from collections.abc import Mapping
from typing import Any

from sparsemod.pareto import hypervolume, non_dominated
from sparsemod.study import Study, Trial


def growth(study: Study, reference: Mapping[str, float] | None = None) -> dict[str, list[Any]]:
    """Hypervolume after each trial, in the order in which they ended.

    Args:
        study: Its front is that of its own limits.
        reference: Worst value that counts, per objective; those named are judged. The study's own if not given.

    Returns:
        number, stage, elapsed (seconds) and hypervolume of each trial.
    """
    point = study.reference_point() if reference is None else reference
    front: list[list[float]] = []
    reached, curve = 0.0, []
    for trial in study.trials:
        if trial.status == "complete" and study.obeys_limits(trial.score):
            found = [trial.score[name] for name in point]
            if non_dominated([*front, found])[-1]:  # what is dominated adds nothing
                front.append(found)
                front = [row for row, keep in zip(front, non_dominated(front), strict=True) if keep]
                reached = hypervolume(front, list(point.values()))
        curve.append(round(reached, 6))
    return {
        "number": [trial.number for trial in study.trials],
        "stage": [trial.candidate.origin for trial in study.trials],
        "elapsed": [round(trial.elapsed, 1) for trial in study.trials],
        "hypervolume": curve,
    }


def stages(study: Study, curve: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """What each stage took and gave, in order of appearance.

    Args:
        study: All trials.
        curve: As `growth` returns it. A gain is credited to the trial that brought it.
    """
    front = study.pareto_front()
    gains: dict[str, float] = {}
    before = 0.0
    for origin, reached in zip(curve["stage"], curve["hypervolume"], strict=True):
        gains[origin] = gains.get(origin, 0.0) + reached - before
        before = reached
    rows = []
    for origin, gain in gains.items():
        own = [trial for trial in study.trials if trial.candidate.origin == origin]
        rows.append(
            {
                "stage": origin,
                "trials": len(own),
                "complete": sum(trial.status == "complete" for trial in own),
                "infeasible": sum(trial.status == "infeasible" for trial in own),
                "stopped": sum(trial.status == "stopped" for trial in own),
                "failed": sum(trial.status == "failed" for trial in own),
                "epochs": number_range([trial.candidate.epochs for trial in own]),
                "gain": round(gain, 6),
                "front": sum(trial.candidate.origin == origin for trial in front),
                "best_error": _best(study, own),
                "seconds": round(sum(trial.seconds for trial in own), 1),
            }
        )
    return rows


def _best(study: Study, trials: list[Trial]) -> float | None:
    """Smallest error within the limits."""
    within = [trial.score for trial in trials if trial.status == "complete" and study.obeys_limits(trial.score)]
    return min((score["error"] for score in within if "error" in score), default=None)


def number_range(values: list[int]) -> str:
    """Smallest and largest, or the one that all are."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
