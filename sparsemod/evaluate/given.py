"""What the user brings: the problem, and its data and teacher, loaded once per process."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sparsemod.config import Config
from sparsemod.data import Batch, Collate, Data
from sparsemod.errors import InputError
from sparsemod.problem import Problem, load
from sparsemod.space import Parameters


def problem_of(config: Config) -> Problem:
    """The problem a configuration names."""
    problem = config.problem.problem
    if not problem:
        raise InputError("[PROBLEM] problem is not set; it names what to search, such as problem.py:problem")
    return load(problem, config.folder) if isinstance(problem, str) else problem


@functools.lru_cache(maxsize=2)
def data_of(problem: Problem) -> Data:
    """The data of a problem, loaded once per process."""
    assert problem.load_data is not None
    return problem.load_data()


def collate_of(problem: Problem, parameters: Parameters, shape: tuple[int, ...]) -> Collate | None:
    """What joins samples to a batch for the network of some parameters; None if the problem leaves it to us.

    Args:
        problem: With a `collate`, or without.
        parameters: Of the network.
        shape: That it was built for; all batches must be of it.
    """
    join = problem.collate
    if join is None:
        return None

    def collate(samples: Sequence[Any]) -> Batch:
        x, y = join(samples, parameters)
        if tuple(x.shape[1:]) != shape:
            raise InputError(
                f"collate makes samples of shape {tuple(x.shape[1:])}, but of the first one to learn from {shape}; "
                "a network on a microcontroller has one input shape, so cut or pad all to the same"
            )
        return x, y

    return collate


@functools.lru_cache(maxsize=2)
def teacher_of(problem: Problem) -> nn.Module:
    """The teacher of a problem, loaded or trained once per process; seeded, so that all processes train the same.

    Raises:
        InputError: It is no network.
    """
    assert problem.teacher is not None
    torch.manual_seed(0)
    teacher = problem.teacher(data_of(problem))
    if not isinstance(teacher, nn.Module):
        raise InputError(f"teacher returns a {type(teacher).__name__}; it must return a trained torch.nn.Module")
    return teacher.eval()
