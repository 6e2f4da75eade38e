"""Fully connected networks, for features that were computed beforehand.

    x -> flatten -> [linear -> batch norm -> ReLU -> dropout] per layer -> classes

Batch norm becomes part of the linear layer and costs nothing. Names of parameters: `l2_units` is the width of the
second layer.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.moves import scaled
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters


def space(
    *,
    layers: int = 4,
    units: tuple[int, int] = (4, 512),
    sparsity: float = 0.9,
    learning_rate: tuple[float, float] = (1e-4, 1e-2),
    batch_size: tuple[int, int] = (16, 256),
    channels: float = 0.0,
    patterns: Sequence[str] = (),
    weight_bits: Sequence[int] = (),
    qat_epochs: int = 0,
) -> SearchSpace:
    """The search space.

    Args:
        layers: Most hidden layers; the fewest are one.
        units: Fewest and most units of each.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space: dict[str, Parameter] = {"layers": Int(1, layers)}
    for layer in range(1, layers + 1):
        deep = reaching("layers", layer, layers)
        space[f"l{layer}_units"] = Int(*units, log=True, when=deep)
        if weight_bits:
            space[f"l{layer}_bits"] = Choice(weight_bits, when=deep)
    space["dropout"] = Float(0.0, 0.5)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


# --- builder ---------------------------------------------------------------------------------------------------------


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: Any; it is flattened.
        num_classes: K.
    """
    return Net(parameters, int(np.prod(input_shape)), num_classes)


class Net(nn.Module):
    """Layers and a classifier: (N, ...) -> (N, K)."""

    def __init__(self, parameters: Parameters, features: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.dropout = nn.Dropout(float(parameters["dropout"]))
        for layer in range(1, int(parameters["layers"]) + 1):
            self.layers.append(Layer(parameters, f"l{layer}", features))
            features = int(parameters[f"l{layer}_units"])
        self.classifier = nn.Linear(features, num_classes)
        set_bits(self.classifier, parameters, "classifier")

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = x.flatten(1)
        for layer in self.layers:
            x = self.dropout(layer(x))
        logits: Tensor = self.classifier(x)
        return logits


class Layer(nn.Module):
    """A linear layer with batch norm and ReLU: (N, features) -> (N, units)."""

    def __init__(self, parameters: Parameters, name: str, features: int) -> None:
        super().__init__()
        units = int(parameters[f"{name}_units"])
        self.linear, self.norm = nn.Linear(features, units, bias=False), nn.BatchNorm1d(units)
        set_bits(self, parameters, name)

    def forward(self, x: Tensor) -> Tensor:
        """Nothing below zero."""
        return F.relu(self.norm(self.linear(x)))


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def layers(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer more, as wide as the last, or one less."""
    return longer(parameters, space, rng, "layers", "l")


def units(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer wider or narrower, by up to a factor of two."""
    return scaled(parameters, space, rng, f"{one_of(parameters, rng, 'layers', 'l')}units")


MORPHISMS = (layers, units, training)
