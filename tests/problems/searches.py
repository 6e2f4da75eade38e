"""Searches with a small budget, and what tests compare of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsemod.loop import Progress, search
from sparsemod.problem import Problem, load
from sparsemod.study import Candidate, Study

PROBLEMS = Path(__file__).parent
SYNTHETIC, FLAT, KILLER, SMALL = (
    f"{PROBLEMS / 'synthetic.py'}:{name}" for name in ("problem", "flat", "killer", "small")
)
TINY = f"{PROBLEMS / 'tiny.py'}:problem"
FORMULA = load(SYNTHETIC)
BUDGET: Mapping[str, Any] = {
    **{"problem": SYNTHETIC, "objectives": 3, "device": "microbit-v2"},
    **{"r1": 4, "r2": 2, "r3": 3, "batch_size": 2, "epochs1": 1, "epochs2": 2, "epochs3": 4},
}
"""4 + 2 x 2 + 3 candidates."""


def searched(root: Path, watch: Callable[[Progress], None] | None = None, **changes: Any) -> Study:
    return search(watch=watch, root=str(root), **{**BUDGET, **changes})


def origins(study: Study) -> list[str]:
    return [trial.candidate.origin for trial in study.trials]


def front(root: Path) -> bytes:
    return (root / "study" / "pareto.csv").read_bytes()


def results(study: Study) -> list[tuple[Candidate, str, Mapping[str, float]]]:
    """Everything but wall-clock times."""
    return [(trial.candidate, trial.status, trial.score) for trial in study.trials]


def problem_of(objective: Callable[[Candidate], Mapping[str, float]], **changes: Any) -> Problem:
    """The synthetic problem with another objective."""
    return replace(FORMULA, objective=objective, **changes)


class Interruption:
    """A watcher that presses Ctrl-C at event `k`."""

    def __init__(self, k: int) -> None:
        self.left = k

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def interrupted(root: Path, k: int, **changes: Any) -> bool:
    """Whether a search was interrupted at event `k`, rather than ending before."""
    try:
        searched(root, Interruption(k), **changes)
    except KeyboardInterrupt:
        return True
    return False


def broken(candidate: Candidate) -> Mapping[str, float]:
    raise ValueError(f"candidate {candidate.number} is broken")
