from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from sparsemod.augment import Augment
from sparsemod.data import Data, Samples, Split, Tensors, joined, stratified_split
from sparsemod.errors import InputError


class Numbered(Dataset[tuple[Tensor, int]]):
    """Sample i is the pair (i, 10 i) of class i modulo `classes`."""

    def __init__(self, count: int, classes: int = 2) -> None:
        self.count, self.classes = count, classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([index, 10 * index]), index % self.classes


def numbered_tensors(count: int, classes: int = 2) -> Tensors:
    """The same samples in memory."""
    numbers = torch.arange(count)
    return Tensors(torch.stack([numbers, 10 * numbers], 1), numbers % classes)


def join(split: Split, size: int = 3, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """All of a split."""
    xs, ys = zip(*split.batches(size, rng), strict=True)
    return torch.cat(xs), torch.cat(ys)


BOTH_KINDS = pytest.mark.parametrize(
    "split", [numbered_tensors(7), Samples(Numbered(7), range(7))], ids=["tensors", "samples"]
)


@BOTH_KINDS
def test_batches_hold_every_sample_once_in_order(split: Split) -> None:
    assert len(split) == 7
    assert [len(x) for x, _ in split.batches(3)] == [3, 3, 1]
    assert [len(x) for x, _ in split.batches(100)] == [7]
    x, y = join(split)
    assert x.tolist() == [[index, 10 * index] for index in range(7)]
    assert y.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


@BOTH_KINDS
def test_shuffled_batches_hold_the_same_pairs_in_an_order_that_the_seed_fixes(split: Split) -> None:
    x, y = join(split, rng=torch.Generator().manual_seed(1))
    again, _ = join(split, rng=torch.Generator().manual_seed(1))
    other, _ = join(split, rng=torch.Generator().manual_seed(2))
    assert x[:, 0].tolist() != list(range(7))
    assert sorted(x[:, 0].tolist()) == list(range(7))
    assert (x[:, 0].long() % 2 == y).all()
    assert (x == again).all()
    assert not (x == other).all()


@BOTH_KINDS
def test_collate_joins_samples_and_sees_the_same_order(split: Split) -> None:
    def last_as_label(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([x[:1] for x, _ in samples]), torch.stack([x[1] for x, _ in samples]).long()

    batches = list(split.batches(3, torch.Generator().manual_seed(1), last_as_label))
    plain = list(split.batches(3, torch.Generator().manual_seed(1)))
    assert [x.shape for x, _ in batches] == [(3, 1), (3, 1), (1, 1)]
    for (x, y), (plain_x, _) in zip(batches, plain, strict=True):
        assert x[:, 0].tolist() == plain_x[:, 0].tolist()
        assert y.tolist() == plain_x[:, 1].tolist()


@pytest.mark.parametrize("split", [numbered_tensors(0), Samples(Numbered(0), [])], ids=["tensors", "samples"])
@pytest.mark.parametrize("rng", [None, torch.Generator()], ids=["in order", "shuffled"])
def test_empty_split_has_no_batches(split: Split, rng: torch.Generator | None) -> None:
    assert len(split) == 0
    assert list(split.batches(4, rng)) == []


def test_bytes_stay_bytes_and_are_scaled_a_batch_at_a_time() -> None:
    split = Tensors(torch.tensor([[0], [10], [250]], dtype=torch.uint8), torch.tensor([0, 1, 0]), mean=10.0, std=5.0)
    x, _ = next(split.batches(3))
    assert x.flatten().tolist() == [-2, 0, 48]
    assert split.x.flatten().tolist() == [0, 10, 250]
    assert split.x.dtype == torch.uint8
    assert split[2][0].tolist() == [48]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_scaling_never_changes_the_samples(dtype: torch.dtype) -> None:
    split = Tensors(torch.ones(4, 2, dtype=dtype), torch.zeros(4, dtype=torch.int64), mean=3.0, std=2.0)
    x, _ = next(split.batches(4))
    assert (x == -1).all()
    assert x.dtype == torch.float32
    assert (split.x == 1).all()


def test_each_channel_has_its_own_scale() -> None:
    images = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    split = Tensors(images, torch.tensor([0, 1]), torch.tensor([10.0, 10.0, 10.0]), torch.tensor([1.0, 2.0, 4.0]))
    x, _ = next(split.batches(2))
    assert x.shape == (2, 3, 4, 4)
    assert x[1, :, 2, 3].tolist() == [0, 5, 5]
    assert split[1][0][:, 2, 3].tolist() == [0, 5, 5]


def test_samples_and_labels_of_different_number_are_refused() -> None:
    with pytest.raises(InputError, match="the data has 3 samples but 2 labels"):
        Tensors(torch.zeros(3, 1), torch.zeros(2))


def test_data_from_tensors_has_disjoint_parts_that_together_are_everything() -> None:
    data = Data.from_tensors(numbered_tensors(100), validation=0.25, test_share=0.2, seed=4)
    assert data.test is not None
    assert [len(part) for part in (data.test, data.validation, data.train)] == [20, 20, 60]  # validation: 0.25 of 80
    numbers = torch.cat([join(part)[0][:, 0] for part in (data.train, data.validation, data.test)])
    assert sorted(numbers.tolist()) == list(range(100))
    assert data.input_shape == (2,)
    assert data.num_classes == 2


def test_given_test_part_is_left_alone() -> None:
    data = Data.from_tensors(numbered_tensors(10), numbered_tensors(4, classes=3), validation=0.2)
    assert data.test is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 2, 4]
    assert data.num_classes == 3  # the third is in the test part only


def test_equal_seeds_give_equal_parts() -> None:
    parts = [join(Data.from_tensors(numbered_tensors(40), seed=seed).validation)[0].tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]


def test_labels_outside_the_classes_are_refused() -> None:
    with pytest.raises(InputError, match="labels run from 0 to 2; 2 classes are numbered from 0 to 1"):
        Data.from_tensors(numbered_tensors(9, classes=3), num_classes=2)
    with pytest.raises(InputError, match="labels run from -1 to 0"):
        Data.from_tensors(Tensors(torch.zeros(4, 1), torch.tensor([-1, 0, -1, 0])))


def test_data_from_data_sets_splits_like_data_from_tensors() -> None:
    lazy = Data.from_datasets(Numbered(20), Numbered(4), num_classes=2, validation=0.2, seed=3)
    eager = Data.from_tensors(numbered_tensors(20), numbered_tensors(4), validation=0.2, seed=3)
    assert lazy.test is not None
    assert eager.test is not None
    for one, other in ((lazy.train, eager.train), (lazy.validation, eager.validation), (lazy.test, eager.test)):
        assert torch.equal(join(one)[0], join(other)[0])
        assert torch.equal(join(one)[1], join(other)[1])
    assert lazy.input_shape == eager.input_shape == (2,)


def test_validation_may_be_a_data_set_of_its_own_and_test_may_be_missing() -> None:
    data = Data.from_datasets(Numbered(6), num_classes=2, validation=Numbered(4), input_shape=[2])
    assert len(data.train) == 6
    assert len(data.validation) == 4
    assert data.test is None
    assert data.input_shape == (2,)


labels_of_any_kind = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(np.array)


@given(labels_of_any_kind, st.floats(0.01, 0.99), st.integers(0, 9))
def test_split_is_disjoint_complete_repeatable_and_takes_the_same_share_of_every_class(
    labels: np.ndarray, share: float, seed: int
) -> None:
    if np.bincount(labels).max() < 2:
        with pytest.raises(InputError, match="no class has two"):
            stratified_split(labels, share, seed)
        return
    kept, held_out = stratified_split(labels, share, seed)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held_out) > 0).all()
    again = stratified_split(labels, share, seed)
    assert np.array_equal(kept, again[0])
    assert np.array_equal(held_out, again[1])
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        taken = int((labels[held_out] == label).sum())
        assert abs(taken - share * count) <= 1
        assert taken < count
        assert taken > 0 or count == 1


