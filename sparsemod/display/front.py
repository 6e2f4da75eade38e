"""The front of a study: its table, the networks to look at first, a picture in letters."""

from collections.abc import Sequence

from rich.table import Table

from sparsemod.display.columns import TITLES, counts, figure
from sparsemod.objectives import column, quantity
from sparsemod.space import Value
from sparsemod.study import Study, Trial, picks
from sparsemod.textplot import Mark, scatter

_SHOWN = 8
"""Parameters that a table of candidates has room for."""


def front_table(study: Study, trials: list[Trial]) -> Table:
    """The candidates of a front, units in the headers; where no network was traced, with their parameters."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("number", justify="right")
    for name in study.objectives:
        table.add_column(TITLES.get(name, name), justify="right")
    counts = {"params": "params", "nnz": "non-zero", "macs": "MACs"}
    counts = {name: title for name, title in counts.items() if any(name in trial.score for trial in trials)}
    own = [] if counts else list(dict.fromkeys(name for trial in trials for name in trial.candidate.parameters))
    for title in (*counts.values(), *own[:_SHOWN]):
        table.add_column(title, justify="right")
    table.add_column("epochs\nseen", justify="right")
    table.add_column("stage")
    for trial in trials:
        score = trial.score
        figures = [figure(name, score[name]) for name in study.objectives]
        extra = [f"{score[name]:,.0f}" if name in score else "" for name in counts]
        extra += [_told(trial.candidate.parameters.get(name, "")) for name in own[:_SHOWN]]
        parent = "" if trial.candidate.parent is None else f" of {trial.candidate.parent}"
        table.add_row(
            str(trial.number),
            *figures,
            *extra,
            str(study.epochs_seen(trial.candidate)),
            trial.candidate.origin + parent,
        )
    return table


def _told(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pick_lines(study: Study) -> list[str]:
    """The networks to look at first, one line each: why, number and figures."""
    found = picks(study)
    width = max(map(len, found), default=0)
    return [
        f"{why:<{width}}  {trial.number:>4}: "
        + ", ".join(f"{name} {quantity(name, trial.score[name])}" for name in study.objectives)
        for why, trial in found.items()
    ]


def front_plot(study: Study, chosen: Sequence[Trial]) -> list[str]:
    """Completed trials as dots, and those that were chosen as circles, over two objectives, as lines of text."""
    if len(study.objectives) < 2:
        return []
    up, across = study.objectives[:2]
    numbers = {trial.number for trial in chosen}
    within = [trial for trial in study.completed() if study.obeys_limits(trial.score)]
    within.sort(key=lambda trial: trial.number in numbers)  # what comes later is drawn over what was before
    marks = [Mark(t.score[across], t.score[up], "o" if t.number in numbers else ".") for t in within]
    return [*scatter(marks, column(across), column(up)), "o in the table, . another that fits"]


def reference_line(study: Study) -> str:
    """What the hypervolume is measured against, and which parts of it are inferred."""
    point, groups = study.reference_point(), dict[str, list[str]]()
    for name, basis in study.reference_basis().items():
        groups.setdefault(basis, []).append(f"{name} {quantity(name, point[name])}")
    line = "; ".join(f"{', '.join(figures)} ({basis})" for basis, figures in groups.items())
    beaten = not study.pareto_front() or study.hypervolume() > 0
    return f"reference point: {line}" + ("" if beaten else "; nothing that was found is better than all of it")


def empty_front_line(study: Study) -> str:
    """Why a front is empty."""
    completed = study.completed()
    if not completed:
        return f"no trial was completed: {counts(study)}"
    seen = {name: [trial.score[name] for trial in completed if name in trial.score] for name in study.limits}
    broken = [
        f"{name} at most {quantity(name, study.limits[name])}, smallest found {quantity(name, min(values))}"
        for name, values in seen.items()
        if values and max(values) > study.limits[name]
    ]
    return f"none of the {len(completed)} completed trials is within all limits: {'; '.join(broken)}"
