"""Convolutional networks as SpArSe searches them [Fedorov2019], with strides, skips and global pooling added.

A network is a row of blocks, each a row of layers and an optional pooling, then fully connected layers:

    x -> [layer ... layer (+ skip) -> pool] per block -> (global pool) -> flatten -> dropout -> fc ... fc -> classes

A layer is a convolution, a convolution behind a 1 x 1 one that drops a share of the channels (`downsampled`), or a
depthwise-separable one; batch norm and ReLU follow. Padding keeps the size, so a stride of s divides it by s, rounded
up. Names of parameters: `b2_l1_filters` is the width of the first layer of the second block.

[Fedorov2019] SpArSe, NeurIPS 2019, arXiv 1905.12107.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible
from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head, fc_layers, fc_units, head_parameters
from sparsemod.spaces.moves import changed, moved, scaled, sign, stepped
from sparsemod.spaces.rows import longer, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters

TYPES = ("conv", "downsampled", "separable")


def space(
    *,
    blocks: int = 2,
    layers: int = 3,
    filters: tuple[int, int] = (1, 100),
    kernel: tuple[int, int] = (2, 5),
    fc_layers: int = 2,
    fc_units: tuple[int, int] = (10, 200),
    sparsity: float = 0.9,
    learning_rate: tuple[float, float] = (1e-4, 1e-2),
    batch_size: tuple[int, int] = (16, 256),
    channels: float = 0.0,
    patterns: Sequence[str] = (),
    weight_bits: Sequence[int] = (),
    qat_epochs: int = 0,
) -> SearchSpace:
    """The search space; the bounds are SpArSe's unless given, and what SpArSe does not have is left out.

    Args:
        blocks: Most blocks.
        layers: Most layers of a block.
        filters: Fewest and most output channels of a layer.
        kernel: Smallest and largest kernel.
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
    space: dict[str, Parameter] = {"blocks": Int(1, blocks)}
    for b in range(1, blocks + 1):
        here = reaching("blocks", b, blocks)
        space[f"b{b}_layers"] = Int(1, layers, when=here)
        for layer in range(1, layers + 1):
            deep = reaching(f"b{b}_layers", layer, layers, fewest=0)
            name = f"b{b}_l{layer}"
            space[f"{name}_type"] = Choice(TYPES, when=deep)
            space[f"{name}_filters"] = Int(*filters, log=True, when=deep)
            space[f"{name}_kernel"] = Int(*kernel, when=deep)
            space[f"{name}_drop"] = Float(0.0, 0.5, when={f"{name}_type": ("downsampled",)})
            if weight_bits:
                space[f"{name}_bits"] = Choice(weight_bits, when=deep)
        space[f"b{b}_stride"] = Int(1, 2, when=here)
        space[f"b{b}_skip"] = Choice((False, True), when=here)
        space[f"b{b}_pool"] = Choice((False, True), when=here)
        space[f"b{b}_pool_rate"] = Int(2, 4, when={f"b{b}_pool": (True,)})
    space["global_pool"] = Choice((False, True))
    space |= head_parameters(fc_layers, fc_units, weight_bits)
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
        Infeasible: A pooling is larger than its input.
    """
    channels, *size = input_shape
    blocks = []
    for b in range(1, int(parameters["blocks"]) + 1):
        block = Block(parameters, f"b{b}", channels)
        size = block.output_size(size)
        channels = block.channels
        blocks.append(block)
    if parameters["global_pool"]:
        size = [1, 1]
    return Net(blocks, Head(parameters, channels * size[0] * size[1], num_classes), bool(parameters["global_pool"]))


class Net(nn.Module):
    """Blocks and a head: (N, C, H, W) -> (N, K)."""

    def __init__(self, blocks: Sequence[nn.Module], head: nn.Module, global_pool: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.global_pool = global_pool
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.blocks(x)
        if self.global_pool:
            x = F.adaptive_avg_pool2d(x, 1)
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Block(nn.Module):
    """Layers, a skip connection around them (through a 1 x 1 convolution where shapes differ) and a pooling."""

    def __init__(self, parameters: Parameters, name: str, channels: int) -> None:
        super().__init__()
        self.name = name
        self.stride = int(parameters[f"{name}_stride"])
        self.pool_rate = int(parameters[f"{name}_pool_rate"]) if parameters[f"{name}_pool"] else 1
        layers = []
        width = channels
        for layer in range(1, int(parameters[f"{name}_layers"]) + 1):
            layers.append(Layer(parameters, f"{name}_l{layer}", width, self.stride if layer == 1 else 1))
            width = layers[-1].channels
        self.layers = nn.Sequential(*layers)
        self.channels = width
        self.skip: nn.Module | None = None
        if parameters[f"{name}_skip"]:
            if channels == width and self.stride == 1:
                self.skip = nn.Identity()
            else:
                self.skip = nn.Conv2d(channels, width, 1, self.stride, bias=False)
                nn.init.zeros_(self.skip.weight)  # a child that gains a skip starts with its parent's function

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels, H', W') with `output_size`."""
        y = self.layers(x)
        if self.skip is not None:
            y = y + self.skip(x)
        return F.max_pool2d(y, self.pool_rate) if self.pool_rate > 1 else y

    def output_size(self, size: Sequence[int]) -> list[int]:
        """Height and width of the output, from those of the input."""
        strided = [-(-extent // self.stride) for extent in size]
        if min(strided) < self.pool_rate:
            raise Infeasible(
                f"{self.name}: pooling by {self.pool_rate} is larger than its {strided[0]} x {strided[1]} input"
            )
        return [extent // self.pool_rate for extent in strided]


class Layer(nn.Module):
    """One of `TYPES`, with batch norm and ReLU; keeps the size but for the stride."""

    def __init__(self, parameters: Parameters, name: str, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = int(parameters[f"{name}_filters"])
        kernel = int(parameters[f"{name}_kernel"])
        kind = parameters[f"{name}_type"]
        before, after = (kernel - 1) // 2, kernel // 2
        self.padding = (before, after, before, after) if before != after else None
        padding = 0 if self.padding else before
        set_bits(self, parameters, name)
        self.squeeze: nn.Module | None = None
        self.depthwise: nn.Module | None = None
        if kind == "downsampled":
            kept = max(1, round(channels * (1 - float(parameters[f"{name}_drop"]))))
            self.squeeze = nn.Conv2d(channels, kept, 1, bias=False)
            channels = kept
        if kind == "separable":
            self.depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
            self.depthwise_norm = nn.BatchNorm2d(channels)
            self.conv = nn.Conv2d(channels, self.channels, 1, bias=False)
        else:
            self.conv = nn.Conv2d(channels, self.channels, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels, H / stride, W / stride), rounded up."""
        if self.squeeze is not None:
            x = self.squeeze(x)
        if self.padding is not None:
            x = F.pad(x, self.padding)
        if self.depthwise is not None:
            x = F.relu(self.depthwise_norm(self.depthwise(x)))
        return F.relu(self.norm(self.conv(x)))


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def blocks(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One block more, like the last but without stride and pooling, or one less."""
    return longer(parameters, space, rng, "blocks", "b", stride=1, pool=False)


def layers(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer more in a block, a convolution as wide as the last, or one less."""
    b = 1 + int(rng.integers(int(parameters["blocks"])))
    return longer(parameters, space, rng, f"b{b}_layers", f"b{b}_l", type="conv")


def layer_type(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Another type for one layer."""
    return moved(parameters, space, rng, f"{_layer(parameters, rng)}_type")


def filters(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One layer wider or narrower, by up to a factor of two."""
    return scaled(parameters, space, rng, f"{_layer(parameters, rng)}_filters")


def kernel(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A kernel larger or smaller by one or two."""
    return stepped(parameters, space, rng, f"{_layer(parameters, rng)}_kernel", 2)


def pooling(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """Pooling of one block on, off, or by another rate."""
    b = 1 + int(rng.integers(int(parameters["blocks"])))
    if f"b{b}_pool_rate" in parameters and rng.random() < 0.5:
        return changed(parameters, space, rng, **{f"b{b}_pool_rate": int(parameters[f"b{b}_pool_rate"]) + sign(rng)})
    return changed(parameters, space, rng, **{f"b{b}_pool": not parameters[f"b{b}_pool"]})


def connection(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """A skip connection or a stride of one block changed, or global pooling."""
    b = 1 + int(rng.integers(int(parameters["blocks"])))
    name = ("global_pool", f"b{b}_skip", f"b{b}_stride")[rng.integers(3)]
    return moved(parameters, space, rng, name)


MORPHISMS = (blocks, layers, layer_type, filters, kernel, pooling, connection, fc_layers, fc_units, training)


def _layer(parameters: Parameters, rng: np.random.Generator) -> str:
    """Name of a random active layer."""
    b = 1 + int(rng.integers(int(parameters["blocks"])))
    return f"b{b}_l{1 + int(rng.integers(int(parameters[f'b{b}_layers'])))}"
