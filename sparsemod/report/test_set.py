"""What networks reach on samples that no search has seen."""

from typing import Any

from sparsemod.report.source import Source
from sparsemod.tested import Summary, summaries


def test_set(source: Source) -> list[dict[str, Any]]:
    """One row per network and way of testing, in the order of the front; what left the front since comes last.

    Returns:
        number; by (seeds or groups), trainings and failed of them; error, deviation and recalls (by class; None
        where a class has no sample) of the networks that were trained again; saved and saved_recalls, the error and
        the recalls of the network that the search saved; validation, its error there. None where unknown.
    """
    order = {trial.number: place for place, trial in enumerate(source.study.pareto_front())}
    rows = sorted(summaries(source.tests), key=lambda row: (order.get(row.number, len(order)), row.number))
    return [_row(source, row) for row in rows]


test_set.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for its own


def _row(source: Source, summary: Summary) -> dict[str, Any]:
    saved = summary.saved
    known = {trial.number: trial.score.get("error") for trial in source.study.completed()}
    return {
        "number": summary.number,
        "by": summary.by,
        "trainings": summary.trainings,
        "failed": summary.failed,
        "error": _rounded(summary.error),
        "deviation": summary.deviation,
        "recalls": list(summary.recalls),
        "saved": _rounded(saved.error if saved else None),
        "saved_recalls": list(saved.recalls) if saved else [],
        "validation": _rounded(known.get(summary.number)),
    }


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 6)
