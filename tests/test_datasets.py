import gzip
import logging
import lzma
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsemod.data import Data, Tensors
from sparsemod.datasets import cifar10, digits, idx, mnist
from sparsemod.errors import InputError

IMAGES = np.arange(12 * 2 * 3, dtype=np.uint8).reshape(12, 2, 3)
LABELS = np.arange(12, dtype=np.uint8) % 3
MNIST_FILES: Mapping[str, np.ndarray] = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES[:6],
    "t10k-labels-idx1-ubyte": LABELS[:6],
}


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    """An idx file: 00 00, type code, number of dimensions, each dimension, then the values; big-endian."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder: Path, **changed: np.ndarray) -> Path:
    """A tiny data set in MNIST's files; `changed` replaces arrays, `train_labels` that of train-labels-idx1-ubyte."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in MNIST_FILES.items():
        part = "_".join(name.split("-")[:2])
        (folder / name).write_bytes(idx_bytes(changed.get(part, array)))
    return folder


def record(label: int, red: int = 0, green: int = 0, blue: int = 0) -> bytes:
    """One plain CIFAR-10 image."""
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def write_cifar10(folder: Path, train: Sequence[int] = (0, 1) * 5, test: Sequence[int] = (0, 1)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, labels in (("data_batch_1.bin", train), ("test_batch.bin", test)):
        (folder / name).write_bytes(b"".join(record(label, 10 * (label % 10), 100, 200) for label in labels))
    return folder


def parts(data: Data) -> list[Tensors]:
    """Train, validation and test parts, all in memory."""
    found = [part for part in (data.train, data.validation, data.test) if isinstance(part, Tensors)]
    assert len(found) == 3
    return found


def message(path: Path, content: bytes) -> str:
    """What `idx` says about a file of some content."""
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        idx(path)
    return str(caught.value).removeprefix(str(path))


@pytest.fixture(autouse=True)
def no_data_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a .env file of whoever runs the tests counts."""
    monkeypatch.delenv("DATA_PATH", raising=False)
    monkeypatch.chdir(tmp_path)


def test_digits_are_all_there_once_as_bytes() -> None:
    data = digits()
    images = torch.cat([part.x for part in parts(data)])
    assert [len(part) for part in parts(data)] == [1151, 287, 359]
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 16)
    assert int(images.long().sum()) == 561_718
    assert (data.input_shape, data.num_classes) == ((1, 8, 8), 10)


def test_digits_have_every_class_in_every_part_and_depend_on_the_seed_alone() -> None:
    for part in parts(digits()):
        shares = part.y.bincount() / len(part)
        assert len(shares) == 10
        assert ((shares > 0.09) & (shares < 0.11)).all()
    first, again, other = (digits(seed=seed).validation for seed in (1, 1, 2))
    assert isinstance(first, Tensors)
    assert isinstance(again, Tensors)
    assert isinstance(other, Tensors)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)


def test_digits_scale_is_fixed_and_that_of_the_default_training_images() -> None:
    x, _ = next(digits().train.batches(2000))
    assert x.mean() == pytest.approx(0, abs=1e-3)
    assert x.std() == pytest.approx(1, abs=1e-3)
    assert digits(seed=5).train.mean == digits().train.mean  # type: ignore[attr-defined]


def test_digits_without_a_test_part() -> None:
    data = digits(validation=0.5, test=0)
    assert data.test is None
    assert len(data.train) + len(data.validation) == 1797


def test_share_that_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"the share of samples to hold out is 1\.5"):
        digits(validation=1.5)


@pytest.mark.parametrize(
    ("code", "dtype", "expected"),
    [
        (0x08, "u1", torch.uint8),
        (0x09, "i1", torch.int8),
        (0x0B, "i2", torch.int16),
        (0x0C, "i4", torch.int32),
        (0x0D, "f4", torch.float32),
        (0x0E, "f8", torch.float64),
    ],
)
def test_idx_of_every_type_keeps_shape_type_and_values(
    tmp_path: Path, code: int, dtype: str, expected: torch.dtype
) -> None:
    values = np.arange(6, dtype=dtype).reshape(1, 2, 3) * 20
    (tmp_path / "array").write_bytes(idx_bytes(values, code))
    array = idx(tmp_path / "array")
    assert array.dtype == expected
    assert array.tolist() == values.tolist()


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_idx_reads_like_the_plain_one(tmp_path: Path, suffix: str, pack: type) -> None:
    path = tmp_path / f"array{suffix}"
    path.write_bytes(pack(idx_bytes(IMAGES)))
    assert torch.equal(idx(str(path)), torch.from_numpy(IMAGES))


def test_idx_of_no_samples_is_an_empty_array(tmp_path: Path) -> None:
    (tmp_path / "array").write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    assert idx(tmp_path / "array").shape == (0, 28, 28)


def test_truncated_idx_says_how_much_is_there(tmp_path: Path) -> None:
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 60_000, 28, 28)
    assert message(tmp_path / "images", header + bytes(984)) == (
        " has 1 000 of the 47 040 016 bytes its header promises: the download was cut off; fetch it again"
    )


def test_truncated_gzip_says_how_much_could_be_unpacked(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)  # does not compress
    packed = gzip.compress(idx_bytes(noise))
    text = message(tmp_path / "images.gz", packed[: len(packed) // 2])
    assert " of the 78 416 bytes its header promises: the download was cut off" in text
    unpacked = int("".join(text.split(" of the ")[0].split()[1:]))
    assert 30_000 < unpacked < 78_416 / 2 + 100


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=[".gz", ".xz"])
def test_packing_that_lacks_only_its_end_is_refused(tmp_path: Path, pack: type) -> None:
    suffix = ".gz" if pack is gzip.compress else ".xz"
    text = message(tmp_path / f"labels{suffix}", pack(idx_bytes(LABELS))[:-4])
    assert text == " lacks the end of its packing: the download was cut off; fetch it again"


def test_corrupt_packing_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(idx_bytes(IMAGES)))
    packed[-6] ^= 0xFF  # the checksum
    assert " cannot be read: CRC check failed" in message(tmp_path / "images.gz", bytes(packed))
    assert " cannot be read: Not a gzipped file" in message(tmp_path / "page.gz", b"<!DOCTYPE html>")
    assert " cannot be read: Input format not supported" in message(tmp_path / "page.xz", b"<!DOCTYPE html>")


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    assert message(tmp_path / "labels", idx_bytes(LABELS) + b"\n") == (
        " has 21 of the 20 bytes its header promises: it is damaged; fetch it again"
    )


def test_file_that_is_no_idx_is_refused(tmp_path: Path) -> None:
    assert message(tmp_path / "page", b"<!DOCTYPE html>") == (
        " is not an idx file: it starts with the bytes 3c 21 44 4f, not with 00 00"
    )
    assert message(tmp_path / "type", idx_bytes(LABELS, code=0x0A)).startswith(
        " is not an idx file: its header states type 0x0a and 1 dimensions; it must be one of 0x08, 0x09, 0x0b,"
    )
    assert "type 0x08 and 0 dimensions" in message(tmp_path / "scalar", bytes([0, 0, 8, 0, 7]))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 15])
def test_file_that_ends_within_its_header_is_refused(tmp_path: Path, length: int) -> None:
    assert message(tmp_path / "images", idx_bytes(IMAGES)[:length]) == (
        f" has {length} bytes and ends within its header: the download was cut off; fetch it again"
    )


def test_missing_idx_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent cannot be read: .*No such file"):
        idx(tmp_path / "absent")


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
    assert [(entry.name, entry.levelno) for entry in caplog.records] == [("sparsemod.datasets", logging.WARNING)] * 4
    assert f"{tmp_path / 'train-images-idx3-ubyte'} is not the official MNIST file (md5 " in caplog.text


def test_missing_mnist_says_what_is_missing_and_where_to_get_it(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError) as caught:
        mnist(tmp_path)
    assert str(caught.value).splitlines() == [
        f"MNIST is not in {tmp_path}, nor in its folders mnist and MNIST/raw",
        "  Missing, plain or packed (.gz, .xz): t10k-labels-idx1-ubyte",
        "  The official files come from yann.lecun.com/exdb/mnist, torchvision's mirror is "
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "  Then set DATA_PATH to the folder of the data: an environment variable, or a line "
        "DATA_PATH=/path/to/folder in a file .env in the current folder",
    ]


@pytest.mark.parametrize("folder", [".", "no/such/folder"])
def test_missing_cifar10_says_what_is_missing_and_where_to_get_it(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError) as caught:
        cifar10(tmp_path / folder)
    assert "Missing, plain or packed (.gz, .xz): data_batch_*.bin, test_batch*.bin" in str(caught.value)
    assert 'www.cs.toronto.edu/~kriz/cifar.html, unpacked from the "binary version' in str(caught.value)


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PATH", str(write_mnist(tmp_path / "from environment")))
    (tmp_path / ".env").write_text(f"DATA_PATH={tmp_path / 'elsewhere'}\n")
    assert len(mnist(validation=0.25).train) == 9


def test_folder_comes_from_a_dotenv_file_in_the_current_folder(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "data" / "cifar10")
    (tmp_path / ".env").write_text("# where the data are\nDATA_PATH='data'\n")
    assert len(cifar10(validation=0.2).train) == 8


def test_folder_under_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA_PATH", "~/data")
    write_mnist(tmp_path / "data")
    assert len(mnist(validation=0.25).train) == 9
    assert len(mnist("~/data", validation=0.25).train) == 9


@pytest.mark.parametrize("content", [None, "", "DATA_PATH=\n", "OTHER=1\n"])
def test_no_folder_at_all_says_how_to_give_one(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ".env").write_text(content)
    with pytest.raises(InputError, match="no data folder is given: set DATA_PATH to the folder of the data"):
        mnist()


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
