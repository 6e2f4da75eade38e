"""`Data`: train, validation and test parts of one data set, and what a candidate sees of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from sparsemod.data.features import features, require_samples
from sparsemod.data.hold_out import hold_out
from sparsemod.data.sequences import Sequences
from sparsemod.data.split import Batch, Samples, Split, Tensors
from sparsemod.errors import InputError
from sparsemod.space import Parameters

if TYPE_CHECKING:
    from sparsemod.frontend import FrontEnd

Join = Callable[[Sequence[Any], Parameters], Batch]
"""`Problem.collate`: joins samples to a batch (x, y) for a candidate of these parameters."""

InMemory = Tensors | Sequences


@dataclass(frozen=True, eq=False)
class Data:
    """Train, validation and test parts of one data set.

    Attributes:
        train: Learned from.
        validation: Scores candidates; never learned from.
        test: Seen once, after the search; None if there is none.
        input_shape: Of one sample, such as (C, H, W); of `Sequences` that of the longest, (T, F). What a candidate gets
            may be shorter, see `seen_by`.
        num_classes: K; where y are real numbers, how many a network gives for a sample.
    """

    train: Split
    validation: Split
    test: Split | None
    input_shape: tuple[int, ...]
    num_classes: int

    @classmethod
    def from_tensors(
        cls,
        train: InMemory,
        test: InMemory | None = None,
        *,
        num_classes: int | None = None,
        validation: float = 0.1,
        test_share: float = 0.0,
        seed: int = 0,
    ) -> "Data":
        """Data in memory, `Tensors` or `Sequences`; validation samples are taken from the training samples.

        They are taken class by class, or anyhow if y are real numbers. Of samples that have groups, whole groups are: a
        network is validated, and tested if `test` is None, on people or recordings it has not learned from.

        Args:
            train: All samples that are not test samples.
            test: Test samples; None and a `test_share` take them from `train` too.
            num_classes: K; the largest label + 1 if not given, or the numbers in one target.
            validation: Share of the samples (of each class) to validate on, test samples not counted.
            test_share: Share of the samples (of each class) to test on, if `test` is None.
            seed: Of the split.
        """
        shape = train.sample_shape
        if test is None and test_share != 0:
            train, test = train.split(test_share, seed + 1)
        kept, checked = train.split(validation, seed)
        y = train.y if test is None else torch.cat([train.y, test.y])
        return cls(kept, checked, test, shape, _num_classes(y, num_classes))

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
        """Data of any `Dataset`s whose items are (x, class number) or (x, targets).

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
        labels = torch.as_tensor(np.array([train[index][1] for index in range(_length(train))]))
        kept, checked = hold_out(labels, None, validation, seed)
        return cls(Samples(train, kept.tolist()), Samples(train, checked.tolist()), held_out, shape, num_classes)

    @classmethod
    def from_loaders(
        cls,
        train: "DataLoader[Any]",
        test: "DataLoader[Any] | None" = None,
        *,
        validation: "float | DataLoader[Any]" = 0.1,
        num_classes: int | None = None,
        seed: int = 0,
    ) -> "Data":
        """Data of the loaders of a training script, read once into memory: epochs of a search then cost no loading.

        Each loader's data set is read in order, with its own `collate_fn`, whatever its sampler. Random changes in it
        are made once: give them as `Tensors.augment`. What does not fit into memory, use `from_datasets` for.

        Args:
            train: Gives batches (x, y).
            test: Test samples, if any.
            validation: A loader, or the share of the training samples (of each class) to validate on.
            num_classes: K; the largest label + 1 if not given, or the numbers in one target.
            seed: Of the split, and of random changes.

        Raises:
            InputError: A loader gives something else than batches (x, y), or samples of different shapes.
        """
        read = _read(train, seed)
        held_out = None if test is None else _read(test, seed)
        if isinstance(validation, float):
            return cls.from_tensors(read, held_out, num_classes=num_classes, validation=validation, seed=seed)
        checked = _read(validation, seed)
        y = torch.cat([part.y for part in (read, checked, held_out) if part is not None])
        return cls(read, checked, held_out, read.sample_shape, _num_classes(y, num_classes))

    def shape_seen_by(
        self,
        parameters: Parameters,
        collate: Join | None = None,
        splitter: bool = False,
        frontend: "FrontEnd | None" = None,
    ) -> tuple[int, ...]:
        """Shape of what the network of a candidate gets; this is the one rule for it.

        With a front end it is that of its features, with `collate` that of the first training sample, collated. Else it
        is `input_shape`, but `Sequences` have as many steps as the parameter `max_len` says if there is one.

        Args:
            parameters: Of the candidate.
            collate: The problem's.
            splitter: `[TRAIN] splitter`: sequences are cut into windows of `max_len` steps first.
            frontend: Of the candidate, if the problem has one.

        Raises:
            InputError: There is nothing to cut, or no `max_len`; or the data are no raw samples for the front end.
        """
        if splitter:
            _require_windows(self.train, parameters)
        if frontend is not None:
            require_samples(self.train)
            return frontend.output_shape
        if collate is not None:
            first = self.train.select(torch.tensor([0])) if isinstance(self.train, Sequences) else self.train
            samples = _cut(first, parameters, splitter)
            x, _ = next(iter(samples.batches(1, None, lambda samples: collate(samples, parameters))))
            return tuple(x.shape[1:])
        if isinstance(self.train, Sequences) and "max_len" in parameters:
            return (int(parameters["max_len"]), *self.input_shape[1:])
        return self.input_shape

    def seen_by(
        self,
        parameters: Parameters,
        collate: Join | None = None,
        splitter: bool = False,
        frontend: "FrontEnd | None" = None,
        streaming: bool = False,
    ) -> "Data":
        """The data as the network of a candidate gets them: of the input shape that `shape_seen_by` says, without test.

        `Sequences` are cut and padded to one length, or cut into windows, each of which is a sample, to train
        and to validate alike. What takes one step at a time gets them, or the windows, at their own lengths: none is
        padded, and what is longer than `max_len` is cut. A `collate` of the user gets them whole, or the windows. Of a
        front end come features, which are kept for the next candidate with the same one.

        Args:
            parameters: Of the candidate.
            collate: The problem's.
            splitter: `[TRAIN] splitter`.
            frontend: Of the candidate, if the problem has one.
            streaming: `[TRAIN] streaming`.

        Raises:
            InputError: See `shape_seen_by`.
        """
        shape = self.shape_seen_by(parameters, collate, splitter, frontend)
        window = int(parameters["max_len"]) if splitter else 0
        limit = int(parameters["max_len"]) if "max_len" in parameters else None

        def seen(split: Split) -> Split:
            if frontend is not None:
                return features(require_samples(split), frontend, window)
            split = _cut(split, parameters, splitter)
            if collate is not None or not isinstance(split, Sequences):
                return split
            return split.packed(shape[0], limit) if streaming else split.padded(shape[0])

        return replace(self, train=seen(self.train), validation=seen(self.validation), test=None, input_shape=shape)


