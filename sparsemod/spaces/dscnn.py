"""Depthwise-separable convolutions on spectrograms, for keyword spotting: DS-CNN [Zhang2017].

    x -> conv -> [depthwise -> 1 x 1] per block -> mean over time and frequency -> dropout -> classes

Inputs are spectrograms or cepstral coefficients, (1, T, F): the first convolution has a kernel and a stride of its own
along either axis. Batch norm and ReLU follow every convolution. Padding keeps the size, so a stride of s divides it by
s, rounded up. Names of parameters: `b2_filters` is the width of the second block. DS-CNN "small" is the member of 64
channels everywhere, a first kernel of 10 x 4 with stride 2 x 2, and four blocks of 3 x 3.

[Zhang2017] Hello Edge: keyword spotting on microcontrollers, arXiv 1711.07128.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible
from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head
from sparsemod.spaces.layers import ConvNorm, Separable, require_axes
from sparsemod.spaces.moves import scaled, stepped
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters


def space(
    *,
    blocks: int = 5,
    filters: tuple[int, int] = (8, 128),
    kernel: tuple[int, int] = (2, 5),
    first_kernel: tuple[int, int] = (2, 10),
    first_stride: int = 3,
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
        blocks: Most blocks; the fewest are one.
        filters: Fewest and most channels of the first convolution and of each block.
        kernel: Smallest and largest kernel of a block.
        first_kernel: Smallest and largest kernel of the first convolution, along either axis.
        first_stride: Its largest stride, along either axis.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space: dict[str, Parameter] = {"first_filters": Int(*filters, log=True)}
    for axis in ("time", "frequency"):
        space[f"first_kernel_{axis}"] = Int(*first_kernel)
        space[f"first_stride_{axis}"] = Int(1, first_stride)
    if weight_bits:
        space["first_bits"] = Choice(weight_bits)
    space["blocks"] = Int(1, blocks)
    for b in range(1, blocks + 1):
        deep = reaching("blocks", b, blocks)
        space[f"b{b}_filters"] = Int(*filters, log=True, when=deep)
        space[f"b{b}_kernel"] = Int(*kernel, when=deep)
        space[f"b{b}_stride"] = Int(1, 2, when=deep)
        if weight_bits:
            space[f"b{b}_bits"] = Choice(weight_bits, when=deep)
    space["dropout"] = Float(0.0, 0.5)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


# --- builder ---------------------------------------------------------------------------------------------------------


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: (1, T, F), or more channels than one.
        num_classes: K.

    Raises:
        Infeasible: The first kernel is larger than the input.
    """
    require_axes("dscnn", input_shape, "C, T, F")
    kernel = [int(parameters[f"first_kernel_{axis}"]) for axis in ("time", "frequency")]
    if any(size > extent for size, extent in zip(kernel, input_shape[1:], strict=True)):
        size, extent = (" x ".join(map(str, shape)) for shape in (kernel, input_shape[1:]))
        raise Infeasible(f"first: a kernel of {size} is larger than its {extent} input")
    return Net(parameters, input_shape[0], kernel, num_classes)


class Net(nn.Module):
    """A convolution, blocks and a classifier: (N, C, T, F) -> (N, K)."""

    def __init__(self, parameters: Parameters, channels: int, kernel: Sequence[int], num_classes: int) -> None:
        super().__init__()
        width = int(parameters["first_filters"])
        stride = [int(parameters[f"first_stride_{axis}"]) for axis in ("time", "frequency")]
        self.first = ConvNorm(2, channels, width, kernel, stride)
        set_bits(self.first, parameters, "first")
        self.blocks = nn.Sequential()
        for b in range(1, int(parameters["blocks"]) + 1):
            sizes = (int(parameters[f"b{b}_{key}"]) for key in ("filters", "kernel", "stride"))
            self.blocks.append(Separable(2, width, *sizes))
            set_bits(self.blocks[-1], parameters, f"b{b}")
            width = int(parameters[f"b{b}_filters"])
        self.head = Head(parameters, width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.blocks(F.relu(self.first(x)))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def blocks(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One block more, like the last but without stride, or one less."""
    return longer(parameters, space, rng, "blocks", "b", stride=1)


def filters(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """The first convolution or one block wider or narrower, by up to a factor of two."""
    return scaled(parameters, space, rng, f"{_first_or_block(parameters, rng)}filters")


def kernel(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A kernel larger or smaller by one or two, along one axis of the first convolution."""
    return stepped(parameters, space, rng, _sized(parameters, rng, "kernel"), 2)


def stride(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A stride larger or smaller by one."""
    return stepped(parameters, space, rng, _sized(parameters, rng, "stride"))


MORPHISMS = (blocks, filters, kernel, stride, training)


def _first_or_block(parameters: Parameters, rng: np.random.Generator) -> str:
    """What the names of the first convolution or of a random block begin with."""
    return "first_" if rng.random() < 0.3 else one_of(parameters, rng, "blocks", "b")


def _sized(parameters: Parameters, rng: np.random.Generator, what: str) -> str:
    """Name of a kernel or stride, of the first convolution along a random axis."""
    name = f"{_first_or_block(parameters, rng)}{what}"
    return f"{name}_{('time', 'frequency')[rng.integers(2)]}" if name.startswith("first") else name
