"""Networks of all that quantization treats in its own way."""

from collections.abc import Callable

import torch
from problems.modules import Calls, block, evaluated, residual
from torch import Tensor, nn
from torch.nn import functional as F


def dynamic(module: nn.Module) -> nn.Module:
    module.quant_scheme = "dynamic"
    return module


def joined(x: Tensor, one: nn.Module, other: nn.Module, head: nn.Module) -> Tensor:
    return head(F.relu(one(x) + other(x)).flatten(1))


def branched(x: Tensor, stem: nn.Module, branch: nn.Module, head: nn.Module) -> Tensor:
    y = F.relu(stem(x))
    return head((branch(y) + F.avg_pool2d(y, 3, 1)).flatten(1))


IMAGE = (3, 8, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (
        lambda: nn.Sequential(
            block(3, 8), nn.MaxPool2d(2), block(8, 6, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 5)
        ),
        IMAGE,
    ),
    "separable": (
        lambda: nn.Sequential(block(3, 8), block(8, 8, groups=8), block(8, 9, 1), nn.Flatten(), nn.Linear(144, 5)),
        IMAGE,
    ),
    "residual": (
        lambda: Calls(
            residual,
            block(3, 8, stride=2, padding=1, act=nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
            nn.Conv2d(3, 8, 1, stride=2),
            nn.Linear(8, 5),
        ),
        IMAGE,
    ),
    "even kernels": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 4, padding="same"), nn.ReLU(), nn.Conv2d(4, 4, 2, padding="same"), nn.Flatten()
        ),
        IMAGE,
    ),
    "zero padding": (
        lambda: nn.Sequential(
            nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(396, 5)
        ),
        IMAGE,
    ),
    "one axis": (
        lambda: nn.Sequential(
            *(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 4, 3, stride=2)),
            *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 5)),
        ),
        (3, 16),
    ),
    "linear": (
        lambda: nn.Sequential(
            nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU6(), nn.Dropout(), nn.Linear(16, 5, bias=False)
        ),
        (20,),
    ),
    "standalone activations": (
        lambda: nn.Sequential(
            nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(3), nn.ReLU6(), nn.Flatten()
        ),
        IMAGE,
    ),
    "two bounds": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU6(), nn.Flatten()), IMAGE),
    "two readers": (
        lambda: Calls(
            lambda x, c, head: head((F.relu((y := c(x)).clone()) + y).flatten(1)), nn.Conv2d(3, 4, 3), nn.Linear(144, 5)
        ),
        IMAGE,
    ),
    "shared layer": (
        lambda: Calls(
            lambda x, c, head: head(c(F.relu(c(x))).flatten(1)), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(192, 5)
        ),
        IMAGE,
    ),
    "mean and squeeze": (
        lambda: Calls(
            lambda x, c, head: head(F.relu(c(x)).mean((2, 3), keepdim=True).squeeze()),
            nn.Conv2d(3, 8, 3),
            nn.Linear(8, 5),
        ),
        IMAGE,
    ),
    "dynamic head": (lambda: nn.Sequential(block(3, 8), nn.Flatten(), dynamic(nn.Linear(288, 5))), IMAGE),
    "dynamic stem": (
        lambda: nn.Sequential(
            *(nn.MaxPool2d(2), dynamic(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 8)),
            *(nn.ReLU(), nn.Linear(8, 5)),
        ),
        IMAGE,
    ),
    "dynamic middle": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.ReLU(), dynamic(block(8, 4)), nn.MaxPool2d(2), nn.Flatten()),
            *(dynamic(nn.Linear(16, 8)), nn.ReLU(), nn.Linear(8, 5)),
        ),
        IMAGE,
    ),
    "dynamic branch": (
        lambda: Calls(joined, nn.Conv2d(3, 8, 3), dynamic(nn.Conv2d(3, 8, 3)), nn.Linear(288, 5)),
        IMAGE,
    ),
    "dynamic trunk": (
        lambda: Calls(branched, dynamic(nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 8, 3), nn.Linear(128, 5)),
        IMAGE,
    ),
    "all dynamic": (
        lambda: dynamic(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))),
        IMAGE,
    ),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """In evaluation mode, with batch norm statistics that matter, and inputs."""
    torch.manual_seed(1)
    build, shape = NETWORKS[name]
    return evaluated(build()), torch.randn(64, *shape)
