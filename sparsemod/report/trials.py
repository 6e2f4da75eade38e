"""All trials as columns of plain data: what the plots and the table are drawn from."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sparsemod.objectives import UNITS
from sparsemod.report.source import Source
from sparsemod.space import Value
from sparsemod.study import Study, Trial

_TITLES: Mapping[str, str] = {
    "error": "validation error",
    "float_error": "validation error before quantization",
    "saved_test_error": "test error",
    "test_error": "mean test error, trained again",
    "model_size": "model size",
    "working_memory": "working memory",
    "macs": "MACs",
    "params": "parameters",
    "nnz": "non-zero parameters",
}
_ERRORS = ("error", "float_error", "saved_test_error", "test_error")
_UNITS: Mapping[str, str] = {**UNITS, **dict.fromkeys(_ERRORS, "share"), "seconds": "s"}


def title(name: str) -> str:
    """A figure's name for people, without its unit."""
    return _TITLES.get(name, name.replace("_", " "))


def unit(name: str) -> str:
    """A figure's unit; empty for a plain number."""
    return _UNITS.get(name, "")


def table(source: Source) -> dict[str, Any]:
    """Every trial of a study, by number.

    Returns:
        columns: name, title, unit, kind (text, figure or parameter), and of parameters whether their scale is
            logarithmic; objectives have `objective`, what is limited has `limit`.
        values: by column name, one value per trial; None where a trial has none.
    """
    study = source.study
    trials = sorted(study.trials, key=lambda trial: trial.number)
    front, counting = ({trial.number for trial in some} for some in (study.pareto_front(), study.counting()))
    values: dict[str, list[Any]] = {
        "number": [trial.number for trial in trials],
        "stage": [trial.candidate.origin for trial in trials],
        "parent": [trial.candidate.parent for trial in trials],
        "status": [_status(study, trial, front, counting) for trial in trials],
    }
    columns = [_column(name, "text") for name in values]
    for name in _figures(study, trials):
        limit = {"limit": study.limits[name]} if name in study.limits else {}
        columns.append(_column(name, "figure", objective=name in study.objectives, **limit))
        values[name] = [_number(trial.score.get(name)) for trial in trials]
    for name, found in (("saved_test_error", source.saved_errors_on_test), ("test_error", source.errors_on_test)):
        if found:
            columns.append(_column(name, "figure"))
            values[name] = [_number(found.get(trial.number)) for trial in trials]
    for name in parameters(trials):
        columns.append(_column(name, "parameter", title=name, log=is_logarithmic(source.settings, name)))
        values[name] = [_value(trial.candidate.parameters.get(name)) for trial in trials]
    columns += [_column("epochs", "parameter"), _column("seconds", "figure")]
    values["epochs"] = [trial.candidate.epochs for trial in trials]
    values["seconds"] = [_number(trial.seconds) for trial in trials]
    return {"columns": columns, "values": values}


def parameters(trials: Sequence[Trial]) -> list[str]:
    """Names of all parameters that any trial has."""
    return list(dict.fromkeys(name for trial in trials for name in trial.candidate.parameters))


def is_logarithmic(settings: Mapping[str, str], name: str) -> bool:
    """Whether the search space gives a parameter a logarithmic scale."""
    return bool(json.loads(settings.get(f"space.{name}", "{}")).get("log", False))


def reasons(study: Study) -> list[dict[str, Any]]:
    """Why trials were not completed: each reason once, numbers aside, with how often it was met and one example."""
    ended = [trial for trial in study.trials if trial.status != "complete"]
    kinds = [(trial.status, re.sub(r"\d+(?:[.,]\d+)*", "…", last_line(trial.reason))) for trial in ended]
    examples = dict(reversed(list(zip(kinds, ended, strict=True))))
    return [
        {
            "status": kind[0],
            "count": count,
            "reason": last_line(examples[kind].reason),
            "number": examples[kind].number,
        }
        for kind, count in Counter(kinds).most_common()
    ]


def last_line(reason: str) -> str:
    """What a reason comes to; of a traceback the last line says it."""
    lines = reason.strip().splitlines()
    return lines[-1] if lines else "no reason was recorded"


def _status(study: Study, trial: Trial, front: set[int], counting: set[int]) -> str:
    if trial.number in front:
        return "front"
    if trial.number in counting:
        return "dominated"
    if trial.status == "complete":
        return "trained on" if study.obeys_limits(trial.score) else "over a limit"
    return trial.status


def _figures(study: Study, trials: Sequence[Trial]) -> list[str]:
    """Objectives first, then whatever else was scored."""
    return list(dict.fromkeys([*study.objectives, *(name for trial in trials for name in trial.score)]))


def _column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": title(name), "unit": unit(name), "kind": kind, **more}


def _number(value: float | None) -> float | int | None:
    """Six digits are more than a plot shows, and keep a page of many trials small."""
    if value is None:
        return None
    short = float(f"{value:.6g}") if abs(value) < 1e6 else float(round(value))
    return int(short) if short.is_integer() else short


def _value(value: Value | None) -> Value | None:
    return _number(value) if isinstance(value, float) else value
