"""Files in the idx format, whole, packed and damaged."""

import gzip
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.data_files import IMAGES, LABELS, idx_bytes

from sparsemod.datasets import idx
from sparsemod.errors import InputError


def message(path: Path, content: bytes) -> str:
    """What `idx` says about a file of some content."""
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        idx(path)
    return str(caught.value).removeprefix(str(path))


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
