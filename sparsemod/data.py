"""`Data`: what a network learns from, what a search may look at, and the test set that no search sees.

Two kinds of split look the same from outside: `Tensors` (all samples in memory, no per-sample Python) and `Samples`
(any `torch.utils.data.Dataset`).

x: samples, (N, *input shape), float32; y: class numbers, (N,). A network that holds an `nn.Embedding` gets x as whole
numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, default_collate

from sparsemod.errors import InputError

Batch = tuple[Tensor, Tensor]
Collate = Callable[[Sequence[Any]], Batch]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""Changes a batch of samples at random, such as `augment.Augment`: (x, rng) -> x."""


class Split(Protocol):
    """A part of the data."""

    def __len__(self) -> int:
        """Number of samples."""

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """All samples once, in batches (x, y); shuffled if `rng` is given, in order otherwise."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Samples in memory, kept as they are (bytes stay bytes) and scaled a batch at a time: (x - mean) / std.

    Attributes:
        x: Samples, (N, *input shape), any type.
        y: Class numbers, (N,), int64.
        mean: One figure, or one for each channel.
        std: As `mean`.
        augment: Changes samples before they are scaled, and only where they are shuffled, which is to train. What is
            read in order, to calibrate, validate or test, stays as it is.
    """

    x: Tensor
    y: Tensor
    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise InputError(f"the data has {len(self.x)} samples but {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._scaled(self.x[index]), self.y[index]

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        order = None if rng is None else torch.randperm(len(self), generator=rng)
        for start in range(0, len(self), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            x, y = self.x[chosen], self.y[chosen]
            if self.augment is not None and rng is not None:
                x = self.augment(x, rng)
            x = self._scaled(x)
            yield (x, y) if collate is None else _collated(collate, list(zip(x, y, strict=True)))

    def select(self, indices: Tensor) -> "Tensors":
        """Some of the samples."""
        return replace(self, x=self.x[indices], y=self.y[indices])

    def _scaled(self, x: Tensor) -> Tensor:
        if isinstance(self.mean, Tensor) or isinstance(self.std, Tensor):
            shape = (-1, *[1] * (self.x.dim() - 2))
            mean, std = (torch.as_tensor(value, dtype=torch.float32).reshape(shape) for value in (self.mean, self.std))
            return (x.float() - mean) / std
        return x.float().sub_(self.mean).div_(self.std) if x.dtype != torch.float32 else (x - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples of a `Dataset` that yields (x, class number)."""

    dataset: "Dataset[Any]"
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        order = range(len(self)) if rng is None else torch.randperm(len(self), generator=rng).tolist()
        for start in range(0, len(order), size):
            samples = [self.dataset[self.indices[position]] for position in order[start : start + size]]
            yield _collated(collate, samples)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The same samples as whole numbers, int64, for a network that looks them up."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        for x, y in self.split.batches(size, rng, collate):
            yield x.long(), y


@dataclass(frozen=True, eq=False)
class Data:
    """Train, validation and test parts of one data set.

    Attributes:
        train: Learned from.
        validation: Scores candidates; never learned from.
        test: Seen once, after the search; None if there is none.
        input_shape: Of one sample, such as (C, H, W).
        num_classes: K.
    """

    train: Split
    validation: Split
    test: Split | None
    input_shape: tuple[int, ...]
    num_classes: int

    @classmethod
    def from_tensors(
        cls,
        train: Tensors,
        test: Tensors | None = None,
        *,
        num_classes: int | None = None,
        validation: float = 0.1,
        test_share: float = 0.0,
        seed: int = 0,
    ) -> "Data":
        """Data in memory; validation samples are taken from the training samples, class by class.

        Args:
            train: All samples that are not test samples.
            test: Test samples; None and a `test_share` take them from `train` too.
            num_classes: K; the largest label + 1 if not given.
            validation: Share of the samples of each class to validate on, test samples not counted.
            test_share: Share of the samples of each class to test on, if `test` is None.
            seed: Of the split.
        """
        if test is None and test_share != 0:
            rest, held_out = stratified_split(train.y.numpy(), test_share, seed + 1)
            train, test = train.select(torch.as_tensor(rest)), train.select(torch.as_tensor(held_out))
        kept, checked = stratified_split(train.y.numpy(), validation, seed)
        labels = train.y if test is None else torch.cat([train.y, test.y])
        classes = num_classes or int(labels.max()) + 1
        if labels.min() < 0 or labels.max() >= classes:
            raise InputError(
                f"labels run from {int(labels.min())} to {int(labels.max())}; {classes} classes are numbered from 0 to "
                f"{classes - 1}"
            )
        return cls(
            train.select(torch.as_tensor(kept)),
            train.select(torch.as_tensor(checked)),
            test,
            tuple(train.x.shape[1:]),
            classes,
        )

    @classmethod
    def from_datasets(
        cls,
        train: "Dataset[Any]",
        test: "Dataset[Any] | None" = None,
        *,
        num_classes: int,
        validation: "float | Dataset[Any]" = 0.1,
        seed: int = 0,
        input_shape: Sequence[int] | None = None,
    ) -> "Data":
        """Data of any `Dataset`s whose items are (x, class number).

        Args:
            train: Training samples.
            test: Test samples, if any.
            num_classes: K.
            validation: A data set, or the share of the training samples of each class to validate on.
            seed: Of the split.
            input_shape: Of one sample; that of the first if not given.
        """
        shape = tuple(input_shape or train[0][0].shape)
        held_out = None if test is None else Samples(test, range(_length(test)))
        if not isinstance(validation, float):
            everything = Samples(train, range(_length(train)))
            return cls(everything, Samples(validation, range(_length(validation))), held_out, shape, num_classes)
        labels = np.array([int(train[index][1]) for index in range(_length(train))])
        kept, checked = stratified_split(labels, validation, seed)
        return cls(Samples(train, kept.tolist()), Samples(train, checked.tolist()), held_out, shape, num_classes)


def _collated(collate: Collate | None, samples: Sequence[Any]) -> Batch:
    x, y = default_collate(list(samples)) if collate is None else collate(samples)
    return x.float(), torch.as_tensor(y)


def joined(first: Split, second: Split) -> Split:
    """The samples of two splits of one kind as one, those of the first before those of the second."""
    if isinstance(first, Tensors) and isinstance(second, Tensors):
        return replace(first, x=torch.cat([first.x, second.x]), y=torch.cat([first.y, second.y]))
    if isinstance(first, Samples) and isinstance(second, Samples):
        both: ConcatDataset[Any] = ConcatDataset(
            [Subset(first.dataset, first.indices), Subset(second.dataset, second.indices)]
        )
        return Samples(both, range(len(both)))
    raise InputError(f"a {type(first).__name__} and a {type(second).__name__} cannot be joined to one split")


def stratified_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples to keep and of those to hold out: the same share of every class, both in order.

    Args:
        labels: Class numbers, (N,).
        share: Part of each class to hold out; of a class that has two samples at least one, but never all.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: The share is not between 0 and 1, or no class has two samples.
    """
    if not 0 < share < 1:
        raise InputError(f"the share of samples to hold out is {share}; it must lie between 0 and 1")
    rng = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: min(max(round(share * len(members)), 1), len(members) - 1)])
    if not any(map(len, held_out)):
        raise InputError(f"none of the {len(labels)} samples can be held out: no class has two")
    checked = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), checked), checked


def _length(dataset: "Dataset[Any]") -> int:
    return len(dataset)  # type: ignore[arg-type]  # torch leaves it to subclasses
