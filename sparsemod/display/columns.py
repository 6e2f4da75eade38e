"""What several tables and panels say alike."""

import sys

from rich.console import Console

from sparsemod.objectives import UNITS
from sparsemod.study import Study

TITLES = {"model_size": "model size\n(bytes)", "working_memory": "working memory\n(bytes)", "latency": "latency\n(ms)",
           "energy": "energy\n(mJ)"}  # fmt: skip
"""Headers of tables, with units."""


def figure(name: str, value: float) -> str:
    """A number of a column whose header has the unit."""
    return f"{value:,.0f}" if UNITS.get(name) == "bytes" else f"{value:.4g}"


def counts(study: Study) -> str:
    """How many trials ended how."""
    parts = [f"{study.count('complete')} complete"]
    parts += [
        f"{study.count(status)} {status}" for status in ("infeasible", "stopped", "failed") if study.count(status)
    ]
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """A time in hours, minutes and seconds, such as 1:02:03."""
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def console() -> Console:
    """Standard output; wide where it is not a terminal, so that tables keep their columns."""
    return Console() if sys.stdout.isatty() else Console(width=160)