def _cut(split: Split, parameters: Parameters, splitter: bool) -> Split:
    return split.windows(int(parameters["max_len"])) if splitter and isinstance(split, Sequences) else split


def _require_windows(split: Split, parameters: Parameters) -> None:
    lacking = f"the data are {type(split).__name__}"
    if isinstance(split, Sequences):
        lacking = "" if "max_len" in parameters else "the space has no parameter max_len"
    if lacking:
        raise InputError(
            f"splitter = true cuts `Sequences` into windows of the searched parameter max_len, but {lacking}; set it "
            "to false, or bring both"
        )


def _num_classes(y: Tensor, given: int | None) -> int:
    """K, of class numbers that are all within it, or the numbers in one target."""
    if y.is_floating_point():
        return given or math.prod(y.shape[1:])
    classes = given or int(y.max()) + 1
    if y.min() < 0 or y.max() >= classes:
        raise InputError(
            f"labels run from {int(y.min())} to {int(y.max())}; {classes} classes are numbered from 0 to {classes - 1}"
        )
    return classes


def _read(loader: "DataLoader[Any]", seed: int) -> Tensors:
    """All samples of a loader, in the order of its data set."""
    join = None if loader.batch_sampler is None else loader.collate_fn  # a loader of single samples joins none
    in_order: DataLoader[Any] = DataLoader(loader.dataset, loader.batch_size or 256, collate_fn=join)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batches = list(in_order)
    strange = next((batch for batch in batches if not _is_pair(batch)), None)
    if strange is not None or not batches:
        found = "nothing" if strange is None else f"a {type(strange).__name__}"
        raise InputError(
            f"a loader gives {found}; it must give batches (x, y) of tensors. Let its collate_fn make them"
        )
    shapes = {tuple(x.shape[1:]) for x, _ in batches}
    if len(shapes) > 1:
        raise InputError(
            f"a loader gives samples of {len(shapes)} shapes, such as {' and '.join(map(str, sorted(shapes)[:2]))}; "
            "bring them as sparsemod.Sequences, which are padded to one length"
        )
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Tensors(x, y)


def _is_pair(batch: object) -> bool:
    return isinstance(batch, list | tuple) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)


def joined(first: Split, second: Split) -> Split:
    """The samples of two splits of one kind as one, those of the first before those of the second.

    Raises:
        InputError: The splits are of different kinds, or only one of them has groups.
    """
    if isinstance(first, Tensors) and isinstance(second, Tensors):
        groups = _joined_groups(first.groups, second.groups)
        return replace(first, x=torch.cat([first.x, second.x]), y=torch.cat([first.y, second.y]), groups=groups)
    if isinstance(first, Sequences) and isinstance(second, Sequences):
        groups = _joined_groups(first.groups, second.groups)
        return replace(first, x=[*first.x, *second.x], y=torch.cat([first.y, second.y]), groups=groups)
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


def _length(dataset: "Dataset[Any]") -> int:
    return len(dataset)  # type: ignore[arg-type]  # torch leaves it to subclasses
