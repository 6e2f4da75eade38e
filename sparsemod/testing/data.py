"""What a problem says of its samples: data, their augmentation, and a teacher for them."""

from dataclasses import replace

import torch

from sparsemod.data import Data, Samples, Sequences, Split, Tensors
from sparsemod.errors import InputError
from sparsemod.evaluate import teacher_of
from sparsemod.graph.trace import reads_tokens
from sparsemod.problem import Problem
from sparsemod.testing.faults import told

_TAUGHT = 32
_SHARED = 0.01
"""Share of validation or test samples that may also be training samples: real data sets hold a few duplicates."""


def described(data: Data | None, problem: Problem) -> str:
    """How many samples of what, in a line."""
    if data is None:
        return "not loaded"
    kinds = "classes" if problem.loss is None else "outputs"
    counts = f"{len(data.train):,} train, {len(data.validation):,} validation"
    test = "" if data.test is None else f", {len(data.test):,} test"
    return f"{counts}{test} samples of {' x '.join(map(str, data.input_shape))}, {data.num_classes} {kinds}"


def loaded(problem: Problem) -> tuple[Data | None, list[str]]:
    """The data, if that is what they are, and what is wrong with them."""
    assert problem.load_data is not None
    try:
        data = problem.load_data()
    except Exception as error:
        return None, [f"load_data raises {told(error)}"]
    if not isinstance(data, Data):
        return None, [f"load_data returns a {type(data).__name__}; it must return a sparsemod.Data"]
    faults = []
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if split is not None:
            faults += _split_faults(name, split, data, problem)
    whole = problem.collate is None and problem.frontend is None
    faults += _augmentation_faults(data.train) if not faults and whole else []
    for name, split in (("validation", data.validation), ("test", data.test)):
        shared = 0.0 if split is None else _shared(split, data.train)
        if shared > _SHARED:
            faults.append(f"{shared:.0%} of the {name} samples are training samples too; the splits must be disjoint")
    return data, faults


def _split_faults(name: str, split: Split, data: Data, problem: Problem) -> list[str]:
    """What is wrong with the first samples of a part; with a `collate` of the user's scoring tries them."""
    if len(split) == 0:
        return [f"the {name} split is empty"]
    if problem.collate is not None or problem.frontend is not None:
        return []  # scoring tries them
    split = split.padded(data.input_shape[0]) if isinstance(split, Sequences) else split
    x, y = next(iter(split.batches(256)))
    faults = []
    if tuple(x.shape[1:]) != data.input_shape:
        faults.append(f"{name} samples have shape {tuple(x.shape[1:])}; input_shape says {data.input_shape}")
    if not bool(torch.isfinite(x).all()):
        faults.append(f"the {name} split holds values that are not finite")
    if problem.loss is None and not 0 <= int(y.min()) <= int(y.max()) < data.num_classes:
        faults.append(f"{name} labels run from {int(y.min())} to {int(y.max())}; num_classes is {data.num_classes}")
    return faults


def _augmentation_faults(train: Split) -> list[str]:
    """What is wrong with a shuffled batch where one in order is right."""
    if not isinstance(train, Tensors) or train.augment is None:
        return []
    try:
        x, _ = next(train.batches(256, torch.Generator().manual_seed(0)))
    except Exception as error:
        return [f"augment raises {told(error)}"]
    shape = tuple(train.x.shape[1:])
    if tuple(x.shape[1:]) != shape:
        return [f"augment makes samples of shape {tuple(x.shape[1:])} from {shape}; it must keep their shape"]
    return [] if bool(torch.isfinite(x).all()) else ["augment makes values that are not finite"]


def _shared(split: Split, train: Split) -> float:
    """Share of a split's samples that the training split holds as well."""
    if isinstance(split, Samples) and isinstance(train, Samples) and split.dataset is train.dataset:
        return len(set(split.indices) & set(train.indices)) / len(split)
    if isinstance(split, Tensors | Sequences) and isinstance(train, Tensors | Sequences):
        known = {row.numpy().tobytes() for row in train.x}
        return sum(row.numpy().tobytes() in known for row in split.x) / len(split)
    return 0.0


def taught(problem: Problem, data: Data) -> tuple[Problem, list[str]]:
    """The problem with a teacher that is there already, or without one where it is wrong; and its faults."""
    without = replace(problem, teacher=None)
    try:
        teacher = teacher_of(replace(problem, load_data=lambda: data))
    except InputError as error:
        return without, [told(error)]
    except Exception as error:
        return without, [f"teacher raises {told(error)}"]
    faults = [] if problem.collate is not None else _teacher_faults(teacher, data)  # else scoring tries it
    return (without if faults else replace(problem, teacher=lambda _: teacher)), faults


def _teacher_faults(teacher: torch.nn.Module, data: Data) -> list[str]:
    """What is wrong with its scores for a batch of training samples."""
    x, _ = next(data.seen_by({}).train.batches(_TAUGHT))
    try:
        with torch.no_grad():
            scores = teacher(x.long() if reads_tokens(teacher) else x)
    except Exception as error:
        return [f"the teacher raises {told(error)} for a batch of shape {tuple(x.shape)}"]
    if not isinstance(scores, torch.Tensor):
        return [f"the teacher gives a {type(scores).__name__}; it must give scores, (N, {data.num_classes})"]
    if scores.shape != (len(x), data.num_classes):
        shape = tuple(scores.shape)
        return [f"the teacher gives {shape} for a batch of {len(x)}; it must give {(len(x), data.num_classes)}"]
    return [] if bool(scores.isfinite().all()) else ["the teacher gives scores that are not finite"]
