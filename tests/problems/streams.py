"""Recurrent networks that can be streamed."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.graph import Graph

STEPS, FEATURES, TOKENS = 9, 4, 7


class Stacked(nn.Module):
    """One to three recurrent layers, some with a skip around them, what computes step by step between, and a head.

    Args:
        seed: Of all choices and weights. Of three seeds one has its weights pruned and one four bits of each.

    Attributes:
        tokens: Whether the input are tokens.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        kind, layers, units = (nn.LSTM, nn.GRU)[seed % 2], 1 + seed // 2 % 3, int(torch.randint(1, 12, ()))
        self.tokens, self.skip, self.states = seed % 5 == 0, seed % 3 > 0, seed % 7 < 3
        self.embedding = nn.Embedding(TOKENS, FEATURES) if self.tokens else nn.Identity()
        self.norm = nn.LayerNorm(FEATURES) if seed % 4 == 1 else nn.Identity()
        widths = [FEATURES, *[units] * layers]
        self.layers = nn.ModuleList(kind(*pair, batch_first=True) for pair in pairwise(widths))
        self.head = nn.Linear(units, 3)
        if seed % 3 == 1:
            for layer in self.layers:
                for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
                    weight.data *= torch.rand_like(weight) < 0.3
        if seed % 3 == 2:
            self.weight_bits = 4
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embedding(x))
        for number, layer in enumerate(self.layers):
            y, states = layer(x)
            ends = self.states and number == len(self.layers) - 1
            y = (states[0] if isinstance(states, tuple) else states)[-1] if ends else y
            y = (torch.tanh if self.skip else F.relu)(y) if number else y
            if self.skip and layer.input_size == layer.hidden_size:
                y = y + (x[:, -1] if ends else x)
            x = y
        return self.head(x if self.states else x[:, -1])

    def inputs(self, count: int, steps: int = STEPS) -> Tensor:
        return torch.randint(TOKENS, (count, steps)) if self.tokens else torch.randn(count, steps, FEATURES)


class Stepwise(nn.Module):
    """Every operator that may stand between the steps of a sequence, and some behind the last."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.batch, self.point = nn.LayerNorm(FEATURES), nn.BatchNorm1d(FEATURES), nn.Conv1d(FEATURES, 6, 1)
        self.first, self.second = nn.GRU(6, 6, batch_first=True), nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(-1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.norm(x).tanh(), x], 2)[:, :, 2 : 2 + FEATURES]
        x = self.point(self.batch(x.transpose(1, 2))).relu().transpose(1, 2)
        y = self.first(x)[0] * x.sigmoid() + x.softmax(-1)
        y = self.second(y.reshape(-1, x.shape[1], 2, 3).flatten(2))[0]
        return self.head(torch.cat([y[:, -1], y.relu()[:, -1:].squeeze(1)], 1))


def whole(module: nn.Module, x: Tensor, scheme: str = "post") -> Graph:
    """The network of whole sequences, calibrated on the inputs."""
    return lower(module.eval(), [x], scheme)
