"""Images: the digits that come with scikit-learn, and MNIST and CIFAR-10. They stay bytes, scaled a batch at a time.

x: images, (N, C, H, W), uint8; y: class numbers, (N,), int64.

[LeCun1998] Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998.
[Krizhevsky2009] Learning multiple layers of features from tiny images, University of Toronto, 2009.
[Alpaydin1998] Optical recognition of handwritten digits, UCI machine learning repository, 1998.
"""

import gzip
import importlib.util
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsemod.data import Augmentation, Data, Tensors
from sparsemod.datasets.files import CUT_OFF, find, grouped, unpacked, warn_if_unofficial
from sparsemod.errors import InputError

_DIGITS_MEAN, _DIGITS_STD = 4.883, 6.014

_MNIST_MD5: Mapping[str, str] = {  # of the unpacked files, as published
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_MNIST_SOURCE = "yann.lecun.com/exdb/mnist, torchvision's mirror is https://ossci-datasets.s3.amazonaws.com/mnist/"

_CIFAR10_MD5: Mapping[str, str] = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
_CIFAR10_SOURCE = 'www.cs.toronto.edu/~kriz/cifar.html, unpacked from the "binary version (suitable for C programs)"'
_CIFAR10_SHAPE = (3, 32, 32)

_IDX_TYPES: Mapping[int, str] = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def digits(validation: float = 0.2, test: float = 0.2, seed: int = 0, augment: Augmentation | None = None) -> Data:
    """The 1,797 handwritten digits of scikit-learn, 8 x 8 pixels of 0..16, 10 classes [Alpaydin1998].

    Mean 4.883 and standard deviation 6.014 are those of the training images of the default split, fixed so that every
    split is scaled alike.

    Args:
        validation: Share of the samples of each class to validate on, test samples not counted.
        test: Share of the samples of each class to test on; 0 for no test part.
        seed: Of both splits.
        augment: Changes training images at random, such as `Augment(shift=1)`.

    Returns:
        Images (N, 1, 8, 8).
    """
    # Read from scikit-learn's folder: importing it would cost every worker 140 MB for one small file.
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.submodule_search_locations is not None, "a required package"
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt") as file:
        table = torch.as_tensor(np.loadtxt(file, delimiter=",", dtype=np.uint8))
    everything = Tensors(table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].long(), _DIGITS_MEAN, _DIGITS_STD, augment)
    return Data.from_tensors(everything, num_classes=10, validation=validation, test_share=test, seed=seed)


def mnist(
    folder: str | Path | None = None, validation: float = 0.1, seed: int = 0, augment: Augmentation | None = None
) -> Data:
    """MNIST [LeCun1998], or any data set in files of the same names and layout, such as Fashion-MNIST.

    Mean and standard deviation are those of the training file; the official test file is the test part.

    Args:
        folder: Holds the four idx files, itself or in `mnist` or `MNIST/raw`; DATA_PATH if not given.
        validation: Share of the training images of each class to validate on.
        seed: Of the split.
        augment: Changes training images at random, such as `Augment(shift=2)`.

    Returns:
        Images (N, 1, H, W), 28 x 28 pixels of 0..255.

    Raises:
        InputError: Files are missing or damaged, or images and labels do not belong together.
    """
    paths = [found[0] for found in find("MNIST", folder, ("", "mnist", "MNIST/raw"), tuple(_MNIST_MD5), _MNIST_SOURCE)]
    train_x, train_y = _images_and_labels(*paths[:2])
    test_x, test_y = _images_and_labels(*paths[2:])
    if test_x.shape[1:] != train_x.shape[1:]:
        sizes = [" x ".join(map(str, x.shape[2:])) for x in (train_x, test_x)]
        raise InputError(f"{paths[0]} has images of {sizes[0]} pixels, {paths[2]} of {sizes[1]}")
    mean, std = _mean_and_std(train_x)
    train = Tensors(train_x, train_y, mean.item(), std.item(), augment)
    test = Tensors(test_x, test_y, mean.item(), std.item())
    return Data.from_tensors(train, test, validation=validation, seed=seed)


def cifar10(
    folder: str | Path | None = None, validation: float = 0.1, seed: int = 0, augment: Augmentation | None = None
) -> Data:
    """CIFAR-10 [Krizhevsky2009] in its binary version; some of the training batches are enough.

    Mean and standard deviation of each channel are those of the training batches.

    Args:
        folder: Holds `data_batch_*.bin` and `test_batch.bin` (or else one `test_batch*.bin`), itself or in `cifar10` or
            `cifar-10-batches-bin`; DATA_PATH if not given.
        validation: Share of the training images of each class to validate on.
        seed: Of the split.
        augment: Changes training images at random, such as `Augment(shift=4, flip=True)`.

    Returns:
        Images (N, 3, 32, 32), pixels of 0..255.

    Raises:
        InputError: Files are missing or damaged.
    """
    places, patterns = ("", "cifar10", "cifar-10-batches-bin"), ("data_batch_*.bin", "test_batch*.bin")
    train_paths, test_paths = find("CIFAR-10", folder, places, patterns, _CIFAR10_SOURCE)
    batches = [_cifar10_batch(path) for path in train_paths]
    train_x, train_y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    mean, std = _mean_and_std(train_x)
    test = Tensors(*_cifar10_batch(test_paths[0]), mean, std)
    return Data.from_tensors(
        Tensors(train_x, train_y, mean, std, augment), test, num_classes=10, validation=validation, seed=seed
    )


