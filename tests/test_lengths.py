"""Sequences of different lengths: what is cut, what is padded, and what a network of each `max_len` gets."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from sparsemod.data import Data, Packed, Samples, Sequences, Tensors, Tokens, joined
from sparsemod.errors import InputError
from sparsemod.space import Parameters

LENGTHS = (3, 5, 2, 4)


def counting(lengths: Sequence[int] = LENGTHS) -> Sequences:
    """Sequence i has the steps 10 i + 1, 10 i + 2, ... and twice as much as second feature; class i modulo 2."""
    steps = [10.0 * i + torch.arange(1, length + 1) for i, length in enumerate(lengths)]
    numbers = torch.arange(len(lengths))
    return Sequences([torch.stack([each, 2 * each], 1) for each in steps], numbers % 2, groups=numbers)


def first_feature(x: Tensor) -> list[list[float]]:
    found: list[list[float]] = x[..., 0].tolist()
    return found


def data(train: Sequences | None = None) -> Data:
    return Data(train or counting(), counting((1, 6)), counting((9,)), (5, 2), 2)


# --- one length ------------------------------------------------------------------------------------------------------


def test_short_sequences_are_padded_after_their_end_and_long_ones_are_cut_at_the_end() -> None:
    padded = counting().padded(4)
    assert padded.x.shape == (4, 4, 2)
    assert first_feature(padded.x) == [[1, 2, 3, 0], [11, 12, 13, 14], [21, 22, 0, 0], [31, 32, 33, 34]]
    assert padded.y.tolist() == [0, 1, 0, 1]
    assert padded.groups is not None and padded.groups.tolist() == [0, 1, 2, 3]


def test_zeros_follow_after_scaling() -> None:
    """A step is scaled by the figures of its feature; what is padded is zero, not a scaled zero."""
    scaled = Sequences(counting((1,)).x, torch.zeros(1), mean=torch.tensor([1.0, 0.0]), std=torch.tensor([1.0, 4.0]))
    assert scaled.padded(2).x.tolist() == [[[0.0, 0.5], [0.0, 0.0]]]
    assert scaled[0][0].tolist() == [[0.0, 0.5]]


def test_bytes_and_single_numbers_are_sequences_too() -> None:
    wave = Sequences([torch.tensor([100, 200], dtype=torch.uint8)], torch.tensor([0]), mean=100.0, std=50.0)
    assert wave.sample_shape == (2,)
    assert wave.padded(3).x.tolist() == [[0, 2, 0]]


def test_batches_without_a_collate_are_padded_to_the_longest_of_all() -> None:
    batches = list(counting().batches(3))
    assert [x.shape for x, _ in batches] == [(3, 5, 2), (1, 5, 2)]
    assert first_feature(batches[1][0]) == [[31, 32, 33, 34, 0]]


def test_collate_gets_whole_sequences_in_the_order_of_the_seed() -> None:
    def last_step(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([x[-1, :1] for x, _ in samples]), torch.stack([y for _, y in samples])

    x, y = next(counting().batches(4, None, last_step))
    assert x.flatten().tolist() == [3, 15, 22, 34]
    assert y.tolist() == [0, 1, 0, 1]
    shuffled = [
        next(counting().batches(4, torch.Generator().manual_seed(seed), last_step))[0].flatten().tolist()
        for seed in (1, 1, 2)
    ]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert sorted(shuffled[0]) == [3, 15, 22, 34]


# --- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "windows"),
    [
        (5, [5, 1]),  # one window; a sequence that is all there is stays, however short
        (4, [4, 1]),  # the fifth step alone is less than half a window
        (3, [3, 2, 1]),
        (2, [2, 2, 1, 1]),
        (1, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_rest_of_at_least_half_a_window_is_a_window(length: int, windows: list[int]) -> None:
    assert [len(window) for window in counting((5, 1)).windows(length).x] == windows


def test_windows_have_label_and_group_of_their_sequence() -> None:
    windows = counting().windows(2)
    assert first_feature(windows.padded(2).x) == [
        [1, 2], [3, 0], [11, 12], [13, 14], [15, 0], [21, 22], [31, 32], [33, 34]
    ]  # fmt: skip
    assert windows.y.tolist() == [0, 0, 1, 1, 1, 0, 1, 1]
    assert windows.groups is not None and windows.groups.tolist() == [0, 0, 1, 1, 1, 2, 3, 3]


# --- at their own lengths --------------------------------------------------------------------------------------------


def test_packed_sequences_come_once_each_as_long_as_they_are() -> None:
    many = counting([3, 5, 3, 1, 5, 3, 3])
    for rng in (None, torch.Generator().manual_seed(0)):
        batches = list(many.packed(5).batches(2, rng))
        assert len(batches) == many.packed(5).batch_count(2) == 4  # two of two, one of two, one of one
        found = sorted(
            (sample[:, 0].tolist(), int(y)) for x, labels in batches for sample, y in zip(x, labels, strict=True)
        )
        assert found == sorted((x[:, 0].tolist(), int(y)) for x, y in zip(many.x, many.y, strict=True))


def test_packed_sequences_of_one_length_are_the_batches_of_tensors() -> None:
    same = counting([4] * 7)
    for seed in (None, 3):
        rngs = [None if seed is None else torch.Generator().manual_seed(seed) for _ in range(2)]
        batches = zip(same.packed(4).batches(3, rngs[0]), same.padded(4).batches(3, rngs[1]), strict=True)
        assert all(torch.equal(x, other) and torch.equal(y, label) for (x, y), (other, label) in batches)


def test_packed_sequences_end_at_the_limit_and_a_module_gets_zeros_before_them() -> None:
    packed = counting().packed(4, limit=3)
    assert packed.lengths.tolist() == [3, 3, 2, 3]
    x, y = next(packed.of_one_shape().batches(4))
    assert first_feature(x) == [[0, 1, 2, 3], [0, 11, 12, 13], [0, 0, 21, 22], [0, 31, 32, 33]]
    assert y.tolist() == [0, 1, 0, 1]


def test_number_of_batches_is_told_by_every_split() -> None:
    tensors = Tensors(torch.zeros(7, 2), torch.zeros(7).long())
    samples = Samples(TensorDataset(tensors.x, tensors.y), range(7))
    for split in (tensors, samples, Tokens(tensors), counting([2] * 7), Tokens(counting([2, 3] * 3 + [2]).packed(3))):
        assert split.batch_count(2) == len(list(split.batches(2))) == 4


# --- parts -----------------------------------------------------------------------------------------------------------


def test_data_of_sequences_holds_out_whole_groups_and_has_the_longest_as_input_shape() -> None:
    many = counting([1 + i % 7 for i in range(40)])
    speakers = Sequences(many.x, many.y, groups=torch.arange(40) // 4)
    found = Data.from_tensors(speakers, validation=0.25, test_share=0.2)
    assert found.test is not None
    assert [len(part) for part in (found.train, found.validation, found.test)] == [24, 8, 8]
    assert found.input_shape == (7, 2)
    assert found.num_classes == 2
    parts = [set(part.groups.tolist()) for part in (found.train, found.validation, found.test)]  # type: ignore[union-attr, attr-defined]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_sequences_are_joined_with_their_groups() -> None:
    both = joined(counting((1, 2)), counting((3,)))
    assert isinstance(both, Sequences) and both.groups is not None
    assert [len(sequence) for sequence in both.x] == [1, 2, 3]
    assert both.y.tolist() == [0, 1, 0] == both.groups.tolist()
    with pytest.raises(InputError, match="one split has groups and the other has none"):
        joined(counting(), Sequences(counting().x, counting().y))


@pytest.mark.parametrize(
    ("x", "y", "groups", "message"),
    [
        ([torch.zeros(2, 1)], torch.zeros(2), None, "1 sequences but 2 labels"),
        ([torch.zeros(2, 1)], torch.zeros(1), torch.zeros(3), "1 sequences but 3 groups"),
        ([torch.zeros(2, 1), torch.zeros(0, 1)], torch.zeros(2), None, r"sequence 1 has shape \(0, 1\)"),
        ([torch.zeros(2, 1), torch.zeros(2, 3)], torch.zeros(2), None, r"shape \(2, 3\), the first \(2, 1\)"),
        ([torch.zeros(2, 1), torch.zeros(2)], torch.zeros(2), None, "all the same features"),
    ],
)
def test_what_is_no_set_of_sequences_is_refused(
    x: list[Tensor], y: Tensor, groups: Tensor | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Sequences(x, y, groups)


# --- what a candidate sees -------------------------------------------------------------------------------------------


def test_candidate_sees_sequences_of_its_own_length() -> None:
    for max_len, first in ((2, [1, 2]), (4, [1, 2, 3, 0])):
        seen = data().seen_by({"max_len": max_len})
        assert seen.input_shape == (max_len, 2)
        for part in (seen.train, seen.validation):
            assert isinstance(part, Tensors)
            assert part.sample_shape == (max_len, 2)
        assert first_feature(next(seen.train.batches(1))[0]) == [first]


def test_candidate_that_takes_one_step_at_a_time_sees_sequences_as_long_as_they_are() -> None:
    for max_len, lengths in ((4, [3, 4, 2, 4]), (9, [3, 5, 2, 4])):
        seen = data().seen_by({"max_len": max_len}, streaming=True)
        assert isinstance(seen.train, Packed)
        assert (seen.input_shape, seen.train.lengths.tolist()) == ((max_len, 2), lengths)
    windows = data().seen_by({"max_len": 2}, splitter=True, streaming=True)
    assert isinstance(windows.train, Packed)
    assert windows.train.lengths.tolist() == [2, 1, 2, 2, 1, 2, 2, 2]
    assert isinstance(data().seen_by({"steps": 2}, first_steps, streaming=True).train, Sequences)


def test_candidate_without_a_length_sees_the_longest_training_sequence() -> None:
    """Also where a sequence of another part is longer."""
    seen = data().seen_by({"learning_rate": 0.1})
    assert seen.input_shape == (5, 2)
    assert next(seen.validation.batches(2))[0].shape == (2, 5, 2)


def test_nothing_that_learns_sees_the_test_part() -> None:
    assert data().seen_by({}).test is None


def test_splitter_makes_each_window_a_sample_to_train_and_to_validate_on() -> None:
    seen = data().seen_by({"max_len": 2}, splitter=True)
    assert (len(seen.train), len(seen.validation)) == (8, 4)
    assert seen.input_shape == (2, 2)


def test_tensors_stay_as_they_are_whatever_the_length() -> None:
    fixed = Data.from_tensors(Tensors(torch.zeros(20, 3, 4), torch.arange(20) % 2))
    seen = fixed.seen_by({"max_len": 2})
    assert seen.input_shape == (3, 4)
    assert next(seen.train.batches(5))[0].shape == (5, 3, 4)


def first_steps(samples: Sequence[Any], parameters: Parameters) -> tuple[Tensor, Tensor]:
    """As many steps from the front as `steps` says, of sequences that have them; all labels are 1."""
    steps = int(parameters["steps"])
    return torch.stack([x[:steps] for x, _ in samples]), torch.ones(len(samples), dtype=torch.int64)


def test_collate_of_the_user_says_the_input_shape_and_gets_whole_sequences() -> None:
    seen = data().seen_by({"steps": 2, "max_len": 1}, first_steps)
    assert seen.input_shape == (2, 2)
    assert isinstance(seen.train, Sequences)
    assert [len(sequence) for sequence in seen.train.x] == list(LENGTHS)


def test_collate_of_the_user_gets_windows_where_they_are_cut() -> None:
    seen = data().seen_by({"steps": 1, "max_len": 2}, first_steps, splitter=True)
    assert seen.input_shape == (1, 2)
    assert (len(seen.train), len(seen.validation)) == (8, 4)


@pytest.mark.parametrize(
    ("split", "parameters", "lacking"),
    [
        (counting(), {}, "the space has no parameter max_len"),
        (Tensors(torch.zeros(2, 3, 1), torch.zeros(2)), {"max_len": 2}, "the data are Tensors"),
    ],
)
def test_splitter_without_sequences_or_length_says_what_is_missing(
    split: Any, parameters: Parameters, lacking: str
) -> None:
    with pytest.raises(InputError, match=f"splitter = true cuts `Sequences` into windows.* but {lacking}; set it to"):
        Data(split, split, None, (3, 1), 2).seen_by(parameters, splitter=True)
