"""Every loader takes an augmentation, for what is shuffled to train alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from problems.data_files import parts, write_cifar10, write_mnist

from sparsemod.augment import Augment
from sparsemod.data import Data
from sparsemod.datasets import cifar10, digits, mnist

LOADERS: dict[str, Callable[[Path], Callable[..., Data]]] = {
    "digits": lambda folder: digits,
    "mnist": lambda folder: partial(mnist, write_mnist(folder), validation=0.25),
    "cifar10": lambda folder: partial(cifar10, write_cifar10(folder), validation=0.2),
}


@pytest.mark.parametrize("name", LOADERS)
def test_images_are_augmented_to_train_and_nowhere_else(name: str, tmp_path: Path) -> None:
    load = LOADERS[name](tmp_path)
    data, plain = load(augment=Augment(cutout=99)), load()  # nothing but the hole is left
    shuffled, _ = next(data.train.batches(2000, torch.Generator()))
    assert (shuffled == shuffled[:1, :, :1, :1]).all()
    for part, same in zip(parts(data), parts(plain), strict=True):
        assert torch.equal(next(part.batches(2000))[0], next(same.batches(2000))[0])
