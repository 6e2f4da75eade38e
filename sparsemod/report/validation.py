"""The validation split of a study, if its problem can be loaded from here, and what a network gets wrong on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sparsemod import config as configuration
from sparsemod.data import Data, Tokens
from sparsemod.errors import InputError
from sparsemod.evaluate import data_of
from sparsemod.graph import Graph, run
from sparsemod.problem import Problem, load
from sparsemod.study import Trial

_BATCH = 512


@dataclass(frozen=True, eq=False)
class Validation:
    """A problem and its data.

    Attributes:
        splitter: `[TRAIN] splitter` of the study.
    """

    problem: Problem
    data: Data
    splitter: bool = False

    def in_words(self) -> str:
        """How much data there is."""
        test = f", {len(self.data.test):,} test" if self.data.test is not None else ", no test"
        shape = "x".join(map(str, self.data.input_shape))
        kinds = "classes" if self.problem.loss is None else "outputs"
        return (
            f"{len(self.data.train):,} training, {len(self.data.validation):,} validation{test} samples of {shape}, "
            f"{self.data.num_classes} {kinds}"
        )


def load_validation(folder: Path, config: Path | None = None) -> Validation:
    """The problem and the data of a study.

    Args:
        folder: Of the study; the copy of its configuration names the problem, relative to the current folder.
        config: The configuration itself, if the current folder is not the one that its paths start from.

    Raises:
        InputError: They cannot be loaded, and why.
    """
    settings = configuration.read(config or folder / "config.cfg")
    problem = settings.problem.problem
    if isinstance(problem, str):
        problem = load(problem, config.parent if config else None)
    if problem.load_data is None:
        raise InputError("the problem has no data of its own")
    try:
        return Validation(problem, data_of(problem), settings.train.splitter)
    except Exception as error:  # whatever the user's code raises: the report goes without
        raise InputError(f"load_data raised {type(error).__name__}: {error}") from error


def confusion(graph: Graph, trial: Trial, validation: Validation) -> list[list[int]]:
    """How often each class (row) was taken for which (column) by the integer network, (K, K)."""
    join = validation.problem.collate
    data = validation.data.seen_by(trial.candidate.parameters, join, validation.splitter, graph.frontend)
    reads_tokens = any(operator.kind == "embedding" for operator in graph.operators)
    split = Tokens(data.validation) if reads_tokens else data.validation
    classes = data.num_classes
    counts = torch.zeros(classes * classes, dtype=torch.int64)

    def collate(samples: Any) -> Any:
        assert join is not None
        return join(samples, trial.candidate.parameters)

    for x, y in split.batches(_BATCH, None, None if join is None else collate):
        pairs = y.long() * classes + run(graph, x).argmax(1)
        counts += torch.bincount(pairs, minlength=classes * classes)
    found: list[list[int]] = counts.reshape(classes, classes).tolist()
    return found
