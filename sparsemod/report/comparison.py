"""Two or more studies side by side, judged by what they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsemod.pareto import hypervolume, non_dominated
from sparsemod.report.progress import growth
from sparsemod.report.source import Source
from sparsemod.report.summary import duration
from sparsemod.study import Study, picks


def comparison(sources: Sequence[Source]) -> dict[str, Any]:
    """Hypervolume curves against one reference point, and one row of figures per study.

    The objectives are those that all studies have; the reference point is the largest of theirs. Each study keeps its
    own limits.

    Returns:
        objectives, reference, curves and rows; or `missing`: why they cannot be compared.
    """
    shared = [name for name in sources[0].study.objectives if all(name in s.study.objectives for s in sources)]
    if not shared:
        return {"missing": "The studies have no objective in common, so their hypervolumes cannot be compared."}
    points = [source.study.reference_point() for source in sources]
    reference = {name: max(point[name] for point in points) for name in shared}
    limits = [source.study.limits for source in sources]
    return {
        "objectives": shared,
        "reference": reference,
        "same_limits": all(each == limits[0] for each in limits),
        "curves": [growth(source.study, reference) for source in sources],
        "rows": [_row(source, reference) for source in sources],
    }


def _row(source: Source, reference: dict[str, float]) -> dict[str, Any]:
    study = source.study
    front = study.pareto_front()
    values = np.array([[trial.score[name] for name in reference] for trial in front]).reshape(-1, len(reference))
    shared = values[non_dominated(values)]
    return {
        "name": source.name,
        "device": source.settings.get("DEVICE.device", ""),
        "trials": len(study.trials),
        "time": duration(max((trial.elapsed for trial in study.trials), default=0.0)),
        "front": len(shared),
        "hypervolume": round(hypervolume(shared, list(reference.values())), 6),
        "best": {name: float(shared[:, place].min()) if len(shared) else None for place, name in enumerate(reference)},
        "picks": _numbers(study),
    }


def _numbers(study: Study) -> dict[str, int]:
    return {why: trial.number for why, trial in picks(study).items()}
