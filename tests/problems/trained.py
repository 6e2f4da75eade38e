"""Three members of the space of convolutional networks, trained on real images for a minute each."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sparsemod import datasets
from sparsemod.compress.prune import PruningRamp, keeping_zeros
from sparsemod.compress.qat import settling
from sparsemod.compress.quantize import lower
from sparsemod.data import Data
from sparsemod.graph import run, trace
from sparsemod.space import Parameters
from sparsemod.spaces import cnn
from sparsemod.train import AfterStep, error, train

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
        data: Loads the images, of which 10,000 of the training files are for validation.
        parameters: A member of the space.
        epochs: Passes over the training images.
        sparsity: Share of the weights that training prunes.
    """

    data: Callable[[Path | None], Data]
    parameters: Parameters
    epochs: int
    sparsity: float = 0.0


mnist = functools.partial(datasets.mnist, validation=10_000 / 60_000)
cifar10 = functools.partial(datasets.cifar10, validation=10_000 / 30_000)  # three of the five files are there

NETWORKS = {
    "MNIST, convolutions": Trained(
        mnist,
        {**_TRAINING, **_ONE_BLOCK, **_layers(b1_l1=("conv", 16), b1_l2=("conv", 32)),
         "global_pool": False, "fc_layers": 1, "fc1_units": 28},
        epochs=2,
    ),
    "MNIST, separable and 80 % pruned": Trained(
        mnist,
        {**_TRAINING, **_ONE_BLOCK, **_layers(b1_l1=("conv", 16), b1_l2=("separable", 32)), "b1_skip": True,
         "global_pool": False, "fc_layers": 0},
        epochs=3, sparsity=0.8,
    ),
    "CIFAR-10, two blocks and a skip": Trained(
        cifar10,
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
        integer: Of the integers that ship.
        images: How many were answered.
        as_long: Of a float network that was trained on as the integers were.
    """

    float32: float
    integer: float
    images: int
    as_long: float


@functools.cache
def trained(name: str, folder: Path | None = None) -> tuple[nn.Module, Data]:
    """One of `NETWORKS`, and its images; of a folder, or of DATA_PATH if not given."""
    described = NETWORKS[name]
    data, parameters = described.data(folder), described.parameters
    torch.manual_seed(0)
    module = cnn.build(parameters, data.input_shape, data.num_classes)
    ramp = PruningRamp(module, described.sparsity)
    train(module, data.train, parameters, described.epochs, torch.Generator().manual_seed(0), ramp)
    return module.eval().to(memory_format=torch.contiguous_format), data


def _trained_on(name: str, data: Data, network: nn.Module, epochs: int, after_step: AfterStep) -> None:
    """More epochs, at a tenth of the learning rate."""
    slower = {**NETWORKS[name].parameters, "learning_rate": _TRAINING["learning_rate"] / 10}
    train(network, data.train, slower, epochs, torch.Generator().manual_seed(1), after_step)


@functools.cache
def _error_as_long(name: str, folder: Path | None, epochs: int) -> float:
    module, data = trained(name, folder)
    longer = copy.deepcopy(module)
    _trained_on(name, data, longer, epochs, keeping_zeros(longer))
    return error(longer.eval(), data.validation)


def errors(name: str, folder: Path | None = None, weight_bits: int = 8, qat_epochs: int = 0) -> Errors:
    """Quantizes one of the networks as a search does, calibrated on the first training images.

    Args:
        name: One of `NETWORKS`.
        folder: Of the images; DATA_PATH if not given.
        weight_bits: Of every layer: 8, 4 or 2.
        qat_epochs: Of quantization-aware training, at a tenth of the learning rate.
    """
    module, data = trained(name, folder)

    def tune(network: nn.Module) -> None:
        _trained_on(name, data, network, qat_epochs, settling(network))

    real = trace(module, data.input_shape, "none")
    narrow = copy.deepcopy(module)
    narrow.weight_bits = weight_bits  # type: ignore[assignment]
    batches = data.train.batches(64, None)
    integer = lower(narrow, [next(batches)[0] for _ in range(8)], tune=tune if qat_epochs else None)
    wrong = [error(functools.partial(run, graph), data.validation) for graph in (real, integer)]
    as_long = _error_as_long(name, folder, qat_epochs) if qat_epochs else wrong[0]
    return Errors(*wrong, len(data.validation), as_long)
