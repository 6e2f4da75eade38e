"""Networks that every exporter is tried on."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.graph import Graph
from sparsemod.spaces import cnn

SPACE = cnn.space(blocks=2, layers=2, filters=(1, 8), fc_layers=1, fc_units=(4, 8))
SHAPE = (2, 16, 17)


class Everything(nn.Module):
    """Groups, dilation, kernels and strides that differ by axis, a skip, all poolings, and ReLUs of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(2, 1))
        self.grouped = nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2, bias=False)
        self.depthwise = nn.Conv2d(6, 12, 3, groups=6, padding=1)
        self.relu = nn.ReLU6()
        self.skip = nn.Conv2d(4, 12, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = F.relu(self.depthwise(self.grouped(x)) + self.skip(x))
        x = F.hardtanh(F.max_pool2d(x, 3, 2, 1, ceil_mode=True), 0.1, 2.0)
        x = F.relu(F.avg_pool2d(x, (3, 2), (2, 1)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def pruned(module: nn.Module, share: float) -> nn.Module:
    """The module, with random weights set to zero and biases left."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.data *= torch.rand_like(parameter) >= share
    return module


def int8(module: nn.Module, *shape: int) -> Graph:
    return lower(module.eval(), [torch.randn(8, *shape)])


def every_operator(share: float) -> Graph:
    """`Everything` in int8, a share of whose weights is zero."""
    torch.manual_seed(1)
    graph = int8(pruned(Everything(), share), 2, 9, 10)
    kinds = {operator.kind for operator in graph.operators}
    assert kinds == {"conv", "depthwise", "linear", "max_pool", "avg_pool", "add", "relu", "reshape"}
    return graph


def member(seed: int) -> Graph:
    """A random network of the space; two of three are pruned."""
    torch.manual_seed(seed)
    parameters = SPACE.sample(np.random.default_rng(seed))
    small = {name: min(int(value), 2) for name, value in parameters.items() if name.endswith("pool_rate")}
    module = cnn.build({**parameters, **small}, SHAPE, 3)  # stride and pooling of two, twice: 16 pixels become one
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)  # a skip begins with zeros
    pruned(module, (0.0, 0.5, 0.8)[seed % 3])
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    module(torch.randn(32, *SHAPE))  # in training mode: batch norm takes the statistics, and no layer dies
    return int8(module, *SHAPE)
