"""Modules that networks of several tests are made of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Calls(nn.Module):
    """A network whose forward pass is a function of the input and its modules."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def block(inputs: int, outputs: int, kernel: int = 3, act: nn.Module | None = None, **options: object) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), act or nn.ReLU())


def residual(x: Tensor, first: nn.Module, second: nn.Module, projection: nn.Module, head: nn.Module) -> Tensor:
    y = F.relu(second(first(x)) + projection(x))
    return head(F.adaptive_avg_pool2d(y, 1).flatten(1))


def evaluated(module: nn.Module) -> nn.Module:
    """The module in evaluation mode, with batch norm statistics that matter."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()


class Apart(nn.Module):
    """Several modules side by side, joined along an axis."""

    def __init__(self, *parts: nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.parts, self.axis = nn.ModuleList(parts), axis

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], self.axis)
