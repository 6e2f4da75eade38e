"""Residual networks [He2016], with their resolution and width as parameters.

    x -> mean of squares -> conv -> [block ... block] per stage -> global mean -> dropout -> classes

A block is two convolutions and a skip around them, 1 x 1 where shapes differ; the first block of a stage has its
stride. Batch norm and ReLU follow every convolution. A `resolution` of 1 / r averages squares of r x r pixels, as an
operator of the network: what a device is given keeps its size. All stages grow with `width`, which is that of the first
one; each other is `s2_widening` times as wide as the one before, rounded. ResNet-8 of MLPerf Tiny [Banbury2021] is the
member of width 16 with three stages of one block, kernels of 3, strides 1, 2, 2 and twice the width at each.

[He2016] Deep residual learning for image recognition, CVPR 2016, arXiv 1512.03385.
[Banbury2021] MLPerf Tiny benchmark, NeurIPS 2021, arXiv 2106.07597.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head
from sparsemod.spaces.layers import ConvNorm, pooled_squares, require_axes
from sparsemod.spaces.moves import moved, scaled, stepped
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters


def space(
    *,
    resolution: Sequence[float] = (1.0, 0.5, 0.25),
    width: tuple[int, int] = (4, 64),
    stages: int = 4,
    blocks: int = 3,
    kernel: tuple[int, int] = (2, 5),
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
        resolution: Shares of height and width to keep, each one over a whole number.
        width: Fewest and most channels of the first stage.
        stages: Most stages; the fewest are one.
        blocks: Most blocks of a stage; the fewest are one.
        kernel: Smallest and largest kernel.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space: dict[str, Parameter] = {"resolution": Choice(resolution), "width": Int(*width, log=True)}
    space["stem_kernel"] = Int(*kernel)
    space["stem_stride"] = Int(1, 2)
    if weight_bits:
        space["stem_bits"] = Choice(weight_bits)
    space["stages"] = Int(1, stages)
    for stage in range(1, stages + 1):
        deep = reaching("stages", stage, stages)
        space[f"s{stage}_blocks"] = Int(1, blocks, when=deep)
        space[f"s{stage}_kernel"] = Int(*kernel, when=deep)
        space[f"s{stage}_stride"] = Int(1, 2, when=deep)
        if stage > 1:
            space[f"s{stage}_widening"] = Float(1.0, 2.0, when=deep)
        if weight_bits:
            space[f"s{stage}_bits"] = Choice(weight_bits, when=deep)
    space["dropout"] = Float(0.0, 0.5)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


# --- builder ---------------------------------------------------------------------------------------------------------


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: (C, H, W).
        num_classes: K.

    Raises:
        Infeasible: The image is smaller than the squares that are averaged.
    """
    require_axes("resnet", input_shape, "C, H, W")
    square = pooled_squares(float(parameters["resolution"]), input_shape)
    return Net(parameters, square, input_shape[0], num_classes)


class Net(nn.Module):
    """A convolution, stages and a classifier: (N, C, H, W) -> (N, K)."""

    def __init__(self, parameters: Parameters, square: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.square, exact = square, float(parameters["width"])
        width = round(exact)
        self.stem = ConvNorm(2, channels, width, int(parameters["stem_kernel"]), int(parameters["stem_stride"]))
        set_bits(self.stem, parameters, "stem")
        self.stages = nn.Sequential()
        for stage in range(1, int(parameters["stages"]) + 1):
            exact *= float(parameters[f"s{stage}_widening"]) if stage > 1 else 1.0
            self.stages.append(_stage(parameters, f"s{stage}", width, round(exact)))
            width = round(exact)
        self.head = Head(parameters, width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = F.avg_pool2d(x, self.square) if self.square > 1 else x
        x = self.stages(F.relu(self.stem(x)))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _stage(parameters: Parameters, name: str, inputs: int, width: int) -> nn.Module:
    blocks = nn.Sequential()
    kernel, stride = int(parameters[f"{name}_kernel"]), int(parameters[f"{name}_stride"])
    for block in range(int(parameters[f"{name}_blocks"])):
        blocks.append(Block(width if block else inputs, width, kernel, 1 if block else stride))
    set_bits(blocks, parameters, name)
    return blocks


class Block(nn.Module):
    """Two convolutions and a skip around them."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(2, inputs, width, kernel, stride)
        self.second = ConvNorm(2, width, width, kernel)
        same = inputs == width and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, width, H / stride, W / stride), rounded up; nothing below zero."""
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def stages(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One stage more, of one block like those of the last but without stride and widening, or one less."""
    return longer(parameters, space, rng, "stages", "s", blocks=1, stride=1, widening=1.0)


def blocks(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One block more or less in a stage."""
    return stepped(parameters, space, rng, f"{one_of(parameters, rng, 'stages', 's')}blocks")


def width(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """All stages wider or narrower, by up to a factor of two, or those from one on."""
    stage = 1 + int(rng.integers(int(parameters["stages"])))
    if stage == 1:
        return scaled(parameters, space, rng, "width")
    return moved(parameters, space, rng, f"s{stage}_widening")


def kernel(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A kernel larger or smaller by one or two."""
    return stepped(parameters, space, rng, f"{_stem_or_stage(parameters, rng)}kernel", 2)


def stride(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Stride of the first convolution or of one stage on or off."""
    return moved(parameters, space, rng, f"{_stem_or_stage(parameters, rng)}stride")


def resolution(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Another resolution."""
    return moved(parameters, space, rng, "resolution")


MORPHISMS = (stages, blocks, width, kernel, stride, resolution, training)


def _stem_or_stage(parameters: Parameters, rng: np.random.Generator) -> str:
    """What the names of the first convolution or of a random stage begin with."""
    return "stem_" if rng.random() < 0.25 else one_of(parameters, rng, "stages", "s")
