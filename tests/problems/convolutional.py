"""The space of convolutional networks as a search has it, and a member whose figures can be counted by hand."""

from collections.abc import Iterator

import numpy as np
import torch

from sparsemod.graph import Graph, trace
from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.spaces import cnn

SPACE = cnn.space()
COMPRESSED = cnn.space(channels=0.5, patterns=("element", "2:4", "1:4"), weight_bits=(8, 4), qat_epochs=2)
MEMBERS = 300

# One 3 x 3 convolution from 1 to 4 channels on 8 x 8, pooling to 4 x 4, 64 features to 16 units to 10 classes.
BY_HAND: Parameters = {
    **{"blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3},
    **{"b1_stride": 1, "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2, "global_pool": False},
    **{"fc_layers": 1, "fc1_units": 16, "dropout": 0.2, "learning_rate": 0.01, "learning_gamma": 0.5},
    **{"learning_step": 3, "batch_size": 32, "prune_threshold": 0.5},
}


def members(space: SearchSpace = SPACE, count: int = MEMBERS) -> Iterator[dict[str, Value]]:
    rng = np.random.default_rng(0)
    return (space.sample(rng) for _ in range(count))


def traced(parameters: Parameters, shape: tuple[int, ...] = (1, 8, 8), classes: int = 10) -> Graph:
    with torch.device("meta"):
        network = cnn.build(parameters, shape, classes)
    return trace(network, shape)


def macs(**changes: Value) -> list[int]:
    """MACs of each layer of the network computed by hand, with some parameters changed."""
    graph = traced({**BY_HAND, **changes})
    return [operator.macs for operator in graph.operators if operator.weight is not None]


def kinds(**changes: Value) -> list[str]:
    return [operator.kind for operator in traced({**BY_HAND, **changes}).operators]
