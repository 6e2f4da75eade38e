"""What a running search shows: a live panel in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sparsemod.cost.layers import LayerCost
from sparsemod.device import KINDS, Device
from sparsemod.loop import Progress, Watch
from sparsemod.objectives import UNITS, column, quantity
from sparsemod.retrain import Testing, WatchTest
from sparsemod.space import Value
from sparsemod.study import Study, Trial, picks
from sparsemod.tested import Summary
from sparsemod.textplot import Mark, scatter

if TYPE_CHECKING:
    from sparsemod.export import Check

_SHOWN = 8
"""Parameters that a table of candidates has room for."""

_TITLES = {"model_size": "model size\n(bytes)", "working_memory": "working memory\n(bytes)", "latency": "latency\n(ms)",
           "energy": "energy\n(mJ)"}  # fmt: skip
"""Headers of tables, with units."""


@contextmanager
def watching(console: Console, debug: bool) -> Iterator[Watch]:
    """A watcher of a search; it draws for as long as the context lasts.

    Args:
        console: A panel that refreshes itself if it is a terminal, one line per trial if not.
        debug: Show the full traceback of failed candidates.
    """
    if not console.is_terminal:
        yield lambda progress: _line(console, progress, debug)
        return
    panel = _Panel()
    with Live(panel, console=console, refresh_per_second=4) as live:

        def watch(progress: Progress) -> None:
            panel.progress = progress
            if progress.message:
                live.console.print(progress.message, highlight=False)
            if progress.trial is not None and progress.trial.status == "failed":
                text = f"trial {progress.trial.number} failed: {_failure(progress.trial, debug)}"
                live.console.print(text, style="red", highlight=False, markup=False)

        yield watch


class _Panel:
    """The state of the search as a table; drawn anew at every refresh, so that the clock runs."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._started = time.monotonic()

    def __rich__(self) -> RenderableType:
        if self.progress is None:
            return "preparing: loading the data and looking for networks that fit"
        progress = self.progress
        study, stage = progress.study, progress.stages[progress.stage]
        done = stage.done(study)
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row(
            "stage", f"{progress.stage + 1} of {len(progress.stages)}, {stage.title}: {done} of {stage.planned(study)}"
        )
        table.add_row("", ProgressBar(total=max(stage.planned(study), 1), completed=done, width=40))
        table.add_row("trials", _counts(study) + (f", {progress.running} running" if progress.running else ""))
        table.add_row("front", f"{len(study.pareto_front())} networks, hypervolume {study.hypervolume():.4f}")
        table.add_row("best", _best(study))
        table.add_row("time", _times(progress, time.monotonic() - self._started))
        return Group("", table)


def _line(console: Console, progress: Progress, debug: bool) -> None:
    if progress.message:
        console.print(progress.message, highlight=False, soft_wrap=True)
    trial = progress.trial
    if trial is None:
        return
    study = progress.study
    if trial.status == "complete":
        score = "  ".join(f"{name} {quantity(name, trial.score[name])}" for name in study.objectives)
    else:
        score = _failure(trial, debug) if trial.status == "failed" else trial.reason
    done = f"[{len(study.trials)}/{_planned(progress)}] trial {trial.number} {trial.status}: {score}"
    front = f"front {len(study.pareto_front())}, hypervolume {study.hypervolume():.4f}"
    console.print(f"{done}  | {front}", highlight=False, markup=False, soft_wrap=True)


def _failure(trial: Trial, debug: bool) -> str:
    reason = trial.reason.rstrip()
    return reason if debug else reason.splitlines()[-1]


def _planned(progress: Progress) -> int:
    return sum(stage.planned(progress.study) for stage in progress.stages)


def _counts(study: Study) -> str:
    parts = [f"{study.count('complete')} complete"]
    parts += [
        f"{study.count(status)} {status}" for status in ("infeasible", "stopped", "failed") if study.count(status)
    ]
    return ", ".join(parts)


