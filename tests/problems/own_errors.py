"""Problems that are no classification, so small that a candidate takes a tenth of a second."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.data import Data, Sequences, Tensors
from sparsemod.metrics import mean_absolute_error, reconstruction_auc_error
from sparsemod.problem import Problem
from sparsemod.space import Float, Int, Parameters, SearchSpace

SPACE = SearchSpace({"units": Int(2, 16), "learning_rate": Float(1e-2, 3e-2, log=True)})


def perceptron(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """One hidden layer."""
    features, units = math.prod(input_shape), int(parameters["units"])
    return nn.Sequential(nn.Flatten(), nn.Linear(features, units), nn.ReLU(), nn.Linear(units, num_classes))


def sums() -> Data:
    """Targets are 20 times the sum of four numbers."""
    x = torch.rand(400, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    return Data.from_tensors(Tensors(x, 20 * x.sum(1)), validation=0.2, test_share=0.1)


regression = Problem(SPACE, perceptron, sums, loss=F.smooth_l1_loss, error=mean_absolute_error)


def ramps() -> Data:
    """Ramps of a random slope over 8 steps are usual; noise of the same size is an anomaly. Trained on x itself."""
    rng = torch.Generator().manual_seed(1)
    usual = torch.rand(500, 1, generator=rng) * torch.linspace(-1, 1, 8)
    strange = (torch.rand(100, 8, generator=rng) - 0.5) * 1.2
    x, y = torch.cat([usual[300:], strange]), torch.cat([torch.zeros(200), torch.ones(100)]).long()
    held_out = torch.randperm(300, generator=rng)
    validation, test = (Tensors(x[part], y[part]) for part in held_out.chunk(2))
    return Data(Tensors(usual[:300], usual[:300]), validation, test, (8,), 8)


autoencoder = Problem(SPACE, perceptron, ramps, loss=F.mse_loss, error=reconstruction_auc_error)


class Recurrent(nn.Module):
    """A GRU and a linear layer of its last state."""

    def __init__(self, features: int, units: int, num_classes: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(features, units, batch_first=True)
        self.head = nn.Linear(units, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def recurrent(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Recurrent(input_shape[1], int(parameters["units"]), num_classes)


def slopes() -> Data:
    """Sequences of 4 to 16 steps of two features that rise (class 1) or fall (class 0), of ten speakers."""
    rng = torch.Generator().manual_seed(2)
    lengths = torch.randint(4, 17, (240,), generator=rng).tolist()
    y = torch.arange(240) % 2
    x = [
        (2 * label - 1) * torch.linspace(-1, 1, length)[:, None] + 0.3 * torch.randn(length, 2, generator=rng)
        for length, label in zip(lengths, y.tolist(), strict=True)
    ]
    return Data.from_tensors(Sequences(x, y, groups=torch.arange(240) // 24), validation=0.2, test_share=0.2)


LENGTHS = SearchSpace({"units": Int(2, 8), "max_len": Int(4, 16), "learning_rate": Float(1e-2, 3e-2, log=True)})
variable = Problem(LENGTHS, recurrent, slopes)
