"""The validation split of a study, if its problem can be loaded from here, and what a network gets wrong on it."""

from dataclasses import dataclass
from pathlib import Path

from sparsemod.data import Data
from sparsemod.errors import InputError
from sparsemod.evaluate import collate_of, confusion, data_of, problem_of
from sparsemod.graph import Graph
from sparsemod.problem import Problem
from sparsemod.results import configuration_of
from sparsemod.study import Trial


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
        folder: Of the study; the copy of its configuration names the problem.
        config: Another configuration that does, such as the original if the study was moved.

    Raises:
        InputError: They cannot be loaded, and why.
    """
    settings = configuration_of(folder, config)
    problem = problem_of(settings)
    if problem.load_data is None:
        raise InputError("the problem has no data of its own")
    try:
        return Validation(problem, data_of(problem), settings.train.splitter)
    except Exception as error:  # whatever the user's code raises: the report goes without
        raise InputError(f"load_data raised {type(error).__name__}: {error}") from error


def mistakes(graph: Graph, trial: Trial, validation: Validation) -> list[list[int]]:
    """How often each class (row) was taken for which (column) by the integer network, (K, K)."""
    problem, parameters = validation.problem, trial.candidate.parameters
    data = validation.data.seen_by(parameters, problem.collate, validation.splitter, graph.frontend, graph.steps > 0)
    collate = collate_of(problem, parameters, data.input_shape)
    counts: list[list[int]] = confusion(graph, data.validation, data.num_classes, collate).tolist()
    return counts
