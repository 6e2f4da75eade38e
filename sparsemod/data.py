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

_GROUP_DRAWS = 20


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
        groups: Who each sample comes from, such as a subject, a speaker or a recording: (N,), int64. Parts that are
            taken from these samples share nobody.
    """

    x: Tensor
    y: Tensor
    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0
    augment: Augmentation | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise InputError(f"the data has {len(self.x)} samples but {len(self.y)} labels")
        if self.groups is not None and len(self.x) != len(self.groups):
            raise InputError(f"the data has {len(self.x)} samples but {len(self.groups)} groups; each sample is of one")

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
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, x=self.x[indices], y=self.y[indices], groups=groups)

    def split(self, share: float, seed: int) -> tuple["Tensors", "Tensors"]:
        """The samples to keep and those to hold out: the same share of every class, or whole groups if there are any.

        Raises:
            InputError: See `stratified_split` and `grouped_split`.
        """
        if self.groups is None:
            kept, held_out = stratified_split(self.y.numpy(), share, seed)
        else:
            kept, held_out = grouped_split(self.y.numpy(), self.groups.numpy(), share, seed)
        return self.select(torch.as_tensor(kept)), self.select(torch.as_tensor(held_out))

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
        """Data in memory; validation samples are taken from the training samples.

        They are taken class by class. Of samples that have groups, whole groups are: a network is validated, and tested
        if `test` is None, on people or recordings it has not learned from.

        Args:
            train: All samples that are not test samples.
            test: Test samples; None and a `test_share` take them from `train` too.
            num_classes: K; the largest label + 1 if not given.
            validation: Share of the samples (of each class) to validate on, test samples not counted.
            test_share: Share of the samples (of each class) to test on, if `test` is None.
            seed: Of the split.
        """
        if test is None and test_share != 0:
            train, test = train.split(test_share, seed + 1)
        kept, checked = train.split(validation, seed)
        labels = train.y if test is None else torch.cat([train.y, test.y])
        classes = num_classes or int(labels.max()) + 1
        if labels.min() < 0 or labels.max() >= classes:
            raise InputError(
                f"labels run from {int(labels.min())} to {int(labels.max())}; {classes} classes are numbered from 0 to "
                f"{classes - 1}"
            )
        return cls(kept, checked, test, tuple(train.x.shape[1:]), classes)

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
    """The samples of two splits of one kind as one, those of the first before those of the second.

    Raises:
        InputError: The splits are of different kinds, or only one of them has groups.
    """
    if isinstance(first, Tensors) and isinstance(second, Tensors):
        groups = _joined_groups(first.groups, second.groups)
        return replace(first, x=torch.cat([first.x, second.x]), y=torch.cat([first.y, second.y]), groups=groups)
    if isinstance(first, Samples) and isinstance(second, Samples):
        both: ConcatDataset[Any] = ConcatDataset(
            [Subset(first.dataset, first.indices), Subset(second.dataset, second.indices)]
        )
        return Samples(both, range(len(both)))
    raise InputError(f"a {type(first).__name__} and a {type(second).__name__} cannot be joined to one split")


def _joined_groups(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None and second is None:
        return None
    if first is None or second is None:
        raise InputError("one split has groups and the other has none; give groups to both or to neither")
    return torch.cat([first, second])


def stratified_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples to keep and of those to hold out: the same share of every class, both in order.

    Args:
        labels: Class numbers, (N,).
        share: Part of each class to hold out; of a class that has two samples at least one, but never all.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: The share is not between 0 and 1, or no class has two samples.
    """
    _check_share(share)
    rng = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: min(max(round(share * len(members)), 1), len(members) - 1)])
    if not any(map(len, held_out)):
        raise InputError(f"none of the {len(labels)} samples can be held out: no class has two")
    checked = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), checked), checked


def grouped_split(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples to keep and of those to hold out, both in order; no group is on both sides.

    Groups are drawn at random until they have the share of samples as nearly as may be, at least one and never all. Of
    some such draws the one is taken that comes nearest to the share of every class.

    Args:
        labels: Class numbers, (N,).
        groups: Who each sample comes from, (N,).
        share: Part of the samples to hold out.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: The share is not between 0 and 1, or there are fewer than two groups.
    """
    _check_share(share)
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"none of the {len(labels)} samples can be held out: all come from one group; two are needed")
    classes = np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))  # samples of each group in each class
    np.add.at(counts, (members, classes), 1)
    rng = np.random.default_rng(seed)
    draws = [_nearest_draw(counts.sum(1), share, rng) for _ in range(_GROUP_DRAWS)]
    off = [np.abs(counts[chosen].sum(0) - share * counts.sum(0)).sum() for chosen in draws]
    held_out = np.isin(members, draws[int(np.argmin(off))])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _nearest_draw(sizes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Random groups that have the share of all samples as nearly as may be.

    Args:
        sizes: Samples of each group, (groups,).
        share: See `grouped_split`.
        rng: Draws them.
    """
    order = rng.permutation(len(sizes))
    held_out = sizes[order].cumsum()[:-1]  # by the first group, the first two, and so on
    return order[: int(np.argmin(np.abs(held_out - share * sizes.sum()))) + 1]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"the share of samples to hold out is {share}; it must lie between 0 and 1")


def _length(dataset: "Dataset[Any]") -> int:
    return len(dataset)  # type: ignore[arg-type]  # torch leaves it to subclasses
