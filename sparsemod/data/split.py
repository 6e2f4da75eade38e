"""Parts of the data: `Tensors` in memory, `Samples` of any `Dataset`; `Tokens`, whole numbers; `Placed`, on a GPU."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from sparsemod.data.hold_out import hold_out
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
        """All samples once, in batches (x, y); shuffled if `rng` is given, else in the same order each time."""

    def batch_count(self, size: int) -> int:
        """How many batches of at most `size` samples those are."""
        return math.ceil(len(self) / size)

    def of_one_shape(self) -> "Split":
        """The same samples, each of the shape that a network is written for, as an exported module needs them."""
        return self


@dataclass(frozen=True, eq=False)
class Tensors(Split):
    """Samples in memory, kept as they are (bytes stay bytes) and scaled a batch at a time: (x - mean) / std.

    Attributes:
        x: Samples, (N, *input shape), any type.
        y: Class numbers, (N,), int64; or targets, (N, ...), float, which are not scaled.
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

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.x.shape[1:])

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        order = None if rng is None else torch.randperm(len(self), generator=rng).to(self.x.device)
        for start in range(0, len(self), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            x, y = self.x[chosen], self.y[chosen]
            if self.augment is not None and rng is not None:
                x = self.augment(x, rng)
            x = self._scaled(x)
            yield (x, y) if collate is None else collated(collate, list(zip(x, y, strict=True)))

    def to(self, accelerator: torch.device) -> "Tensors":
        """All samples in the memory of an accelerator."""
        return replace(self, x=self.x.to(accelerator), y=self.y.to(accelerator))

    def select(self, indices: Tensor) -> "Tensors":
        """Some of the samples."""
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, x=self.x[indices], y=self.y[indices], groups=groups)

    def split(self, share: float, seed: int) -> tuple["Tensors", "Tensors"]:
        """The samples to keep and those to hold out; see `hold_out`."""
        kept, held_out = hold_out(self.y, self.groups, share, seed)
        return self.select(kept), self.select(held_out)

    def _scaled(self, x: Tensor) -> Tensor:
        if isinstance(self.mean, Tensor) or isinstance(self.std, Tensor):
            shape = (-1, *[1] * (self.x.dim() - 2))
            mean, std = (
                torch.as_tensor(value, dtype=torch.float32).to(x.device).reshape(shape)
                for value in (self.mean, self.std)
            )
            return (x.float() - mean) / std
        return x.float().sub_(self.mean).div_(self.std) if x.dtype != torch.float32 else (x - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class Samples(Split):
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
            yield collated(collate, samples)


@dataclass(frozen=True, eq=False)
class Tokens(Split):
    """The same samples as whole numbers, int64, for a network that looks them up."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        for x, y in self.split.batches(size, rng, collate):
            yield x.long(), y

    def batch_count(self, size: int) -> int:
        """See `Split`."""
        return self.split.batch_count(size)

    def of_one_shape(self) -> "Tokens":
        """See `Split`."""
        return Tokens(self.split.of_one_shape())


@dataclass(frozen=True, eq=False)
class Placed(Split):
    """The same samples, whose batches lie on an accelerator; `Tensors` lie there whole, as they are kept."""

    split: Split
    accelerator: torch.device

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`; `collate` joins samples that lie in the memory of the processor."""
        split = self._moved if collate is None else self.split
        for x, y in split.batches(size, rng, collate):
            yield x.to(self.accelerator), y.to(self.accelerator)

    def batch_count(self, size: int) -> int:
        """See `Split`."""
        return self.split.batch_count(size)

    def of_one_shape(self) -> "Placed":
        """See `Split`."""
        return Placed(self.split.of_one_shape(), self.accelerator)

    @functools.cached_property
    def _moved(self) -> Split:
        return self.split.to(self.accelerator) if isinstance(self.split, Tensors) else self.split


def collated(collate: Collate | None, samples: Sequence[Any]) -> Batch:
    """Samples as a batch, joined by `collate` or as PyTorch does; x are real numbers."""
    x, y = default_collate(list(samples)) if collate is None else collate(samples)
    return x.float(), torch.as_tensor(y)
