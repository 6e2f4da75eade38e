"""Two small tasks on sequences: which of three waves a noisy signal is, and which of three tokens comes first."""

import torch
from torch import Tensor, nn

from sparsemod.data import Data, Tensors
from sparsemod.problem import Problem
from sparsemod.space import Choice, Int, Parameters, SearchSpace

STEPS, VOCABULARY = 16, 12


def waves(count: int, seed: int) -> Tensors:
    """Two noisy channels, (N, T, 2), of 1, 2 or 3 periods and any phase."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=rng)
    phase = 2 * torch.pi * torch.rand(count, 1, generator=rng)
    angle = phase + 2 * torch.pi * (labels[:, None] + 1) * torch.arange(STEPS) / STEPS
    noise = 1.2 * torch.randn(count, STEPS, 2, generator=rng)
    return Tensors(torch.stack([angle.sin(), angle.cos()], 2) + noise, labels)


def tokens(count: int, seed: int) -> Tensors:
    """Tokens from 3 on, (N, T), with 0, 1 and 2 once each; the class is the one that comes first."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(3, VOCABULARY, (count, STEPS), generator=rng)
    places = torch.rand(count, STEPS, generator=rng).argsort(1)[:, :3]
    x.scatter_(1, places, torch.arange(3).expand(count, 3))
    return Tensors(x, places.argmin(1))


class Classifier(nn.Module):
    """A recurrent layer and a linear one of its last state; behind an embedding if there are tokens."""

    def __init__(self, kind: str, features: int, units: int, vocabulary: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, features) if vocabulary else nn.Identity()
        self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](features, units, batch_first=True)
        self.head = nn.Linear(units, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(x))[0][:, -1])


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Classifier(str(parameters["kind"]), 6, int(parameters["units"]), VOCABULARY)


def load_data() -> Data:
    return Data.from_tensors(tokens(600, 0), validation=0.25)


space = SearchSpace({"kind": Choice(("lstm", "gru")), "units": Int(4, 24)})
problem = Problem(space, build, load_data)
