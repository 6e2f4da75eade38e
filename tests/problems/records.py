"""The record of a study of six trials, whose front can be seen at a glance."""

from pathlib import Path
from typing import Any

from sparsemod.config import Config, from_keywords
from sparsemod.results import Record
from sparsemod.space import Float, Int, SearchSpace
from sparsemod.study import Candidate, Study, Trial

PROBLEMS = Path(__file__).parent
SPACE = SearchSpace({"width": Int(1, 32), "rate": Float(0.0, 1.0)})
HEADER = {
    "objectives": ["error", "model_size"],
    "limits": {"model_size": 1000.0, "working_memory": 200.0},
    "reference": {"error": 1.0, "model_size": 1000.0},
    "seed": 0,
}


def configured(**keywords: Any) -> Config:
    return from_keywords(**{"problem": f"{PROBLEMS / 'synthetic.py'}:problem", "objectives": 2, **keywords})


def opened(folder: Path, space: SearchSpace = SPACE, **keywords: Any) -> Record:
    return Record(folder, configured(**keywords), space, lambda: HEADER)


def candidate(number: int, parent: int | None = None) -> Candidate:
    return Candidate(number, {"width": number + 1, "rate": 0.1 * number}, 5, "morph" if parent else "sobol", parent)


def complete(number: int, wrong: float, size: float, **score: float) -> Trial:
    score = {"error": wrong, "model_size": size, **score}
    return Trial(candidate(number), "complete", score, seconds=0.5, elapsed=float(number))


TRIALS = (
    complete(0, 0.5, 100),
    complete(1, 0.1 + 0.2, 400, nnz=12),  # 0.30000000000000004
    Trial(candidate(2), "failed", reason='Traceback\n  "ü", line 1\r\nValueError: {}', seconds=0.25),
    complete(3, 0.2, 2000),  # over the limit
    Trial(candidate(4), "infeasible", reason="too deep"),
    complete(5, 0.4, 500),  # worse than 1
)
"""The front is 1 and 0."""


def assert_same(first: Study, second: Study) -> None:
    for name in ("objectives", "limits", "reference", "seed", "trials", "pending", "candidates"):
        assert getattr(first, name) == getattr(second, name), name
