"""Networks on samples that no search has seen: while they are measured, and what they reach."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sparsemod.display.columns import TITLES, clock, figure
from sparsemod.retrain import Testing, WatchTest
from sparsemod.tested import Summary

TEST_NOTE = (
    "On samples that no search has seen: mean and standard deviation of the networks that were trained again, lowest "
    "mean recall of a class, and the saved network, which is the one that is exported, as it is."
)


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
        left = f", about {clock(elapsed / made * (testing.total - testing.done))} left" if made else ""
        running = f", {testing.running} running" if testing.running else ""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row("measured", f"{testing.done} of {testing.total}{running}")
        table.add_row("", ProgressBar(total=max(testing.total, 1), completed=testing.done, width=40))
        table.add_row("time", f"{clock(elapsed)} elapsed{left}")
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


def test_table(rows: Sequence[Summary]) -> Table:
    """What networks reach on samples that no search has seen, one row each; costs are means."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    shown = [name for name in TITLES if any(name in row.costs for row in rows)]
    reached = ("accuracy\n(%)", "lowest class\nrecall (%)", "saved network\n(%)")
    if not any(map(_has_classes, rows)):
        reached = ("error", "", "saved network")
    for title in ("number", "trained\nagain", *reached, *(TITLES[name] for name in shown)):
        table.add_column(title, justify="right")
    for row in rows:
        costs = [figure(name, row.costs[name]) if name in row.costs else "" for name in shown]
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
