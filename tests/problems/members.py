"""Random members of the space of convolutional networks, as a search would score them if it did not train them."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.quantize import lower
from sparsemod.cost import cost
from sparsemod.cost.screen import over_limits
from sparsemod.device import Device
from sparsemod.errors import Infeasible
from sparsemod.graph import Graph
from sparsemod.spaces import cnn


def member(seed: int, shape: tuple[int, int, int], sparsity: float | None = None) -> Graph | None:
    """The integer network of a random draw from the whole space; None if the draw makes no network.

    Args:
        seed: Of the draw, of the weights and of what it is calibrated on.
        shape: Of one input, (C, H, W).
        sparsity: Share of the weights that are zero; what was drawn if not given.
    """
    parameters = cnn.space().sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    try:
        module = cnn.build(parameters, shape, 10)
    except Infeasible:
        return None
    share = float(parameters["prune_threshold"]) if sparsity is None else sparsity
    return integer(module, torch.randn(8, *shape), share)


def fitting(device: Device, shape: tuple[int, int, int], sparsity: float | None = None) -> Iterator[Graph]:
    """Members in the order of their seeds, without those that need more flash or RAM than there is."""
    for seed in count():
        graph = member(seed, shape, sparsity)
        if graph is not None and over_limits(cost(graph, device), device.limits()) is None:
            yield graph


def integer(module: nn.Module, x: Tensor, sparsity: float = 0.0) -> Graph:
    """A network with random weights, of which the smallest are pruned, that computes numbers which are not all alike.

    Args:
        module: With the weights that it was made with.
        x: What it is calibrated on, (N, *shape).
        sparsity: Share of the weights that are zero.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)  # a skip begins with zeros
    PruningRamp(module, sparsity)(1, 1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0
    module.train()(x)  # batch norm takes the statistics, and no layer dies
    return lower(module.eval(), [x])
