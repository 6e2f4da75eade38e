"""One candidate of the tiny problem whose figures can be counted by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsemod.config import Config, from_keywords
from sparsemod.evaluate import data_of
from sparsemod.problem import Problem, load
from sparsemod.space import Value
from sparsemod.study import Candidate

FILE = Path(__file__).parent / "tiny.py"
TINY = load(f"{FILE}:problem")
DATA = data_of(TINY)

# A 3 x 3 convolution from 1 to 4 channels on 6 x 6, pooling to 3 x 3, 36 features to 3 classes.
PARAMETERS: Mapping[str, Value] = {
    "blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3, "b1_stride": 1,
    "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2, "global_pool": False, "fc_layers": 0, "dropout": 0.2,
    "learning_rate": 0.01, "learning_gamma": 0.5, "learning_step": 3, "batch_size": 16, "prune_threshold": 0.5,
}  # fmt: skip
WEIGHTS = 4 * 9 + 36 * 3
BIASES = 4 + 3


def configured(problem: Problem | str = TINY, **keywords: Any) -> Config:
    return from_keywords(problem=problem, device="microbit-v2", **keywords)


def candidate(number: int = 0, epochs: int = 2, **changes: Value) -> Candidate:
    return Candidate(number, {**PARAMETERS, **changes}, epochs, "test")
