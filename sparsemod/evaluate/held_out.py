"""Networks on samples that they have not seen: those of the test set, or of a group that was left out.

What trains never gets the samples that are measured on: they are not part of its data, so that no early stopping,
calibration or teacher can look at them.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from sparsemod.config import Config, ProblemSection
from sparsemod.data import Data, Sequences, Split, Tensors, joined
from sparsemod.errors import InputError
from sparsemod.evaluate.given import collate_of, data_of, problem_of, teacher_of
from sparsemod.evaluate.mistakes import confusion, readable
from sparsemod.evaluate.pipeline import evaluate
from sparsemod.graph import Graph, run
from sparsemod.problem import Problem
from sparsemod.study import Candidate, Trial
from sparsemod.tested import Tested
from sparsemod.train import error


def measure_retrained(candidate: Candidate, seed: int, group: int | None, config: Config) -> Tested:
    """Trains a network from new weights, as in the search but on all samples that are not held out; measures it once.

    Args:
        candidate: Its number, parameters and epochs.
        seed: Of this training, from 1 on; added to that of the study.
        group: To hold out, of all samples; None for the test set.
        config: Of the study.
    """
    started = time.perf_counter()
    problem = problem_of(config)
    others, held_out = _parted(problem, group)
    train = replace(config.train, seed=config.train.seed + seed)
    fresh = replace(candidate, origin="test", parent=None)
    outcome = evaluate(fresh, replace(config, train=train, problem=ProblemSection(others)))
    found = Tested(candidate.number, seed, group, candidate.epochs, outcome.trial.status, reason=outcome.trial.reason)
    if outcome.graph is not None:
        found = _measured(found, outcome.graph, outcome.trial, held_out, config)
    return replace(found, seconds=round(time.perf_counter() - started, 3))


def measure_saved(trial: Trial, epochs: int, graph: Graph, config: Config) -> Tested:
    """Measures the very network that the search left on the test set.

    Args:
        trial: It was scored as this.
        epochs: It has seen.
        graph: The integer network.
        config: Of the study.
    """
    started = time.perf_counter()
    test = data_of(problem_of(config)).test
    assert test is not None
    found = _measured(Tested(trial.number, None, None, epochs), graph, trial, test, config)
    return replace(found, seconds=round(time.perf_counter() - started, 3))


def groups_of(data: Data) -> list[int]:
    """The groups of all samples, in order.

    Raises:
        InputError: It is not known who the samples come from, or all come from one group.
    """
    groups: list[int] = _all_samples(data)[1].unique().tolist()
    if len(groups) < 2:
        raise InputError("[TEST] folds = groups needs samples of two groups or more, but all are of one")
    return groups


def _measured(found: Tested, graph: Graph, trial: Trial, split: Split, config: Config) -> Tested:
    problem, parameters = problem_of(config), trial.candidate.parameters
    data = replace(data_of(problem), validation=split)
    data = data.seen_by(parameters, problem.collate, config.train.splitter, graph.frontend, graph.steps > 0)
    collate = collate_of(problem, parameters, data.input_shape)
    costs = {name: value for name, value in trial.score.items() if name not in ("error", "float_error")}
    if problem.error is not None or problem.loss is not None:
        own = error(functools.partial(run, graph), readable(data.validation, graph), collate, problem.error)
        found = replace(found, error=own)
    if problem.loss is not None:  # there are no classes
        return replace(found, costs=costs)
    counts = confusion(graph, data.validation, data.num_classes, collate)
    right, total = counts.diagonal().tolist(), counts.sum(1).tolist()
    recalls = tuple(hits / samples if samples else None for hits, samples in zip(right, total, strict=True))
    wrong = (sum(total) - sum(right)) / sum(total) if found.error is None else found.error
    return replace(found, error=wrong, recalls=recalls, costs=costs)


@functools.lru_cache(maxsize=2)
def _parted(problem: Problem, group: int | None) -> tuple[Problem, Split]:
    """A problem whose data lacks the samples that are held out, and these; made once per process.

    What validates is among what trains, if it can be learned from: an error on it says nothing here, and nothing else
    is left.
    """
    data = data_of(problem)
    teacher: Callable[[Data], nn.Module] | None
    if group is None:
        assert data.test is not None
        rest, validation, held_out = _to_learn_from(data), data.validation, data.test
        # The teacher of the search has learned from the training samples alone.
        teacher = None if problem.teacher is None else lambda _: teacher_of(problem)
    else:
        everything, groups = _all_samples(data)
        rest = validation = everything.select((groups != group).nonzero().flatten())
        held_out = everything.select((groups == group).nonzero().flatten())
        teacher = problem.teacher
    seen = Data(rest, validation, None, data.input_shape, data.num_classes)
    return replace(problem, load_data=lambda: seen, teacher=teacher), held_out


def _to_learn_from(data: Data) -> Split:
    """Training samples and those that validate; not these where their y is of another kind.

    An autoencoder learns x from x, and its validation samples say what is strange.
    """
    parts = [part for part in (data.train, data.validation) if isinstance(part, Tensors | Sequences)]
    kinds = {(part.y.shape[1:], part.y.is_floating_point()) for part in parts}
    return data.train if len(kinds) > 1 else joined(data.train, data.validation)


def _all_samples(data: Data) -> tuple[Tensors | Sequences, Tensor]:
    """Every sample there is, and the group of each, (N,)."""
    everything = functools.reduce(joined, [data.train, data.validation, *([data.test] if data.test else [])])
    if not isinstance(everything, Tensors | Sequences) or everything.groups is None:
        raise InputError(
            "[TEST] folds = groups needs to know who each sample comes from; give Tensors(x, y, groups=...), such as "
            "numbers of subjects or speakers"
        )
    return everything, everything.groups
