"""Small builders of stable names, as a user may write them, and what makes their networks larger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """Networks of one builder.

    Attributes:
        build: Sizes to a network.
        bounds: Of each size.
        shape: Of an input.
        steps: Sizes that grow by more than one at a time.
        tokens: Whether an input is whole numbers.
    """

    build: Callable[[Sizes], nn.Module]
    bounds: Mapping[str, tuple[int, int]]
    shape: tuple[int, ...]
    steps: Mapping[str, int]
    tokens: bool = False

    def sample(self, rng: np.random.Generator) -> dict[str, int]:
        return {
            name: int(rng.choice(np.arange(low, high + 1, self.steps.get(name, 1))))
            for name, (low, high) in self.bounds.items()
        }

    def grown(self, sizes: Sizes, rng: np.random.Generator) -> dict[str, int]:
        """One to three of the sizes larger."""
        child = dict(sizes)
        for name in rng.choice(list(sizes), size=int(rng.integers(1, 4)), replace=False):
            child[str(name)] += int(rng.integers(1, 4)) * self.steps.get(str(name), 1)
        return child

    def inputs(self) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        return (
            torch.randint(9, (3, *self.shape), generator=rng)
            if self.tokens
            else torch.randn(3, *self.shape, generator=rng)
        )


def trained(network: nn.Module, seed: int) -> nn.Module:
    """As training may leave it: no weight, bias or statistic is at its start."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith("running_var"):
                tensor.uniform_(0.3, 3, generator=rng)
            elif tensor.dtype == torch.int64:
                tensor.fill_(7)
            else:
                tensor.normal_(0, max(tensor[0].numel(), 1) ** -0.5, generator=rng)
    return network.eval()


# --- branches of every kind ------------------------------------------------------------------------------------------


