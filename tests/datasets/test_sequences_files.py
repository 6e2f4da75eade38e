"""Sequences from files of the test, and from the real ones where they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from problems.data_files import parts
from problems.sequence_files import RECORDED, SPEAKERS, write_fsdd, write_har, write_uea

from sparsemod.data import Data, Sequences, Split, Tensors
from sparsemod.datasets import fsdd, har, uea
from sparsemod.datasets.sequences import LAYOUTS
from sparsemod.errors import InputError


def sequences(split: Split | None) -> Sequences:
    assert isinstance(split, Sequences)
    return split


def groups(split: Tensors | Sequences) -> set[int]:
    assert split.groups is not None
    return set(split.groups.tolist())


# --- HAR -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".", "uci_har_subset"])
def test_har_validates_on_whole_blocks_of_neighbours(tmp_path: Path, place: str) -> None:
    """Four windows a block: 0 to 3, 4 to 7, and so on."""
    write_har(tmp_path / place)
    data = har(tmp_path, validation=0.2)
    train, validation, test = parts(data)
    assert [len(part) for part in (train, validation, test)] == [32, 8, 6]
    assert (data.input_shape, data.num_classes) == ((4, 2), 6)
    assert not groups(train) & groups(validation) and groups(train) | groups(validation) == set(range(10))
    numbers = (validation.x[:, 0, 0] * np.arange(40).std() + 19.5).round().int()
    assert sorted((numbers // 4).tolist()) == sorted(validation.groups.tolist())  # type: ignore[union-attr]


def test_each_signal_is_scaled_by_the_training_file(tmp_path: Path) -> None:
    train, validation, test = parts(har(write_har(tmp_path), validation=0.2))
    x = torch.cat([train.x, validation.x])
    assert x.mean((0, 1)).abs().max() < 1e-5
    assert x.std((0, 1), correction=0).tolist() == pytest.approx([1, 1])
    assert test.x[0, 0].tolist() == pytest.approx([-19.5 / np.arange(40).std()] * 2)


def test_signal_that_never_changes_is_not_divided_by_zero(tmp_path: Path) -> None:
    train, *_ = parts(har(write_har(tmp_path, x_train=np.ones((40, 4, 2), np.float32))))
    assert (train.x == 0).all()


@pytest.mark.parametrize(("layout", "shape"), zip(LAYOUTS, [(4, 2), (2, 4), (1, 4, 2), (2, 1, 4)], strict=True))
def test_axes_are_those_that_the_layers_want(tmp_path: Path, layout: str, shape: tuple[int, ...]) -> None:
    data, plain = har(write_har(tmp_path), layout=layout), har(tmp_path)
    assert data.input_shape == shape
    (x, _), (steps, _) = (next(each.train.batches(3)) for each in (data, plain))
    assert torch.equal(x.reshape(3, *shape)[2].flatten().sort().values, steps[2].flatten().sort().values)
    assert x[2].squeeze()[..., 0].shape == ((4,) if layout.endswith("T F") else (2,))
    with pytest.raises(InputError, match="layout is 'C T'; it must be one of 'T F', 'F T', '1 T F', 'F 1 T'"):
        har(tmp_path, layout="C T")


# --- FSDD ------------------------------------------------------------------------------------------------------------


def test_official_test_part_has_the_speakers_that_are_learned_from(tmp_path: Path) -> None:
    data = fsdd(write_fsdd(tmp_path / "fsdd").parent, validation=0.2)
    train, validation, test = parts(data)
    assert [len(part) for part in (train, validation, test)] == [70, 20, 30]  # 2 of the 9 of each digit
    assert (data.input_shape, data.num_classes) == ((2, 3), 10)
    assert test.y.tolist() == list(range(10)) * 3
    assert test.groups is None and train.groups is None


def test_speakers_that_are_tested_on_are_not_learned_from_nor_are_those_validated_on(tmp_path: Path) -> None:
    train, validation, test = parts(fsdd(write_fsdd(tmp_path), test="cyd", validation=0.5))
    assert [len(part) for part in (train, validation, test)] == [40, 40, 40]
    assert groups(test) == {SPEAKERS.index("cyd")}
    assert len(groups(train)) == len(groups(validation)) == 1
    assert groups(train) | groups(validation) == {0, 1}


def test_waveforms_are_sequences_of_their_own_length_between_minus_one_and_one(tmp_path: Path) -> None:
    data = fsdd(write_fsdd(tmp_path), features="waveform", test=["ann"], validation=0.5)
    test = sequences(data.test)
    assert {len(sequence) for sequence in test.x} == {RECORDED[0]}
    assert test[5][0].tolist() == [[5 / 32768]] * RECORDED[0]
    assert {len(sequence) for part in (data.train, data.validation) for sequence in sequences(part).x} == {5, 2}
    assert data.input_shape == (5, 1)


@pytest.mark.parametrize(("test", "said"), [("dan", "'dan'"), (["ann", "eve"], "'eve'"), ([], "nobody")])
def test_unknown_speaker_is_refused_with_those_there_are(tmp_path: Path, test: str | list[str], said: str) -> None:
    with pytest.raises(InputError, match=f"test names {said}; it must be official or some of .* ann, bob, cyd"):
        fsdd(write_fsdd(tmp_path), test=test)


def test_unknown_features_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="features are 'lpc'; they must be mfcc or waveform"):
        fsdd(write_fsdd(tmp_path), features="lpc")


@pytest.mark.parametrize(
    ("wrong", "said"), [({"layout": "F T"}, "layout is 'F T'"), ({"augment": lambda x, rng: x}, "augment is given")]
)
def test_sequences_have_one_layout_and_no_augmentation(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=f"{said}; sequences of different lengths are not augmented"):
        fsdd(write_fsdd(tmp_path), features="waveform", **wrong)  # type: ignore[arg-type]


def test_waveforms_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = write_fsdd(tmp_path) / "fsdd_waveforms_s16le.bin.xz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="the index says 800: fetch it again"):
        fsdd(tmp_path, features="waveform")


# --- UEA -------------------------------------------------------------------------------------------------------------


def test_vowels_are_cut_to_their_true_lengths_and_scaled_without_the_padding(tmp_path: Path) -> None:
    data = uea("JapaneseVowels", write_uea(tmp_path / "uea_small").parent, validation=0.5)
    assert (data.input_shape, data.num_classes) == ((3, 2), 9)
    assert [len(sequences(part)) for part in (data.train, data.validation, data.test)] == [9, 9, 9]
    test = sequences(data.test)
    assert [len(sequence) for sequence in test.x] == [1, 2, 3] * 3
    # Of 18 sequences 18 first, 12 second and 6 third steps: mean 10 / 6 and variance 20 / 6 - (10 / 6)^2.
    assert test[0][0].flatten().tolist() == pytest.approx([(1 - 10 / 6) / (20 / 6 - 100 / 36) ** 0.5] * 2)


def test_sets_of_one_length_are_tensors(tmp_path: Path) -> None:
    data = uea("PenDigits", write_uea(tmp_path), validation=0.5, layout="F T")
    train, validation, test = parts(data)
    assert data.input_shape == (2, 8)
    assert [len(part) for part in (train, validation, test)] == [10, 10, 20]


def test_unknown_set_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'PenDigit' is no data set; did you mean 'PenDigits'\? Known: BasicMotions"):
        uea("PenDigit", tmp_path)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "missing"),
    [
        (har, "uci_har*.npz"),
        (fsdd, "fsdd_index.npz, fsdd_mfcc_49x10.npz"),
        (lambda folder: uea("BasicMotions", folder), "BasicMotions.npz"),
    ],
)
def test_missing_files_are_named_and_data_path_too(tmp_path: Path, load: object, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path)  # type: ignore[operator]
    assert f"Missing, plain or packed (.gz, .xz): {missing}" in str(caught.value)
    assert "set DATA_PATH to the folder of the data" in str(caught.value)


def test_file_without_an_array_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "uci_har.npz", x_train=np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="lacks y_train, x_test, y_test; it holds x_train"):
        har(tmp_path)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "uci_har.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(InputError, match=r"uci_har\.npz cannot be read: .*; fetch it again"):
        har(tmp_path)


def real(load: object, *arguments: object) -> Data:
    try:
        return load(*arguments)  # type: ignore[operator, no-any-return]
    except InputError as error:
        pytest.skip(str(error))


def test_real_files_have_the_published_sizes(shared_data: Path) -> None:
    found = [
        (data.input_shape, data.num_classes, len(data.train) + len(data.validation), len(data.test or []))
        for data in (
            real(har, shared_data),
            real(fsdd, shared_data),
            real(uea, "JapaneseVowels", shared_data),
            real(uea, "BasicMotions", shared_data),
            real(uea, "PenDigits", shared_data),
        )
    ]
    assert found == [
        ((128, 9), 6, 2400, 950),
        ((49, 10), 10, 2700, 300),
        ((26, 12), 9, 270, 370),
        ((100, 6), 4, 40, 40),
        ((8, 2), 10, 7494, 3498),
    ]