def _best(study: Study) -> str:
    """The smallest value of each objective on the front."""
    front = study.pareto_front()
    if not front:
        return "nothing yet"
    best = {name: min(trial.score[name] for trial in front) for name in study.objectives}
    return ", ".join(f"{name} {quantity(name, value)}" for name, value in best.items())


def _times(progress: Progress, seconds: float) -> str:
    """Elapsed time, rate, and the time left if later trials take as long as those of this stage so far."""
    study, elapsed = progress.study, progress.elapsed
    text = f"{_clock(elapsed)} elapsed"
    if not study.trials:
        return text
    recent = [trial.elapsed for trial in study.trials[-10:]]
    pace = (recent[-1] - recent[0]) / max(len(recent) - 1, 1)
    left = _planned(progress) - len(study.trials)
    rate = f", {60 / pace:.3g} trials per minute, about {_clock(left * pace)} left" if pace > 0 else ""
    return text + rate


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def front_table(study: Study, trials: list[Trial]) -> Table:
    """The candidates of a front, units in the headers; where no network was traced, with their parameters."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("number", justify="right")
    for name in study.objectives:
        table.add_column(_TITLES.get(name, name), justify="right")
    counts = {"params": "params", "nnz": "non-zero", "macs": "MACs"}
    counts = {name: title for name, title in counts.items() if any(name in trial.score for trial in trials)}
    own = [] if counts else list(dict.fromkeys(name for trial in trials for name in trial.candidate.parameters))
    for title in (*counts.values(), *own[:_SHOWN]):
        table.add_column(title, justify="right")
    table.add_column("epochs\nseen", justify="right")
    table.add_column("stage")
    for trial in trials:
        score = trial.score
        figures = [_figure(name, score[name]) for name in study.objectives]
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


def _figure(name: str, value: float) -> str:
    """A number of a column whose header has the unit."""
    return f"{value:,.0f}" if UNITS.get(name) == "bytes" else f"{value:.4g}"


def _told(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
        return f"no trial was completed: {_counts(study)}"
    seen = {name: [trial.score[name] for trial in completed if name in trial.score] for name in study.limits}
    broken = [
        f"{name} at most {quantity(name, study.limits[name])}, smallest found {quantity(name, min(values))}"
        for name, values in seen.items()
        if values and max(values) > study.limits[name]
    ]
    return f"none of the {len(completed)} completed trials is within all limits: {'; '.join(broken)}"


@contextmanager
def watching_test(console: Console) -> Iterator[WatchTest]:
    """A watcher of a test; it draws for as long as the context lasts: a panel in a terminal, elsewhere lines."""
    if not console.is_terminal:
        yield lambda testing: _test_line(console, testing)
        return
    panel = _TestPanel()
    with Live(panel, console=console, refresh_per_second=4) as live:

        def watch(testing: Testing) -> None:
            panel.show(testing)
            if testing.latest is not None and testing.latest.status != "complete":
                _test_line(live.console, testing)

        yield watch


class _TestPanel:
    """How far a test is; drawn anew at every refresh, so that the clock runs."""

    def __init__(self) -> None:
        self._testing: Testing | None = None
        self._before = 0
        self._started = time.monotonic()

    def show(self, testing: Testing) -> None:
        """What is known now; the clock runs from the first time on."""
        if self._testing is None:
            self._before, self._started = testing.done, time.monotonic()
        self._testing = testing

    def __rich__(self) -> RenderableType:
        testing = self._testing
        if testing is None:
            return "preparing: loading the data"
        elapsed, made = time.monotonic() - self._started, testing.done - self._before
        left = f", about {_clock(elapsed / made * (testing.total - testing.done))} left" if made else ""
        running = f", {testing.running} running" if testing.running else ""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row("measured", f"{testing.done} of {testing.total}{running}")
        table.add_row("", ProgressBar(total=max(testing.total, 1), completed=testing.done, width=40))
        table.add_row("time", f"{_clock(elapsed)} elapsed{left}")
        return Group("", table)


def _test_line(console: Console, testing: Testing) -> None:
    each = testing.latest
    if each is None:
        console.print(f"{testing.done} of {testing.total} measurements are made", highlight=False)
        return
    how = "saved network" if each.seed is None else f"seed {each.seed}"
    how += "" if each.group is None else f", tested on group {each.group}"
    found = each.reason.rstrip().splitlines()[-1] if each.error is None else _reached(each.error, each.recalls)
    line = f"[{testing.done}/{testing.total}] trial {each.number}, {how}: {found}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _reached(error: float, recalls: Sequence[float | None]) -> str:
    """An accuracy; an error where there are no classes, so that it may be anything."""
    return f"accuracy {1 - error:.2%}" if recalls else f"error {error:.4g}"


TEST_NOTE = (
    "On samples that no search has seen: mean and standard deviation of the networks that were trained again, lowest "
    "mean recall of a class, and the saved network, which is the one that is exported, as it is."
)


def test_table(rows: Sequence[Summary]) -> Table:
    """What networks reach on samples that no search has seen, one row each; costs are means."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    shown = [name for name in _TITLES if any(name in row.costs for row in rows)]
    reached = ("accuracy\n(%)", "lowest class\nrecall (%)", "saved network\n(%)")
    if not any(map(_has_classes, rows)):
        reached = ("error", "", "saved network")
    for title in ("number", "trained\nagain", *reached, *(_TITLES[name] for name in shown)):
        table.add_column(title, justify="right")
    for row in rows:
        costs = [_figure(name, row.costs[name]) if name in row.costs else "" for name in shown]
        table.add_row(str(row.number), _trainings(row), *_figures_reached(row), *costs)
    return table


