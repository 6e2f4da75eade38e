"""CIFAR-10 from its binary batches."""

import lzma
from pathlib import Path

import pytest
import torch
from problems.data_files import parts, record, write_cifar10

from sparsemod.datasets import cifar10
from sparsemod.errors import InputError


@pytest.mark.parametrize("place", [".", "cifar10", "cifar-10-batches-bin"])
def test_cifar10_is_found_in_the_folder_and_its_usual_folders(tmp_path: Path, place: str) -> None:
    write_cifar10(tmp_path / place)
    data = cifar10(tmp_path, validation=0.2)
    train, validation, test = parts(data)
    assert (data.input_shape, data.num_classes) == ((3, 32, 32), 10)
    assert [len(part) for part in (train, validation, test)] == [8, 2, 2]
    assert train.y.tolist().count(0) == 4
    assert (train.x.dtype, train.y.dtype) == (torch.uint8, torch.int64)
    for image, label in zip(train.x, train.y.tolist(), strict=True):
        assert image.flatten(1).unique(dim=1).flatten().tolist() == [10 * label, 100, 200]


def test_cifar10_is_scaled_channel_by_channel(tmp_path: Path) -> None:
    train = parts(cifar10(write_cifar10(tmp_path), validation=0.2))[0]
    assert isinstance(train.mean, torch.Tensor)
    assert isinstance(train.std, torch.Tensor)
    assert train.mean.tolist() == [5, 100, 200]
    assert train.std.tolist() == [5, 1, 1]  # a constant channel is not divided by zero
    x, y = next(train.batches(8))
    assert (x[:, 0, 0, 0] == 2 * y - 1).all()
    assert (x[:, 1:] == 0).all()


def test_cifar10_uses_the_training_batches_that_are_there_each_once_and_in_order(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=[1] * 4)
    (tmp_path / "data_batch_1.bin.xz").write_bytes(lzma.compress(record(9)))  # the plain file comes first
    (tmp_path / "data_batch_3.bin.xz").write_bytes(lzma.compress(record(3) * 4))
    (tmp_path / "data_batch_2.bin").write_bytes(record(2) * 4)
    train, validation, _ = parts(cifar10(tmp_path, validation=0.25))
    assert train.y.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert validation.y.tolist() == [1, 2, 3]


def test_part_of_the_cifar10_test_batch_will_do_but_the_whole_comes_first(tmp_path: Path) -> None:
    write_cifar10(tmp_path, test=[0] * 4)
    (tmp_path / "test_batch_first2.bin.xz").write_bytes(lzma.compress(record(0) * 2))
    assert len(parts(cifar10(tmp_path, validation=0.2))[2]) == 4
    (tmp_path / "test_batch.bin").unlink()
    assert len(parts(cifar10(tmp_path, validation=0.2))[2]) == 2


@pytest.mark.parametrize("content", [b"", record(0)[:-1], record(0) + b"\0"], ids=["empty", "short", "long"])
def test_cifar10_file_of_another_size_is_refused(tmp_path: Path, content: bytes) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(content)
    size = f"{len(content):,}".replace(",", " ")
    with pytest.raises(InputError, match=f"test_batch.bin has {size} bytes; a CIFAR-10 file has .* of 3 073 bytes"):
        cifar10(tmp_path)


def test_cifar10_file_whose_packing_was_cut_off_is_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_2.bin.xz").write_bytes(lzma.compress(record(0) * 2)[:-4])
    with pytest.raises(InputError, match=r"data_batch_2.bin.xz has 6 146 bytes; .*cut off"):
        cifar10(tmp_path)


def test_cifar10_label_above_9_is_refused_with_its_record(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=[0, 9, 10, 255])
    with pytest.raises(InputError, match=r"data_batch_1.bin has label 10 in record 2; CIFAR-10 has labels 0 to 9"):
        cifar10(tmp_path)


def test_other_data_under_cifar10_names_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cifar10(write_cifar10(tmp_path), validation=0.2)
    assert "data_batch_1.bin is not the official CIFAR-10 file (md5 " in caplog.text


def test_real_cifar10_is_official(shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not (shared_data / "cifar10").is_dir():
        pytest.skip(f"CIFAR-10 is not in {shared_data}")
    for name in ("data_batch_2.bin.xz", "test_batch_first1000.bin.xz"):  # unpacking takes a second each
        (tmp_path / name).symlink_to(shared_data / "cifar10" / name)
    data = cifar10(tmp_path)
    train, validation, test = parts(data)
    assert caplog.records == []
    assert (data.input_shape, data.num_classes) == ((3, 32, 32), 10)
    assert (train.y.bincount() + validation.y.bincount()).tolist() == [
        984, 1007, 1010, 995, 1010, 988, 1008, 1026, 987, 985
    ]  # fmt: skip
    assert len(test) == 1000
    assert isinstance(train.mean, torch.Tensor)
    assert (train.mean / 255).tolist() == pytest.approx([0.491, 0.482, 0.447], abs=0.005)
