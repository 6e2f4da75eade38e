"""Recurrent networks: GRU [Cho2014] or LSTM [Hochreiter1997] layers, and a head on what they end with.

    x -> [recurrent layer (+ skip) -> dropout] per layer -> last state or mean over time -> fc ... fc -> classes

Inputs are sequences of one length, (T, F). A skip is added where a layer is as wide as what it reads. Read in both
directions, the last state is that of either end. Names of parameters: `rnn2_units` is the width of the second layer,
in each direction.

[Cho2014] Learning phrase representations using RNN encoder-decoder, EMNLP 2014, arXiv 1406.1078.
[Hochreiter1997] Long short-term memory, Neural Computation 9(8), 1997.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sparsemod.space import Choice, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.head import Head, fc_layers, fc_units, head_parameters
from sparsemod.spaces.layers import require_axes
from sparsemod.spaces.moves import moved, scaled
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits, training, training_parameters

CELLS = ("gru", "lstm")
READOUTS = ("last", "mean")


def space(
    *,
    cells: Sequence[str] = CELLS,
    rnn_layers: int = 5,
    rnn_units: tuple[int, int] = (8, 512),
    fc_layers: int = 1,
    fc_units: tuple[int, int] = (8, 128),
    sparsity: float = 0.9,
    learning_rate: tuple[float, float] = (1e-4, 1e-2),
    batch_size: tuple[int, int] = (16, 256),
    channels: float = 0.0,
    patterns: Sequence[str] = (),
    weight_bits: Sequence[int] = (),
    qat_epochs: int = 0,
) -> SearchSpace:
    """The search space.

    Args:
        cells: Some of `CELLS`.
        rnn_layers: Most recurrent layers; the fewest are one.
        rnn_units: Fewest and most units of each, in each direction.
        fc_layers: Most hidden fully connected layers.
        fc_units: Fewest and most units of each.
        sparsity: Largest share of the weights to prune.
        learning_rate: Bounds.
        batch_size: Bounds.
        channels: Largest share of the channels to remove, `prune_channels`; 0 adds no parameter.
        patterns: Options of `prune_pattern`, such as ("element", "2:4"); none adds no parameter.
        weight_bits: Options for the bits of the weights of each layer, such as (8, 4, 2); none adds no parameters.
        qat_epochs: Most epochs of quantization-aware training; 0 adds no parameter, and `[TRAIN] qat_epochs` holds.
    """
    space = recurrent_parameters(cells, rnn_layers, rnn_units, weight_bits)
    space |= head_parameters(fc_layers, fc_units, weight_bits)
    space |= training_parameters(sparsity, learning_rate, batch_size, channels, patterns, weight_bits, qat_epochs)
    return SearchSpace(space)


def recurrent_parameters(
    cells: Sequence[str], rnn_layers: int, rnn_units: tuple[int, int], weight_bits: Sequence[int]
) -> dict[str, Parameter]:
    """What `Recurrent` reads; the arguments are those of `space`."""
    space: dict[str, Parameter] = {"cell": Choice(cells), "rnn_layers": Int(1, rnn_layers)}
    for layer in range(1, rnn_layers + 1):
        deep = reaching("rnn_layers", layer, rnn_layers)
        space[f"rnn{layer}_units"] = Int(*rnn_units, log=True, when=deep)
        if weight_bits:
            space[f"rnn{layer}_bits"] = Choice(weight_bits, when=deep)
    space["bidirectional"] = Choice((False, True))
    space["rnn_skip"] = Choice((False, True))
    space["readout"] = Choice(READOUTS)
    return space


# --- builder ---------------------------------------------------------------------------------------------------------


def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """The network of a candidate.

    Args:
        parameters: A member of `space(...)`.
        input_shape: (T, F).
        num_classes: K.
    """
    require_axes("rnn", input_shape, "T, F")
    recurrent = Recurrent(parameters, input_shape[1])
    return Net(recurrent, Head(parameters, recurrent.features, num_classes))


class Net(nn.Module):
    """Recurrent layers and a head: (N, T, F) -> (N, K)."""

    def __init__(self, recurrent: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, head

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.recurrent(x))
        return logits


class Recurrent(nn.Module):
    """Recurrent layers and what is read of them: (N, T, F) -> (N, features)."""

    def __init__(self, parameters: Parameters, features: int) -> None:
        super().__init__()
        self.mean = parameters["readout"] == "mean"
        self.dropout = nn.Dropout(float(parameters["dropout"]))
        self.layers = nn.ModuleList()
        count = int(parameters["rnn_layers"])
        for layer in range(1, count + 1):
            ends = layer == count and not self.mean
            added = Layer(parameters, f"rnn{layer}", features, ends)
            self.layers.append(added)
            features = added.features
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """The mean over time, or the last state."""
        for position, layer in enumerate(self.layers):
            x = layer(self.dropout(x) if position else x)
        return x.mean(1) if self.mean else x


class Layer(nn.Module):
    """A recurrent layer, with a skip around it if it is as wide as its input.

    Args:
        parameters: Of the candidate.
        name: That its parameters begin with.
        features: F.
        ends: Whether the last state alone is read, of either direction.
    """

    def __init__(self, parameters: Parameters, name: str, features: int, ends: bool) -> None:
        super().__init__()
        kind, units = str(parameters["cell"]), int(parameters[f"{name}_units"])
        self.ends, self.both = ends, bool(parameters["bidirectional"])
        self.features = 2 * units if self.both else units
        self.skip = bool(parameters["rnn_skip"]) and features == self.features
        cell = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](features, units, batch_first=True, bidirectional=self.both)
        self.cell = nn.ModuleDict({kind: cell})  # weights are inherited by name, and gates differ from kind to kind
        set_bits(self, parameters, name)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, F) -> (N, T, features), or (N, features) of the last state."""
        (cell,) = self.cell.values()
        y: Tensor
        y, states = cell(x)
        if self.ends:
            states = states[0] if isinstance(states, tuple) else states
            y = torch.cat([states[0], states[1]], 1) if self.both else states[0]
            x = self._ends(x) if self.skip else x
        return y + x if self.skip else y

    def _ends(self, x: Tensor) -> Tensor:
        """Of a sequence what a last state stands for: the last step, and the first one read from behind."""
        half = x.shape[-1] // 2
        return torch.cat([x[:, -1, :half], x[:, 0, half:]], 1) if self.both else x[:, -1]


# --- morphisms: one small change each; None where it does not apply -------------------------------------------------


def rnn_layers(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One recurrent layer more, as wide as the last, or one less; a skip around a new layer keeps the function."""
    return longer(parameters, space, rng, "rnn_layers", "rnn")


def rnn_units(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One recurrent layer wider or narrower, by up to a factor of two."""
    return scaled(parameters, space, rng, f"{one_of(parameters, rng, 'rnn_layers', 'rnn')}units")


def recurrence(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """The other kind of cell, one direction or both, skips, or what is read in the end."""
    name = ("cell", "bidirectional", "rnn_skip", "readout")[rng.integers(4)]
    return moved(parameters, space, rng, name)


MORPHISMS = (rnn_layers, rnn_units, recurrence, fc_layers, fc_units, training)