def idx(path: str | Path) -> Tensor:
    """The array in an idx file, packed or not [LeCun1998].

    Two zero bytes, a type code, the number of dimensions, each dimension in 4 bytes, then the values; big-endian.

    Returns:
        An array of the shape and type that the header states.

    Raises:
        InputError: The file is missing, damaged or not an idx file.
    """
    path = Path(path)
    content, is_whole = unpacked(path)
    kind, shape, start = _idx_header(path, content)
    found, promised = len(content), start + kind.itemsize * math.prod(shape)
    if found != promised:
        advice = CUT_OFF if found < promised else "it is damaged; fetch it again"
        raise InputError(f"{path} has {grouped(found)} of the {grouped(promised)} bytes its header promises: {advice}")
    if not is_whole:
        raise InputError(f"{path} lacks the end of its packing: {CUT_OFF}")
    warn_if_unofficial(path, content, "MNIST", _MNIST_MD5)
    values = np.frombuffer(content, kind, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(kind.newbyteorder("="), copy=False))


def _idx_header(path: Path, content: bytearray) -> tuple["np.dtype[np.generic]", tuple[int, ...], int]:
    """Type of the values, shape of the array, and the byte at which the values start."""
    if any(content[:2]):
        raise InputError(f"{path} is not an idx file: it starts with the bytes {content[:4].hex(' ')}, not with 00 00")
    if len(content) < 4 or len(content) < 4 + 4 * content[3]:
        raise InputError(f"{path} has {len(content)} bytes and ends within its header: {CUT_OFF}")
    code, dimensions = content[2], content[3]
    if code not in _IDX_TYPES or dimensions == 0:
        raise InputError(
            f"{path} is not an idx file: its header states type {code:#04x} and {dimensions} dimensions; it must be "
            f"one of {', '.join(f'{known:#04x}' for known in _IDX_TYPES)} and at least 1 dimension"
        )
    start = 4 + 4 * dimensions
    return np.dtype(_IDX_TYPES[code]), struct.unpack(f">{dimensions}I", content[4:start]), start


def _idx_bytes(path: Path, layout: str) -> Tensor:
    """The array in an idx file that must hold bytes in a layout such as 'N x H x W'."""
    array = idx(path)
    if array.dtype != torch.uint8 or array.dim() != 1 + layout.count("x") or array.numel() == 0:
        raise InputError(f"{path} holds {array.dtype} of shape {tuple(array.shape)}; it must hold bytes, {layout}")
    return array


def _images_and_labels(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) and class numbers (N,) of two idx files."""
    x, y = _idx_bytes(images, "N x H x W"), _idx_bytes(labels, "N")
    if len(x) != len(y):
        raise InputError(f"{images} has {len(x)} images, but {labels} has {len(y)} labels: they do not belong together")
    return x.unsqueeze(1), y.long()


def _cifar10_batch(path: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and class numbers (N,) of a file of records: a label, then the pixels plane by plane."""
    content, is_whole = unpacked(path)
    size = 1 + math.prod(_CIFAR10_SHAPE)
    if not is_whole or not content or len(content) % size:
        raise InputError(
            f"{path} has {grouped(len(content))} bytes; a CIFAR-10 file has a whole number of records of "
            f"{grouped(size)} bytes (1 label, 3 x 32 x 32 pixels): it is cut off or something else; fetch it again"
        )
    records = torch.frombuffer(content, dtype=torch.uint8).reshape(-1, size)
    labels = records[:, 0].long()
    if labels.max() > 9:
        first = int((labels > 9).nonzero()[0])
        raise InputError(f"{path} has label {labels[first]} in record {first}; CIFAR-10 has labels 0 to 9")
    warn_if_unofficial(path, content, "CIFAR-10", _CIFAR10_MD5)
    return records[:, 1:].reshape(-1, *_CIFAR10_SHAPE), labels


def _mean_and_std(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of byte images (N, C, H, W), each (C,); a std is at least 1."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])
    share = counts.double() / counts.sum(1, keepdim=True)
    value = torch.arange(256, dtype=torch.float64)
    mean = share @ value
    std = (share @ value.square() - mean.square()).clamp(min=1).sqrt()
    return mean.float(), std.float()
