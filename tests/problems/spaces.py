"""The families of networks that are shipped, each with a small space and a shape of input for it."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from sparsemod.compress.quantize import lower
from sparsemod.errors import Infeasible
from sparsemod.graph import Graph, trace
from sparsemod.problem import Morphism
from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.spaces import cnn1d, cnn_rnn, dscnn, mlp, mobilenet, resnet, rnn

CLASSES = 4


@dataclass(frozen=True)
class Family:
    """A file of `sparsemod.spaces`.

    Attributes:
        module: With `space`, `build` and `MORPHISMS`.
        small: A space of small networks.
        shape: Of one input.
        usual: Of one input that the bounds which hold unless others are given are made for.
    """

    module: ModuleType
    small: SearchSpace
    shape: tuple[int, ...]
    usual: tuple[int, ...]

    def members(self, count: int) -> Iterator[dict[str, Value]]:
        """Random members of the small space."""
        rng = np.random.default_rng(0)
        return (self.small.sample(rng) for _ in range(count))

    def built(self, parameters: Parameters) -> nn.Module | None:
        """The network of a member; None if it makes none."""
        try:
            return self.module.build(parameters, self.shape, CLASSES)
        except Infeasible:
            return None

    def traced(self, parameters: Parameters) -> Graph:
        """As it is traced before it has values."""
        with torch.device("meta"):
            network = self.module.build(parameters, self.shape, CLASSES)
        return trace(network, self.shape)

    def inputs(self, count: int) -> Tensor:
        return torch.randn(count, *self.shape, generator=torch.Generator().manual_seed(0))


def started(network: nn.Module, x: Tensor) -> nn.Module:
    """The network with the statistics of a batch, as after a step of training: no layer is dead."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0
    network.train()(x)
    return network.eval()


def integer(family: Family, network: nn.Module) -> Graph:
    return lower(network, [family.inputs(8)])


_NARROW = {"fc_units": (4, 24), "rnn_units": (2, 12), "filters": (2, 12)}

FAMILIES = {
    "mlp": Family(mlp, mlp.space(units=(4, 24)), (2, 5), (40,)),
    "rnn": Family(rnn, rnn.space(rnn_layers=3, rnn_units=(2, 12), fc_units=(4, 24)), (7, 4), (29, 12)),
    "cnn1d": Family(cnn1d, cnn1d.space(filters=(2, 12), fc_units=(4, 24)), (3, 24), (9, 128)),
    "cnn_rnn": Family(cnn_rnn, cnn_rnn.space(**_NARROW), (3, 24), (9, 128)),
    "dscnn": Family(dscnn, dscnn.space(blocks=3, filters=(2, 12), first_kernel=(2, 6)), (1, 12, 9), (1, 49, 10)),
    "resnet": Family(resnet, resnet.space(width=(2, 6), stages=3, blocks=2), (2, 9, 8), (3, 32, 32)),
    "mobilenet": Family(
        mobilenet, mobilenet.space(filters=(4, 12), stages=2, blocks=2, expansion=3), (2, 9, 8), (3, 32, 32)
    ),
}


def children(morphism: Morphism, space: SearchSpace, parents: Iterable[Parameters], rng: np.random.Generator) -> int:
    """How many parents have a child; each must be another member, and leave its parent as it was."""
    born = 0
    for parent in parents:
        kept = copy.deepcopy(parent)
        child = morphism(parent, space, rng)
        assert parent == kept
        if child is None:
            continue
        born += 1
        assert space.mistakes(child) == []
        assert child == space.canonical(child)
        assert child != parent
    return born