test_table.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for its own


def _trainings(row: Summary) -> str:
    if not row.trainings and not row.failed:
        return "no"
    failed = f", {row.failed} failed" if row.failed else ""
    return f"{row.trainings} {row.by if row.trainings != 1 else row.by[:-1]}{failed}"


def _has_classes(row: Summary) -> bool:
    return bool(row.recalls or (row.saved and row.saved.recalls))


def _figures_reached(row: Summary) -> tuple[str, str, str]:
    """Mean and standard deviation, lowest recall of a class, and that of the saved network: in %, or errors."""

    def shown(error: float | None, deviation: float | None = None) -> str:
        if error is None:
            return ""
        if not _has_classes(row):
            return f"{error:.4g}" + ("" if deviation is None else f" ± {deviation:.2g}")
        return f"{100 * (1 - error):.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")

    weakest = "" if row.weakest is None else f"{100 * row.weakest[1]:.1f} (class {row.weakest[0]})"
    return shown(row.error, row.deviation), weakest, shown(row.saved.error if row.saved else None)


def _expected(check: "Check") -> str:
    if check.predicted is not None:
        return f"{check.predicted:,}"
    return "" if check.limit is None else f"at most {check.limit:,}"


def check_table(checks: "Sequence[Check]") -> Table:
    """What was predicted of exported code, and what each place found: a row per figure, a column per place."""
    places = list(dict.fromkeys(check.place for check in checks if check.found is not None))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("check")
    for title in ("predicted", *places, ""):
        table.add_column(title, justify="right")
    for name in dict.fromkeys(check.name for check in checks if check.found is not None):
        row = {check.place: check for check in checks if check.name == name}
        worst = min(row.values(), key=lambda check: check.ok)
        found = [f"{row[place].found:,}" if place in row else "" for place in places]
        table.add_row(name, _expected(worst), *found, worst.verdict)
    return table


