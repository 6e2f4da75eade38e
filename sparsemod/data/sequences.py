"""`Sequences`: samples of different lengths in memory, and how a network gets them: padded, in windows or packed.

A network of whole sequences has a fixed input, so it always sees `length` steps: what is longer is cut at the end or
into windows, what is shorter is padded with zeros after its end. One that takes a step at a time ends with the last
step of each: its sequences are packed one after the other, with nothing between.

T: steps of a sequence; F: features of a step.

[Khomenko2016] Accelerating recurrent neural network training using sequence bucketing and multi-GPU data
    parallelization, DSMP 2016, arXiv 1708.05604.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsemod.data.hold_out import hold_out
from sparsemod.data.split import Batch, Collate, Split, Tensors, collated
from sparsemod.errors import InputError


@dataclass(frozen=True, eq=False)
class Sequences(Split):
    """Sequences in memory, of any type, scaled when they are read: (x - mean) / std.

    Attributes:
        x: One tensor per sequence, (T, F) or (T,), each with a T of its own.
        y: Class numbers, (N,), int64; or targets, (N, ...), float.
        groups: Who each sequence comes from, (N,), int64; see `Tensors`.
        mean: One figure, or one for each feature, (F,).
        std: As `mean`.

    Raises:
        InputError: The numbers of sequences, labels and groups differ, or a sequence has no steps or other features.
    """

    x: Sequence[Tensor]
    y: Tensor
    groups: Tensor | None = None
    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise InputError(f"the data has {len(self.x)} sequences but {len(self.y)} labels")
        if self.groups is not None and len(self.x) != len(self.groups):
            raise InputError(f"the data has {len(self.x)} sequences but {len(self.groups)} groups; each is of one")
        for position, sequence in enumerate(self.x):
            if sequence.dim() == 0 or len(sequence) == 0 or sequence.shape[1:] != self.x[0].shape[1:]:
                raise InputError(
                    f"sequence {position} has shape {tuple(sequence.shape)}, the first {tuple(self.x[0].shape)}; each "
                    "must have at least one step, and all the same features in a step"
                )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return (self.x[index].float() - self.mean) / self.std, self.y[index]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Of the longest sequence."""
        return (max(map(len, self.x), default=0), *(self.x[0].shape[1:] if len(self.x) else ()))

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`. `collate` gets whole sequences; without it they are padded to the longest of all."""
        if collate is None:
            yield from self.padded(self.sample_shape[0]).batches(size, rng)
            return
        order = range(len(self)) if rng is None else torch.randperm(len(self), generator=rng).tolist()
        for start in range(0, len(order), size):
            yield collated(collate, [self[position] for position in order[start : start + size]])

    def select(self, indices: Tensor) -> "Sequences":
        """Some of the sequences."""
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, x=[self.x[index] for index in indices.tolist()], y=self.y[indices], groups=groups)

    def split(self, share: float, seed: int) -> tuple["Sequences", "Sequences"]:
        """The sequences to keep and those to hold out; see `hold_out`."""
        kept, held_out = hold_out(self.y, self.groups, share, seed)
        return self.select(kept), self.select(held_out)

    def padded(self, length: int) -> Tensors:
        """All sequences with `length` steps, (N, length, F): cut at the end, or zeros follow after scaling."""
        x = torch.zeros(len(self), length, *self.sample_shape[1:])
        for position in range(len(self)):
            steps, _ = self[position]
            x[position, : len(steps)] = steps[:length]
        return Tensors(x, self.y, groups=self.groups)

    def packed(self, length: int, limit: int | None = None) -> "Packed":
        """All sequences at their own lengths, for a network that is written for `length` steps; cut at `limit`."""
        parts = [self[position][0][:limit] for position in range(len(self))]
        steps = torch.cat([torch.empty(0, *self.sample_shape[1:]), *parts])
        return Packed(steps, torch.tensor([len(part) for part in parts]).long(), self.y, length)

    def windows(self, length: int) -> "Sequences":
        """Every sequence cut into windows of `length` steps, each of its label and group.

        What is left at the end becomes a shorter window if it has at least half the length, or if it is all there is;
        less is dropped.
        """
        cut = [_windows(sequence, length) for sequence in self.x]
        source = torch.repeat_interleave(torch.arange(len(cut)), torch.tensor([len(parts) for parts in cut]).long())
        groups = None if self.groups is None else self.groups[source]
        return replace(self, x=[window for parts in cut for window in parts], y=self.y[source], groups=groups)


@dataclass(frozen=True, eq=False)
class Packed(Split):
    """Sequences at their own lengths, in batches of one length each [Khomenko2016].

    So any network reads each sequence for exactly as many steps as it has. Batches are as large as they may be; where
    few sequences have the same length they are small. They come in the order of the first sequence in each: if all
    have one length, batches are those of `Tensors`.

    Attributes:
        steps: Of all sequences, one after the other, scaled: (sum of all T, F), float32.
        lengths: T of each, (N,), int64.
        y: As of `Sequences`.
        length: T that the network is written for.
    """

    steps: Tensor
    lengths: Tensor
    y: Tensor
    length: int

    def __len__(self) -> int:
        return len(self.y)

    def batches(self, size: int, rng: torch.Generator | None = None, collate: Collate | None = None) -> Iterator[Batch]:
        """See `Split`."""
        order = torch.arange(len(self)) if rng is None else torch.randperm(len(self), generator=rng)
        starts = self.lengths.cumsum(0) - self.lengths
        for places in _buckets(self.lengths[order], size):
            chosen = order[places]
            x = self.steps[starts[chosen, None] + torch.arange(int(self.lengths[chosen[0]]))]
            y = self.y[chosen]
            yield (x, y) if collate is None else collated(collate, list(zip(x, y, strict=True)))

    def batch_count(self, size: int) -> int:
        """See `Split`."""
        return len(_buckets(self.lengths, size))

    def of_one_shape(self) -> Tensors:
        """See `Split`: zeros come before the first step, so that the last one is the last; what is longer is cut."""
        x = self.steps.new_zeros(len(self), self.length, *self.steps.shape[1:])
        for row, sequence in zip(x, self.steps.split(self.lengths.tolist()), strict=True):
            row[-len(sequence) :] = sequence[: self.length]
        return Tensors(x, self.y)


def _buckets(lengths: Tensor, size: int) -> list[Tensor]:
    """Places of equal lengths, at most `size` together, by the first of them."""
    each = [chunk for length in lengths.unique() for chunk in (lengths == length).nonzero().flatten().split(size)]
    return sorted(each, key=lambda places: int(places[0]))


def _windows(sequence: Tensor, length: int) -> list[Tensor]:
    windows = list(sequence.split(length))
    if len(windows) > 1 and 2 * len(windows[-1]) < length:
        windows.pop()
    return windows
