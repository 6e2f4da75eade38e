"""Small files in the formats of MNIST and CIFAR-10."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sparsemod.data import Data, Tensors

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
