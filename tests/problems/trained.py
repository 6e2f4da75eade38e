"""Three members of the space of convolutional networks, trained on real images for half a minute each."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sparsemod import datasets
from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.quantize import lower
from sparsemod.data import Data
from sparsemod.graph import run, trace
from sparsemod.space import Parameters
from sparsemod.spaces import cnn
from sparsemod.train import error, train

_TRAINING = {"learning_rate": 3e-3, "learning_gamma": 0.3, "learning_step": 2, "batch_size": 128, "dropout": 0.0}
_ONE_BLOCK = {"blocks": 1, "b1_layers": 2, "b1_stride": 2, "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2}
_TWO_BLOCKS = {
    "blocks": 2, "b1_layers": 2, "b1_stride": 2, "b1_skip": False, "b1_pool": False,
    "b2_layers": 2, "b2_stride": 1, "b2_skip": True, "b2_pool": True, "b2_pool_rate": 2,
}  # fmt: skip


def _layers(**described: tuple[str, int]) -> Parameters:
    """Type and width of each layer by its name, with kernels of three."""
    found: dict[str, str | int | float] = {}
    for name, (kind, width) in described.items():
        found |= {f"{name}_type": kind, f"{name}_filters": width, f"{name}_kernel": 3, f"{name}_drop": 0.25}
    return found


@dataclass(frozen=True)
class Trained:
    """A network to train.

    Attributes:
        data: Loads the images.
        parameters: A member of the space.
        epochs: Passes over the training images.
        sparsity: Share of the weights that training prunes.
    """

    data: Callable[[Path | None], Data]
    parameters: Parameters
    epochs: int
    sparsity: float = 0.0


NETWORKS = {
    "MNIST, convolutions": Trained(
        datasets.mnist,
        {**_TRAINING, **_ONE_BLOCK, **_layers(b1_l1=("conv", 16), b1_l2=("conv", 32)),
         "global_pool": False, "fc_layers": 1, "fc1_units": 28},
        epochs=2,
    ),
    "MNIST, separable and 80 % pruned": Trained(
        datasets.mnist,
        {**_TRAINING, **_ONE_BLOCK, **_layers(b1_l1=("conv", 16), b1_l2=("separable", 32)), "b1_skip": True,
         "global_pool": False, "fc_layers": 0},
        epochs=3, sparsity=0.8,
    ),
    "CIFAR-10, two blocks and a skip": Trained(
        datasets.cifar10,
        {**_TRAINING, **_TWO_BLOCKS, **_layers(b1_l1=("conv", 16), b1_l2=("separable", 32), b2_l1=("downsampled", 48),
                                               b2_l2=("separable", 48)),
         "global_pool": True, "fc_layers": 0},
        epochs=4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Errors:
    """Share of wrong answers on the validation images, before and after quantization.

    Attributes:
        float32: Of the network as it was trained.
        int8: Of the integers that ship.
        images: How many were answered.
    """

    float32: float
    int8: float
    images: int


def errors(name: str, folder: Path | None = None) -> Errors:
    """Trains one of the networks; quantizes it as a search does, calibrated on the first training images.

    Args:
        name: One of `NETWORKS`.
        folder: Of the images; DATA_PATH if not given.
    """
    described = NETWORKS[name]
    data, parameters = described.data(folder), described.parameters
    torch.manual_seed(0)
    module = cnn.build(parameters, data.input_shape, data.num_classes)
    ramp = PruningRamp(module, described.sparsity)
    train(module, data.train, parameters, described.epochs, torch.Generator().manual_seed(0), ramp)
    module.eval().to(memory_format=torch.contiguous_format)
    batches = data.train.batches(64, None)
    integer = lower(module, [next(batches)[0] for _ in range(8)])
    real = trace(module, data.input_shape, "none")
    wrong = [error(functools.partial(run, graph), data.validation) for graph in (real, integer)]
    return Errors(*wrong, len(data.validation))
