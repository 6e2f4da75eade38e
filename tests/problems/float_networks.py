"""Networks of all that a trace must see through."""

from collections.abc import Callable

import torch
from problems.modules import Calls, block, evaluated, residual
from torch import Tensor, nn
from torch.nn import functional as F


def residual_in_place(x: Tensor, first: nn.Module, second: nn.Module, projection: nn.Module, head: nn.Module) -> Tensor:
    y = second(first(x))
    y += projection(x)
    return head(F.adaptive_avg_pool2d(F.relu(y, inplace=True), 1).flatten(1))


def residual_parts(**relu: bool) -> list[nn.Module]:
    second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
    projection = nn.Sequential(nn.Conv2d(3, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
    return [block(3, 8, act=nn.ReLU(**relu), stride=2, padding=1), second, projection, nn.Linear(8, 5)]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (
        lambda: nn.Sequential(
            block(3, 8), nn.MaxPool2d(2), block(8, 6), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 5)
        ),
        (3, 12, 12),
    ),
    "strided": (lambda: nn.Sequential(block(3, 4, stride=2), block(4, 4, stride=(1, 2)), nn.Flatten()), (3, 11, 13)),
    "dilated": (lambda: nn.Sequential(block(3, 4, dilation=2, padding=2), nn.Flatten()), (3, 9, 9)),
    "grouped": (lambda: nn.Sequential(block(4, 8, groups=2), nn.Flatten()), (4, 7, 7)),
    "separable": (
        lambda: nn.Sequential(
            block(3, 8), block(8, 8, groups=8), block(8, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
        ),
        (3, 10, 10),
    ),
    "channel multiplier": (lambda: nn.Sequential(block(4, 8, groups=4), nn.Flatten()), (4, 7, 7)),
    "residual": (lambda: Calls(residual, *residual_parts()), (3, 8, 8)),
    "residual in place": (lambda: Calls(residual_in_place, *residual_parts(inplace=True)), (3, 8, 8)),
    "even kernels": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 4, padding="same"), nn.ReLU(), nn.Conv2d(4, 4, 2, padding="same"), nn.Flatten()
        ),
        (3, 7, 7),
    ),
    "valid padding": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding="valid"), nn.Flatten()), (3, 7, 7)),
    "zero padding": (
        lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten()),
        (3, 8, 8),
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5, bias=False)), (20,)),
    "linear batch norm": (lambda: nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16, eps=0.1), nn.ReLU()), (20,)),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 3),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 4, 3, stride=2),
            nn.Flatten(),
        ),
        (3, 16),
    ),
    "conv1d pooled": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 3), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5)
        ),
        (3, 16),
    ),
    "relu6": (lambda: nn.Sequential(block(3, 4, act=nn.ReLU6()), nn.Flatten()), (3, 6, 6)),
    "hardtanh with one default": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.2), nn.Flatten()),
        (3, 6, 6),
    ),
    "two bounds": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.2, -0.1), nn.ReLU(), nn.Flatten()),
        (3, 6, 6),
    ),
    "relu after pools": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(inplace=True), nn.Flatten()
        ),
        (3, 10, 10),
    ),
    "relu in place": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)
        ),
        (3, 10, 10),
    ),
    "pool with padding": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(3, 2, 1), nn.Flatten()), (3, 9, 9)),
    "pool in ceil mode": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(4, 3, ceil_mode=True)), (3, 8, 8)),
    "dilated pool": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(2, 1, dilation=2)), (3, 8, 8)),
    "adaptive": (lambda: nn.Sequential(block(3, 4), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten()), (3, 8, 8)),
    "mean": (lambda: Calls(lambda x, c, head: head(c(x).mean((2, 3))), block(3, 4), nn.Linear(4, 5)), (3, 8, 8)),
    "mean with kept axes": (
        lambda: Calls(
            lambda x, c, head: head(c(x).mean((-1, -2), keepdim=True).flatten(1)), block(3, 4), nn.Linear(4, 5)
        ),
        (3, 8, 8),
    ),
    "dropout": (
        lambda: nn.Sequential(block(3, 4), nn.Dropout2d(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 5)),
        (3, 8, 8),
    ),
    "two readers": (
        lambda: Calls(lambda x, c: F.relu((y := c(x)).clone()) + F.relu6(y) + y, nn.Conv2d(3, 4, 3)),
        (3, 6, 6),
    ),
    "input added": (lambda: Calls(lambda x, c: c(x) + x, nn.Conv2d(3, 3, 3, padding=1)), (3, 6, 6)),
    "shared layer": (lambda: Calls(lambda x, c: c(F.relu(c(x))), nn.Conv2d(3, 3, 3, padding=1)), (3, 6, 6)),
    "views": (
        lambda: Calls(
            lambda x, c, head: head(F.avg_pool2d(c(x), 4).squeeze().view(-1, 4)), block(3, 4, 5), nn.Linear(4, 5)
        ),
        (3, 8, 8),
    ),
    "activation first": (lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), (3, 6, 6)),
    "no layers": (lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (3, 6, 6)),
    "identity": (lambda: nn.Identity(), (3, 6, 6)),
}


def network(name: str) -> nn.Module:
    """In evaluation mode, with batch norm statistics that matter."""
    torch.manual_seed(0)
    return evaluated(NETWORKS[name][0]())
