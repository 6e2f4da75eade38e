"""MNIST from its four files."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.data_files import IMAGES, LABELS, idx_bytes, parts, write_mnist

from sparsemod.datasets import mnist
from sparsemod.errors import InputError


@pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
def test_mnist_is_found_in_the_folder_and_its_usual_folders(tmp_path: Path, place: str) -> None:
    write_mnist(tmp_path / place)
    data = mnist(tmp_path, validation=0.25)
    train, validation, test = parts(data)
    assert (data.input_shape, data.num_classes) == ((1, 2, 3), 3)
    assert [len(part) for part in (train, validation, test)] == [9, 3, 6]
    assert train.y.bincount().tolist() == [3, 3, 3]
    assert validation.y.bincount().tolist() == [1, 1, 1]
    assert sorted(torch.cat([train.x, validation.x]).flatten().tolist()) == list(range(72))
    assert torch.equal(test.x, torch.from_numpy(IMAGES[:6, None]))
    assert test.y.tolist() == [0, 1, 2, 0, 1, 2]
    assert test.y.dtype == torch.int64


def test_mnist_is_scaled_by_the_training_file(tmp_path: Path) -> None:
    for part in parts(mnist(write_mnist(tmp_path), validation=0.25)):
        assert part.x.dtype == torch.uint8
        assert part.mean == pytest.approx(35.5)  # of 0..71
        assert part.std == pytest.approx(((72**2 - 1) / 12) ** 0.5)


def test_constant_images_are_not_divided_by_zero(tmp_path: Path) -> None:
    x, _ = next(mnist(write_mnist(tmp_path, train_images=np.zeros_like(IMAGES)), validation=0.25).train.batches(9))
    assert (x == 0).all()


def test_plain_and_packed_files_may_be_mixed(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    plain = tmp_path / "train-images-idx3-ubyte"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(mnist(tmp_path, validation=0.25).train) == 9


def test_class_that_only_the_test_part_has_counts(tmp_path: Path) -> None:
    write_mnist(tmp_path, t10k_labels=np.array([0, 1, 2, 3, 4, 9], np.uint8))
    assert mnist(tmp_path, validation=0.25).num_classes == 10


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"train_labels": LABELS[:11]}, "train-images-idx3-ubyte has 12 images, but .* has 11 labels"),
        ({"t10k_images": IMAGES[:5]}, "t10k-images-idx3-ubyte has 5 images, but .* has 6 labels"),
        ({"t10k_images": IMAGES[:6, :, :2]}, "has images of 2 x 3 pixels, .*t10k-images-idx3-ubyte of 2 x 2"),
        ({"train_images": LABELS}, r"train-images-idx3-ubyte holds torch.uint8 of shape \(12,\); .* bytes, N x H x W"),
        ({"train_labels": IMAGES}, r"train-labels-idx1-ubyte holds torch.uint8 of shape \(12, 2, 3\); .* bytes, N$"),
        ({"train_images": IMAGES[:0], "train_labels": LABELS[:0]}, r"holds torch.uint8 of shape \(0, 2, 3\)"),
    ],
)
def test_mnist_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, changed: dict[str, np.ndarray], text: str
) -> None:
    write_mnist(tmp_path, **changed)
    with pytest.raises(InputError, match=text):
        mnist(tmp_path)


def test_mnist_of_another_type_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES.astype("f4"), 0x0D))
    with pytest.raises(InputError, match=r"holds torch.float32 of shape \(12, 2, 3\); it must hold bytes"):
        mnist(tmp_path)


def test_other_data_under_the_official_names_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mnist(write_mnist(tmp_path), validation=0.25)
    assert [(entry.name, entry.levelno) for entry in caplog.records] == [
        ("sparsemod.datasets.files", logging.WARNING)
    ] * 4
    assert f"{tmp_path / 'train-images-idx3-ubyte'} is not the official MNIST file (md5 " in caplog.text


def test_real_mnist_is_official(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not (shared_data / "mnist").is_dir():
        pytest.skip(f"MNIST is not in {shared_data}")
    data = mnist(shared_data)
    train, validation, test = parts(data)
    assert caplog.records == []
    assert (data.input_shape, data.num_classes) == ((1, 28, 28), 10)
    assert [len(part) for part in (train, validation, test)] == [54_001, 5_999, 10_000]
    assert train.mean == pytest.approx(0.1307 * 255, abs=0.02)  # the figures everyone uses
    assert train.std == pytest.approx(0.3081 * 255, abs=0.02)
    assert test.y[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