def comparison_table(layers: Sequence[tuple[str, str, str, float, str]]) -> Table:
    """How far another runtime is from the network.

    Args:
        layers: Name, kind, largest difference, share of equal values and verdict of each.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer")
    table.add_column("kind")
    for title in ("largest difference", "same values", ""):
        table.add_column(title, justify="right")
    for name, kind, difference, same, verdict in layers:
        table.add_row(name, kind, difference, f"{same:.4%}", verdict)
    return table


def layer_table(rows: Sequence[LayerCost]) -> Table:
    """The costs of a network, one row per operator."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("layer", "kind", "output"):
        table.add_column(title)
    for title in ("MACs", "non-zero", "sparsity", "FLOPs\ndense", "FLOPs\nsparse", "weights\n(bits)",
                  "flash\n(bytes)", "RAM in use\n(bytes)", "of arena", "latency\n(ms)", "of latency"):  # fmt: skip
        table.add_column(title, justify="right")
    for row in rows:
        shape = "x".join(map(str, row.output_shape))
        weights = f"{row.encoding} {row.weight_bits}" if row.encoding else ""
        table.add_row(row.name, row.kind, shape, f"{row.macs:,}", f"{row.nnz:,}", f"{row.sparsity:.1%}",
                      f"{row.dense_flops:,}", f"{row.sparse_flops:,}", weights, f"{row.flash_bytes:,}",
                      f"{row.alive_bytes:,}", f"{row.arena_share:.0%}", f"{row.latency_ms:.4g}",
                      f"{row.latency_share:.1%}")  # fmt: skip
    return table


def total_lines(total: Mapping[str, float], device: Device) -> list[str]:
    """The costs of a whole network, in words; a figure that does not fit the device says so."""
    flash, ram = total["model_size_bytes"], total["working_memory_bytes"]
    lines = [
        f"  model size      {flash:,.0f} bytes{_of_limit(flash, device.flash_bytes, 'flash')}",
        f"                  {total['nnz_bytes']:,.0f} bytes as SpArSe counts: 1 per weight or bias that is not zero",
        f"  working memory  {ram:,.0f} bytes{_of_limit(ram, device.ram_bytes, 'RAM')}",
        f"                  {total['input_and_weights_bytes']:,.0f} bytes as SpArSe counts input and weights,",
        f"                  {total['input_and_output_bytes']:,.0f} bytes as it counts input and output",
        f"  latency         {quantity('latency', total['latency_ms'])}",
    ]
    if "energy_mj" in total:
        lines.append(f"  energy          {quantity('energy', total['energy_mj'])}")
    counts = {"MACs": "macs", "params": "params", "non-zero": "nnz", "dense FLOPs": "dense_flops",
              "sparse FLOPs": "sparse_flops"}  # fmt: skip
    return [*lines, "  " + ", ".join(f"{title} {total[name]:,.0f}" for title, name in counts.items())]


def _of_limit(used: float, limit: float, what: str) -> str:
    verdict = ": DOES NOT FIT" if used > limit else ""
    return f", {used / limit:.1%} of the {what}{verdict}"


def device_table(devices: Iterable[Device]) -> Table:
    """Devices; cycles are those of an int8 multiply-accumulate."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("device", "core"):
        table.add_column(title)
    for title in ("clock\n(MHz)", "RAM\n(bytes)", "flash\n(bytes)"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        table.add_column(f"cycles per MAC\n{kind}", justify="right")
    table.add_column("power\n(mW)", justify="right")
    table.add_column("cycles are")
    for device in devices:
        cycles = [f"{device.cycles_per_mac[kind]:g}" for kind in KINDS]
        power = "" if device.active_power_mw is None else f"{device.active_power_mw:g}"
        table.add_row(device.name, device.core, f"{device.clock_hz / 1e6:g}", f"{device.ram_bytes:,}",
                      f"{device.flash_bytes:,}", *cycles, power, device.basis)  # fmt: skip
    return table


def console() -> Console:
    """Standard output; wide where it is not a terminal, so that tables keep their columns."""
    return Console() if sys.stdout.isatty() else Console(width=160)
