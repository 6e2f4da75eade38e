"""Parameters that every family has: how a network is trained, and how it is made smaller while it trains."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.moves import moved


def training_parameters(
    sparsity: float,
    learning_rate: tuple[float, float],
    batch_size: tuple[int, int],
    channels: float,
    patterns: Sequence[str],
    weight_bits: Sequence[int],
    qat_epochs: int,
) -> dict[str, Parameter]:
    """What ends a space; the arguments are those of `cnn.space`."""
    space: dict[str, Parameter] = {"learning_rate": Float(*learning_rate, log=True)}
    space["learning_gamma"] = Float(0.1, 1.0)
    space["learning_step"] = Int(1, 10)
    space["batch_size"] = Int(*batch_size, log=True)
    if patterns:
        space["prune_pattern"] = Choice(patterns)
    if not patterns or "element" in patterns:
        space["prune_threshold"] = Float(0.0, sparsity, when={"prune_pattern": ("element",)} if patterns else None)
    if channels:
        space["prune_channels"] = Float(0.0, channels)
    if weight_bits:
        space["classifier_bits"] = Choice(weight_bits)
    if qat_epochs:
        space["qat_epochs"] = Int(0, qat_epochs)
    return space


def set_bits(layer: nn.Module, parameters: Parameters, name: str) -> None:
    """The bits of a layer's weights, where they are searched; else those of the module around it, or 8."""
    if f"{name}_bits" in parameters:
        layer.weight_bits = int(parameters[f"{name}_bits"])  # type: ignore[assignment]  # an attribute of our own


def training(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One of the parameters of training and compression moved; the layers stay."""
    names = [name for name in _TRAINING if name in parameters]
    bits = [name for name in parameters if name.endswith("_bits")]
    if bits:
        names.append(bits[rng.integers(len(bits))])
    return moved(parameters, space, rng, names[rng.integers(len(names))])


_COMPRESSION = ("prune_threshold", "prune_pattern", "prune_channels", "qat_epochs")
_TRAINING = ("learning_rate", "learning_gamma", "dropout", *_COMPRESSION)
