"""Convolutions that shorten a signal, and recurrent layers on what they find in it.

    x -> [conv -> pool] per layer -> [recurrent layer (+ skip) -> dropout] per layer -> last state or mean -> fc ... fc

Inputs are channels and steps, (C, T), as of `cnn1d`, whose layers come first; every step of what they give is read by
the layers of `rnn` as one vector of features. Names of parameters are those of these two families.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from sparsemod.space import Parameters, SearchSpace
from sparsemod.spaces.cnn1d import (
    Convolutions,
    conv_layers,
    conv_type,
    convolution_parameters,
    filters,
    kernel,
    reduction,
)
from sparsemod.spaces.head import Head, fc_layers, fc_units, head_parameters
from sparsemod.spaces.layers import require_axes
from sparsemod.spaces.rnn import CELLS, Recurrent, recurrence, recurrent_parameters, rnn_layers, rnn_units
from sparsemod.spaces.training import training, training_parameters

TYPES = ("conv", "separable")


def space(
    *,
    types: Sequence[str] = TYPES,
    conv_layers: int = 3,
    filters: tuple[int, int] = (2, 64),
    kernel: tuple[int, int] = (2, 9),
    stride: int = 3,
    pool: int = 2,
    cells: Sequence[str] = CELLS,
    rnn_layers: int = 2,
    rnn_units: tuple[int, int] = (8, 128),
    fc_layers: int = 1,
    fc_units: tuple[int, int] = (8, 128),
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
        types: Some of the types of `cnn1d`.
        conv_layers: Most convolutional layers; the fewest are one.
        filters: Fewest and most output channels of each.
        kernel: Smallest and largest kernel.
        stride: Largest stride of a layer.
        pool: Most steps that a layer's pooling makes one of.
        cells: Some of `rnn.CELLS`.
        rnn_layers: Most recurrent layers; the fewest are one.
        rnn_units: Fewest and most units of each, in each direction.
        fc_layers: Most hidden fully connected layers.
        fc_units: Fewest and most units of each.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space = convolution_parameters(types, conv_layers, filters, kernel, stride, pool, weight_bits)
    space |= recurrent_parameters(cells, rnn_layers, rnn_units, weight_bits)
    space |= head_parameters(fc_layers, fc_units, weight_bits)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: (C, T).
        num_classes: K.

    Raises:
        Infeasible: A pooling or a kernel is larger than its input.
    """
    require_axes("cnn_rnn", input_shape, "C, T")
    convolutions = Convolutions(parameters, *input_shape)
    recurrent = Recurrent(parameters, convolutions.channels)
    return Net(convolutions, recurrent, Head(parameters, recurrent.features, num_classes))


class Net(nn.Module):
    """Convolutions, recurrent layers and a head: (N, C, T) -> (N, K)."""

    def __init__(self, convolutions: nn.Module, recurrent: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.convolutions, self.recurrent, self.head = convolutions, recurrent, head

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        steps = self.convolutions(x).transpose(1, 2)
        logits: Tensor = self.head(self.recurrent(steps))
        return logits


MORPHISMS = (
    *(conv_layers, conv_type, filters, kernel, reduction, rnn_layers, rnn_units, recurrence, fc_layers, fc_units),
    training,
)