def conv(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding="same", groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Branches(nn.Module):
    """Two branches side by side, one of them depthwise; a grouped convolution; residual layers; squeeze-and-excitation;
    an addition to a branch of its own width; a head on flattened features."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        stem, left, right, width = (sizes[name] for name in ("stem", "left", "right", "width"))
        self.stem = conv(2, stem, 3)
        self.left = conv(stem, left, sizes["kernel"])
        self.depthwise, self.right = conv(stem, stem, 3, groups=stem), conv(stem, right)
        self.join, self.grouped = conv(left + right, width), conv(width, width, 3, groups=2)
        self.residual = nn.ModuleList(conv(width, width, 3) for _ in range(sizes["depth"]))
        self.squeeze, self.excite = nn.Linear(width, sizes["squeeze"]), nn.Linear(sizes["squeeze"], width)
        self.beside = nn.Conv2d(stem, width, 1)
        self.hidden = nn.ModuleList()
        features = 4 * (width + right)
        for _ in range(sizes["hidden"]):
            self.hidden.append(nn.Linear(features, 12 + features))
            features += 12
        self.head = nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        right = F.relu(self.right(F.relu(self.depthwise(x))))
        y = F.relu(self.grouped(F.relu(self.join(torch.cat([F.relu(self.left(x)), right], 1)))))
        for layer in self.residual:
            y = F.relu(y + layer(y))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))[:, :, None, None]
        y = F.relu(y + self.beside(x))
        y = F.max_pool2d(torch.cat([y, right], 1), 3).flatten(1)
        for layer in self.hidden:
            y = F.relu(layer(y))
        return self.head(y)


class Shuffled(nn.Module):
    """Grouped convolutions with their channels shuffled between them, an upsampling convolution, and an expansion that
    is added to what it expands, normalized before."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, up, inside = sizes["width"], sizes["up"], sizes["inside"]
        self.stem, self.first = nn.Conv2d(2, width, 1), nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.second = nn.Conv2d(width, width, 1, groups=2)
        self.up = nn.ConvTranspose2d(width, up, 2, stride=2)
        self.norm, self.expand, self.project = nn.BatchNorm2d(up), nn.Conv2d(up, inside, 1), nn.Conv2d(inside, up, 1)
        self.gate = nn.Linear(up, 2 * up)
        self.head = nn.Linear(up, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.channel_shuffle(F.relu(self.first(F.relu(self.stem(x)))), 2)
        one, other = x.chunk(2, 1)
        x = self.up(F.relu(self.second(torch.cat([one, F.gelu(other)], 1))))
        x = x + self.project(F.leaky_relu(self.expand(F.relu(self.norm(x)))))
        value, gate = self.gate(x.amax((2, 3))).chunk(2, 1)
        return self.head(value * torch.sigmoid(gate))


# --- of vectors, and over one axis -----------------------------------------------------------------------------------


class Perceptron(nn.Module):
    """Layers of any width, the last ones equal; one is normalized."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        first, second = sizes["first"], sizes["second"]
        self.first, self.norm, self.second = nn.Linear(7, first), nn.BatchNorm1d(first), nn.Linear(first, second)
        self.more = nn.ModuleList(nn.Linear(second, second) for _ in range(sizes["more"]))
        self.head = nn.Linear(second, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.norm(self.first(x)))))
        for layer in self.more:
            x = F.relu(layer(x))
        return self.head(x)


class Waves(nn.Module):
    """Convolutions over time, one of them depthwise, and a head on what is flattened with time as the first axis."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        first, second, kernel = sizes["first"], sizes["second"], sizes["kernel"]
        self.first = nn.Conv1d(3, first, kernel, padding="same")
        self.depthwise = nn.Conv1d(first, first, 3, padding=1, groups=first)
        self.second, self.norm = nn.Conv1d(first, second, 1), nn.BatchNorm1d(second)
        self.gain = nn.Parameter(torch.ones(second, 1))
        self.head = nn.Linear(second * 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool1d(F.hardswish(self.depthwise(F.relu(self.first(x)))), 2)
        return self.head((F.relu(self.norm(self.second(x))) * self.gain).transpose(1, 2).flatten(1))


# --- recurrent -------------------------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """Reads features or tokens; from the last step or from the mean over time."""

    def __init__(self, kind: type, sizes: Sizes, tokens: bool, both: bool) -> None:
        super().__init__()
        features, units = sizes["features"], sizes["units"]
        self.read = nn.Embedding(9, features) if tokens else nn.Linear(4, features)
        self.rnn = kind(features, units, num_layers=2, bidirectional=both, batch_first=True)
        self.both = both
        self.hidden, self.head = nn.Linear(units * (1 + both), sizes["hidden"]), nn.Linear(sizes["hidden"], 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rnn(self.read(x))[0]
        return self.head(torch.tanh(self.hidden(x.mean(1) if self.both else x[:, -1])))


_RECURRENT = {"features": (1, 6), "units": (1, 9), "hidden": (1, 7)}

FAMILIES = {
    "branches": Family(
        Branches,
        {
            **{"stem": (2, 9), "left": (1, 8), "right": (1, 8), "width": (2, 8), "kernel": (1, 4), "depth": (0, 2)},
            **{"squeeze": (1, 5), "hidden": (0, 1)},
        },
        (2, 7, 6),
        {"width": 2},
    ),
    "shuffled": Family(Shuffled, {"width": (4, 12), "up": (1, 6), "inside": (1, 6)}, (2, 4, 5), {"width": 4}),
    "perceptron": Family(Perceptron, {"first": (1, 12), "second": (1, 12), "more": (0, 2)}, (7,), {}),
    "waves": Family(Waves, {"first": (2, 9), "second": (1, 9), "kernel": (1, 5)}, (3, 12), {}),
    "lstm": Family(lambda sizes: Recurrent(nn.LSTM, sizes, False, False), _RECURRENT, (5, 4), {}),
    "lstm both ways": Family(lambda sizes: Recurrent(nn.LSTM, sizes, False, True), _RECURRENT, (5, 4), {}),
    "gru of tokens": Family(lambda sizes: Recurrent(nn.GRU, sizes, True, False), _RECURRENT, (5,), {}, tokens=True),
}
