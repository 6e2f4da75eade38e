"""Convolutional networks over time, for raw signals and sensors.

    x -> [layer -> pool] per layer -> (global pool) -> flatten -> dropout -> fc ... fc -> classes

Inputs are channels and steps, (C, T). A layer is a convolution, a depthwise-separable one, or a residual block of two
dilated ones as in temporal convolutional networks [Bai2018], each twice as far apart as in the dilated layer before;
here a block sees both sides of a step, not the past alone. Batch norm and ReLU follow every convolution. Padding keeps
the length, so a stride of s divides it by s, rounded up. Names of parameters: `conv2_filters` is the width of the
second layer.

[Bai2018] An empirical evaluation of generic convolutional and recurrent networks for sequence modeling, arXiv
1803.01271.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible
from sparsemod.space import Choice, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head, fc_layers, fc_units, head_parameters
from sparsemod.spaces.layers import ConvNorm, Separable, require_axes
from sparsemod.spaces.moves import moved, scaled, stepped
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters

TYPES = ("conv", "separable", "dilated")


def space(
    *,
    types: Sequence[str] = TYPES,
    conv_layers: int = 4,
    filters: tuple[int, int] = (2, 64),
    kernel: tuple[int, int] = (2, 9),
    stride: int = 2,
    pool: int = 2,
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
        types: Some of `TYPES`.
        conv_layers: Most convolutional layers; the fewest are one.
        filters: Fewest and most output channels of a layer.
        kernel: Smallest and largest kernel.
        stride: Largest stride of a layer.
        pool: Most steps that a layer's pooling makes one of.
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
    space["global_pool"] = Choice((False, True))
    space |= head_parameters(fc_layers, fc_units, weight_bits)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


def convolution_parameters(
    types: Sequence[str],
    conv_layers: int,
    filters: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    pool: int,
    weight_bits: Sequence[int],
) -> dict[str, Parameter]:
    """What `Convolutions` reads; the arguments are those of `space`."""
    space: dict[str, Parameter] = {"conv_layers": Int(1, conv_layers)}
    for layer in range(1, conv_layers + 1):
        deep = reaching("conv_layers", layer, conv_layers)
        space[f"conv{layer}_type"] = Choice(types, when=deep)
        space[f"conv{layer}_filters"] = Int(*filters, log=True, when=deep)
        space[f"conv{layer}_kernel"] = Int(*kernel, when=deep)
        space[f"conv{layer}_stride"] = Int(1, stride, when=deep)
        space[f"conv{layer}_pool"] = Int(1, pool, when=deep)
        if weight_bits:
            space[f"conv{layer}_bits"] = Choice(weight_bits, when=deep)
    return space


# --- builder ---------------------------------------------------------------------------------------------------------


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: (C, T).
        num_classes: K.

    Raises:
        Infeasible: A pooling or a kernel is larger than its input.
    """
    require_axes("cnn1d", input_shape, "C, T")
    convolutions = Convolutions(parameters, *input_shape)
    global_pool = bool(parameters["global_pool"])
    features = convolutions.channels * (1 if global_pool else convolutions.steps)
    return Net(convolutions, Head(parameters, features, num_classes), global_pool)


class Net(nn.Module):
    """Convolutions and a head: (N, C, T) -> (N, K)."""

    def __init__(self, convolutions: nn.Module, head: nn.Module, global_pool: bool) -> None:
        super().__init__()
        self.convolutions, self.head, self.global_pool = convolutions, head, global_pool

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.convolutions(x)
        logits: Tensor = self.head(x.mean(2) if self.global_pool else x.flatten(1))
        return logits


class Convolutions(nn.Module):
    """Convolutional layers: (N, C, T) -> (N, channels, steps)."""

    def __init__(self, parameters: Parameters, channels: int, steps: int) -> None:
        super().__init__()
        self.layers, self.pools = nn.ModuleList(), list[int]()
        dilation = 1
        for layer in range(1, int(parameters["conv_layers"]) + 1):
            name = f"conv{layer}"
            kind, stride, pool = (parameters[f"{name}_{key}"] for key in ("type", "stride", "pool"))
            _require_room(name, int(parameters[f"{name}_kernel"]), dilation if kind == "dilated" else 1, steps)
            self.layers.append(_layer(parameters, name, channels, dilation))
            set_bits(self.layers[-1], parameters, name)
            channels, steps = int(parameters[f"{name}_filters"]), -(-steps // int(stride))
            dilation *= 2 if kind == "dilated" else 1
            if steps < int(pool):
                raise Infeasible(f"{name}: pooling by {pool} is larger than its {steps} steps")
            steps //= int(pool)
            self.pools.append(int(pool))
        self.channels, self.steps = channels, steps

    def forward(self, x: Tensor) -> Tensor:
        """Nothing below zero."""
        for layer, pool in zip(self.layers, self.pools, strict=True):
            x = layer(x)
            x = F.max_pool1d(x, pool) if pool > 1 else x
        return x


def _require_room(name: str, kernel: int, dilation: int, steps: int) -> None:
    """Refuses a kernel whose last tap never meets the input."""
    if kernel // 2 * dilation >= steps:
        apart = f" and {dilation} steps apart" if dilation > 1 else ""
        raise Infeasible(f"{name}: a kernel of {kernel} taps{apart} is too large for its {steps} steps")


def _layer(parameters: Parameters, name: str, channels: int, dilation: int) -> nn.Module:
    filters, kernel, stride = (int(parameters[f"{name}_{key}"]) for key in ("filters", "kernel", "stride"))
    match parameters[f"{name}_type"]:
        case "dilated":
            return Dilated(channels, filters, kernel, stride, dilation)
        case "separable":
            return Separable(1, channels, filters, kernel, stride)
        case _:
            return nn.Sequential(ConvNorm(1, channels, filters, kernel, stride), nn.ReLU())


class Dilated(nn.Module):
    """Two dilated convolutions and a skip around them, 1 x 1 where shapes differ [Bai2018]."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.first = ConvNorm(1, channels, filters, kernel, stride, dilation)
        self.second = ConvNorm(1, filters, filters, kernel, 1, dilation)
        same = channels == filters and stride == 1
        self.skip = nn.Identity() if same else nn.Conv1d(channels, filters, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, filters, T / stride), rounded up; nothing below zero."""
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def conv_layers(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer more, like the last but without stride and pooling, or one less."""
    return longer(parameters, space, rng, "conv_layers", "conv", stride=1, pool=1)


def conv_type(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Another type for one layer."""
    return moved(parameters, space, rng, f"{_one(parameters, rng)}type")


def filters(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer wider or narrower, by up to a factor of two."""
    return scaled(parameters, space, rng, f"{_one(parameters, rng)}filters")


def kernel(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A kernel larger or smaller by one or two."""
    return stepped(parameters, space, rng, f"{_one(parameters, rng)}kernel", 2)


def reduction(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Stride or pooling of one layer larger or smaller by one."""
    return stepped(parameters, space, rng, f"{_one(parameters, rng)}{('stride', 'pool')[rng.integers(2)]}")


def global_pooling(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """The mean over time instead of all that is left of it, or the other way round."""
    return moved(parameters, space, rng, "global_pool")


MORPHISMS = (
    *(conv_layers, conv_type, filters, kernel, reduction, global_pooling, fc_layers, fc_units),
    training,
)


def _one(parameters: Parameters, rng: np.random.Generator) -> str:
    return one_of(parameters, rng, "conv_layers", "conv")
