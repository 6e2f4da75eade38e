"""Inverted residual blocks [Sandler2018] with squeeze-and-excitation and hard-swish [Howard2019].

    x -> mean of squares -> conv -> [block ... block] per stage -> (1 x 1 conv) -> global mean -> dropout -> classes

A block expands its channels by a 1 x 1 convolution (`s1_expansion` times; once is none), convolves each of them, and
projects them to its width without an activation; a skip leads around it where shapes agree. With `s1_squeeze` the
channels in the middle are scaled by what a quarter as many units say of their means. The first block of a stage has its
stride. A `resolution` of 1 / r averages squares of r x r pixels, as an operator of the network: what a device is given
keeps its size. All widths are multiplied by `width` and rounded, to one channel at least.

[Sandler2018] MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, arXiv 1801.04381.
[Howard2019] Searching for MobileNetV3, ICCV 2019, arXiv 1905.02244.
"""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head
from sparsemod.spaces.layers import ConvNorm, pooled_squares, require_axes
from sparsemod.spaces.moves import moved, scaled, stepped
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS = ("relu6", "hardswish")
_FUNCTIONS: dict[str, Activation] = {"relu6": F.relu6, "hardswish": F.hardswish}


def space(
    *,
    resolution: Sequence[float] = (1.0, 0.5, 0.25),
    width: tuple[float, float] = (0.25, 1.0),
    stages: int = 4,
    blocks: int = 3,
    filters: tuple[int, int] = (8, 96),
    expansion: int = 6,
    kernel: tuple[int, int] = (2, 5),
    activations: Sequence[str] = ACTIVATIONS,
    squeeze: Sequence[bool] = (False, True),
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
        width: Least and largest multiplier of all widths.
        stages: Most stages; the fewest are one.
        blocks: Most blocks of a stage; the fewest are one.
        filters: Fewest and most channels of the first convolution, of a stage and of the last convolution.
        expansion: Most channels in the middle of a block for each that it reads.
        kernel: Smallest and largest kernel.
        activations: Some of `ACTIVATIONS`.
        squeeze: Whether stages have squeeze-and-excitation.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space: dict[str, Parameter] = {"resolution": Choice(resolution), "width": Float(*width)}
    space["activation"] = Choice(activations)
    space["stem_filters"] = Int(*filters, log=True)
    space["stem_stride"] = Int(1, 2)
    space["stages"] = Int(1, stages)
    for stage in range(1, stages + 1):
        deep = reaching("stages", stage, stages)
        space[f"s{stage}_blocks"] = Int(1, blocks, when=deep)
        space[f"s{stage}_filters"] = Int(*filters, log=True, when=deep)
        space[f"s{stage}_expansion"] = Int(1, expansion, when=deep)
        space[f"s{stage}_kernel"] = Int(*kernel, when=deep)
        space[f"s{stage}_stride"] = Int(1, 2, when=deep)
        space[f"s{stage}_squeeze"] = Choice(squeeze, when=deep)
        if weight_bits:
            space[f"s{stage}_bits"] = Choice(weight_bits, when=deep)
    space["last"] = Choice((False, True))
    space["last_filters"] = Int(*filters, log=True, when={"last": (True,)})
    if weight_bits:
        space["stem_bits"] = Choice(weight_bits)
        space["last_bits"] = Choice(weight_bits, when={"last": (True,)})
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
    require_axes("mobilenet", input_shape, "C, H, W")
    square = pooled_squares(float(parameters["resolution"]), input_shape)
    return Net(parameters, square, input_shape[0], num_classes)


class Net(nn.Module):
    """A convolution, stages, perhaps another convolution, and a classifier: (N, C, H, W) -> (N, K)."""

    def __init__(self, parameters: Parameters, square: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.square, self.activation = square, _FUNCTIONS[str(parameters["activation"])]
        width = _width(parameters, "stem")
        self.stem = ConvNorm(2, channels, width, 3, int(parameters["stem_stride"]))
        set_bits(self.stem, parameters, "stem")
        self.stages = nn.Sequential()
        for stage in range(1, int(parameters["stages"]) + 1):
            self.stages.append(_stage(parameters, f"s{stage}", width, self.activation))
            width = _width(parameters, f"s{stage}")
        self.last: nn.Module | None = None
        if parameters["last"]:
            self.last = ConvNorm(2, width, _width(parameters, "last"), 1)
            set_bits(self.last, parameters, "last")
            width = _width(parameters, "last")
        self.head = Head(parameters, width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = F.avg_pool2d(x, self.square) if self.square > 1 else x
        x = self.stages(self.activation(self.stem(x)))
        x = x if self.last is None else self.activation(self.last(x))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _width(parameters: Parameters, name: str) -> int:
    return max(1, round(float(parameters["width"]) * int(parameters[f"{name}_filters"])))


def _stage(parameters: Parameters, name: str, inputs: int, activation: Activation) -> nn.Module:
    blocks, width = nn.Sequential(), _width(parameters, name)
    expansion, kernel, stride = (int(parameters[f"{name}_{key}"]) for key in ("expansion", "kernel", "stride"))
    for block in range(int(parameters[f"{name}_blocks"])):
        inputs, stride = (width, 1) if block else (inputs, stride)
        squeeze = bool(parameters[f"{name}_squeeze"])
        blocks.append(Block(inputs, width, expansion, kernel, stride, squeeze, activation))
    set_bits(blocks, parameters, name)
    return blocks


class Block(nn.Module):
    """An inverted residual block."""

    def __init__(
        self, inputs: int, width: int, expansion: int, kernel: int, stride: int, squeeze: bool, activation: Activation
    ) -> None:
        super().__init__()
        middle = expansion * inputs
        self.activation, self.skip = activation, inputs == width and stride == 1
        self.expand = ConvNorm(2, inputs, middle, 1) if expansion > 1 else None
        self.depthwise = ConvNorm(2, middle, middle, kernel, stride, groups=middle)
        self.squeeze = Squeeze(middle) if squeeze else None
        self.project = ConvNorm(2, middle, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, width, H / stride, W / stride), rounded up."""
        y: Tensor = x if self.expand is None else self.activation(self.expand(x))
        y = self.activation(self.depthwise(y))
        y = self.project(y if self.squeeze is None else self.squeeze(y))
        return y + x if self.skip else y


class Squeeze(nn.Module):
    """Squeeze-and-excitation with a hard sigmoid [Howard2019]: channels scaled by what their means say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        units = max(1, channels // 4)
        self.reduce, self.excite = nn.Conv2d(channels, units, 1), nn.Conv2d(units, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        y: Tensor = self.excite(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(y)


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def stages(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One stage more, of one block like those of the last but without stride, or one less."""
    return longer(parameters, space, rng, "stages", "s", blocks=1, stride=1)


def blocks(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One block more or less in a stage."""
    return stepped(parameters, space, rng, f"{one_of(parameters, rng, 'stages', 's')}blocks")


def width(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Everything wider or narrower."""
    return moved(parameters, space, rng, "width")


def filters(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """The first convolution, one stage or the last convolution wider or narrower, by up to a factor of two."""
    rows = ["stem", *(f"s{stage}" for stage in range(1, int(parameters["stages"]) + 1))]
    rows += ["last"] if parameters["last"] else []
    return scaled(parameters, space, rng, f"{rows[rng.integers(len(rows))]}_filters")


def expansion(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Blocks of one stage wider or narrower in their middle, by once or twice what they read."""
    return stepped(parameters, space, rng, f"{one_of(parameters, rng, 'stages', 's')}expansion", 2)


def kernel(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A kernel larger or smaller by one or two."""
    return stepped(parameters, space, rng, f"{one_of(parameters, rng, 'stages', 's')}kernel", 2)


def stride(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Stride of the first convolution or of one stage on or off."""
    row = "stem_" if rng.random() < 0.25 else one_of(parameters, rng, "stages", "s")
    return moved(parameters, space, rng, f"{row}stride")


def operators(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Squeeze-and-excitation in one stage, the last convolution, or the other activation."""
    squeeze = f"{one_of(parameters, rng, 'stages', 's')}squeeze"
    return moved(parameters, space, rng, (squeeze, "last", "activation")[rng.integers(3)])


def resolution(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Another resolution."""
    return moved(parameters, space, rng, "resolution")


MORPHISMS = (stages, blocks, width, filters, expansion, kernel, stride, operators, resolution, training)