def test_split_of_a_class_of_two_takes_one_and_of_one_takes_none() -> None:
    for share in (0.01, 0.5, 0.99):
        kept, held_out = stratified_split(np.array([0, 1, 1]), share, seed=0)
        assert len(held_out) == 1
        assert set(np.array([0, 1, 1])[kept]) == {0, 1}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_share_outside_the_open_unit_interval_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"the share of samples to hold out is {share}; it must lie between 0 and 1"):
        stratified_split(np.array([0, 0, 1, 1]), share, seed=0)


def test_negative_test_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"hold out is -0\.2"):
        Data.from_tensors(numbered_tensors(20), test_share=-0.2)


@pytest.mark.parametrize("labels", [[], [0, 1, 2]])
def test_labels_that_cannot_be_split_are_refused(labels: list[int]) -> None:
    with pytest.raises(InputError, match=f"none of the {len(labels)} samples can be held out: no class has two"):
        stratified_split(np.array(labels, dtype=int), 0.5, seed=0)


# --- augmentation ----------------------------------------------------------------------------------------------------


def plus_hundred(x: Tensor, rng: torch.Generator) -> Tensor:
    """Something between 100 and 200 more than a sample."""
    return x + 100 + torch.randint(0, 100, (len(x), 1), generator=rng)


def test_shuffled_samples_are_augmented_and_those_in_order_are_not() -> None:
    split = replace(numbered_tensors(7), augment=plus_hundred)
    assert join(split)[0].max() == 60
    changed = [join(split, rng=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert changed[0].min() >= 100
    assert torch.equal(changed[0], changed[1])
    assert not torch.equal(changed[0], changed[2])
    assert split[3][0].tolist() == [3, 30]


def test_samples_are_augmented_before_they_are_scaled() -> None:
    images = torch.full((8, 1, 6, 6), 200, dtype=torch.uint8)
    split = Tensors(images, torch.zeros(8, dtype=torch.int64), mean=100.0, std=50.0, augment=Augment(cutout=2))
    x, _ = next(split.batches(8, torch.Generator().manual_seed(0)))
    assert set(x.flatten().tolist()) == {2.0, -2.0}


def test_collate_gets_augmented_samples_in_the_same_order() -> None:
    def collate(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])

    split = replace(numbered_tensors(7), augment=plus_hundred)
    plain, collated = (list(split.batches(3, torch.Generator().manual_seed(1), way)) for way in (None, collate))
    for (x, y), (other_x, other_y) in zip(plain, collated, strict=True):
        assert torch.equal(x, other_x) and torch.equal(y, other_y)


def test_parts_of_augmented_samples_are_augmented_only_where_they_are_shuffled() -> None:
    """Also those that are validated and tested on, which are taken from the same samples."""
    data = Data.from_tensors(replace(numbered_tensors(40), augment=plus_hundred), validation=0.25, test_share=0.25)
    assert data.test is not None
    for part in (data.train, data.validation, data.test):
        assert join(part)[0][:, 0].max() < 40
    assert join(data.train, rng=torch.Generator())[0].min() >= 100
    both = joined(data.train, data.validation)
    assert join(both)[0][:, 0].max() < 40 and join(both, rng=torch.Generator())[0].min() >= 100
