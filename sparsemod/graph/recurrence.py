"""Recurrent layers in integers: LSTM [Hochreiter1997] and GRU [Cho2014], with the formulas of PyTorch.

An int8 input x, the int8 state h before, in steps of 2^-7, and the weights of a row give two sums, which become steps
of 2^-12 and are held within 2^27. For each row, with round(v) = floor(v + 1/2) throughout,

    a = round((sum (x - zero_point) * w + bias) * multiplier_x / 2^shift_x)          from the input
    b = round((sum h * w + bias) * multiplier_h / 2^shift_h)                         from the state

A table t of 257 numbers holds round(2^15 * tanh(i / 32)), the last ones 2^15 - 1. A curve is linear between them,
constant beyond, and of a negative number the negative:

    curve(v, k)  = t[i] + round((t[i+1] - t[i]) * (v - i * 2^k) / 2^k)  with i = floor(v / 2^k), or t[256] if i > 255
    tanh(v)      = curve(v, 7)                                                       v in steps of 2^-12
    sigmoid(v)   = round((2^15 + curve(v, 8)) / 2)                                   both give steps of 2^-15

An LSTM keeps a cell c in 16 bits, in steps of 2^-11, which holds it between -16 and 16 (tanh is 1 from 8 on):

    i, f, o = sigmoid(a + b), g = tanh(a + b)                                        one row of weights each
    c' = round((2^4 * f * c + i * g) / 2^19), within -2^15 and 2^15 - 1
    h' = round(o * curve(c', 6) / 2^23), at most 127

A GRU keeps its state s in 16 bits, in steps of 2^-15, so that small changes are not lost; only b of the new state n has
a bias of its own, all others are in that of a:

    r, z = sigmoid(a + b), n = tanh(a + round(r * b / 2^15))
    s' = n + round(z * (s - n) / 2^15)
    h' = round(s' / 2^8), at most 127

Everything fits: a + b and r * b / 2^15 stay below 2^29, products below 2^44.

[Hochreiter1997] Long short-term memory, Neural Computation 9(8), 1997.
[Cho2014] Learning phrase representations using RNN encoder-decoder, arXiv 1406.1078.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GATES = {"lstm": 4, "gru": 3}
"""Rows of weights for each unit, by kind of operator."""

STATE_SCALE = 2.0**-7
GATE_SCALE = 2.0**-12
"""Real value of one step of a state, and of what goes into a gate."""

LARGEST = 2**27
"""The most that goes into a gate from the input or from the state, up and down."""

TANH = torch.floor(2.0**15 * torch.tanh(torch.arange(257, dtype=torch.float64) / 32) + 0.5).clamp(max=2**15 - 1).int()
"""What the curves of all recurrent layers are read off, (257,)."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent layer of one direction, with its constants as they are used.

    Attributes:
        kind: lstm or gru.
        units: H.
        inputs: Weights of the input, (gates * H, F), unit by unit, whole numbers in float32 or float64.
        states: Weights of the state, (gates * H, H).
        bias: (4 * H), or None.
        multiplier: (gates * H, 2), of input and state.
        shift: As multiplier.
    """

    kind: str
    units: int
    inputs: Tensor
    states: Tensor
    bias: Tensor | None
    multiplier: Tensor
    shift: Tensor

    def all_steps(self, x: Tensor, backward: bool, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States after each step.

        Args:
            x: Without zero point, whole numbers, (N, T, F).
            backward: Whether the last step comes first.
            before: What the last call kept, to go on there; zero if not given.

        Returns:
            Whole numbers in float32, (N, T, H), in the order of the input; and what is kept in the end, (2, N, H):
            the cell or the exact state, and the state.
        """
        bias = torch.zeros(4 * self.units, dtype=torch.int64) if self.bias is None else self.bias.long()
        of_input, of_state = row_biases(self.kind, bias)
        given = self._steps(F.linear(x.to(self.inputs.dtype), self.inputs), of_input, 0)
        kept, h = torch.zeros(2, len(x), self.units, dtype=torch.int64) if before is None else before
        found = [h] * x.shape[1]
        update = _lstm if self.kind == "lstm" else _gru
        for step in reversed(range(x.shape[1])) if backward else range(x.shape[1]):
            sums = F.linear(h.to(self.states.dtype), self.states)
            kept, h = update(given[:, step], self._steps(sums, of_state, 1), kept)
            found[step] = h
        return torch.stack(found, 1).float(), torch.stack([kept, h])

    def _steps(self, sums: Tensor, bias: Tensor, part: int) -> Tensor:
        """Sums of products in steps of a gate: (..., gates * H) -> (..., H, gates)."""
        shift = self.shift[:, part].long()
        found = ((sums.long() + bias) * self.multiplier[:, part].long() + (1 << (shift - 1))) >> shift
        return found.clamp_(-LARGEST, LARGEST).reshape(*sums.shape[:-1], self.units, -1)


def row_biases(kind: str, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The biases of input and state, one of each for a row, from (4 * H)."""
    each, gates = bias.reshape(-1, 4), GATES[kind]
    of_state = torch.zeros_like(each[:, :gates])
    if kind == "gru":
        of_state[:, 2] = each[:, 3]
    return each[:, :gates].flatten(), of_state.flatten()


def unit_biases(kind: str, of_input: Tensor, of_state: Tensor) -> Tensor:
    """Four for each unit, (4 * H), from those of the rows: of a GRU that of the new state's own is the fourth."""
    each = of_input.reshape(-1, GATES[kind])
    return (each if kind == "lstm" else torch.cat([each, of_state.reshape(-1, 3)[:, 2:]], 1)).flatten()


def _lstm(given: Tensor, fed_back: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Cell and state after a step."""
    i, f, g, o = (given + fed_back).unbind(-1)
    cell = _rounded(_sigmoid(f) * cell * 16 + _sigmoid(i) * _tanh(g), 19).clamp_(-(2**15), 2**15 - 1)
    return cell, _rounded(_sigmoid(o) * _curve(cell, 6), 23).clamp_(max=127)


def _gru(given: Tensor, fed_back: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """State in 16 bits and in 8 after a step."""
    r, z = (_sigmoid(given[..., gate] + fed_back[..., gate]) for gate in range(2))
    n = _tanh(given[..., 2] + _rounded(r * fed_back[..., 2], 15))
    state = n + _rounded(z * (state - n), 15)
    return state, _rounded(state, 8).clamp_(max=127)


def _sigmoid(value: Tensor) -> Tensor:
    return (2**15 + _curve(value, 8) + 1) >> 1


def _tanh(value: Tensor) -> Tensor:
    return _curve(value, 7)


def _curve(value: Tensor, bits: int) -> Tensor:
    size, table = value.abs(), TANH.long()
    i = (size >> bits).clamp_(max=255)
    low = table[i]
    between = low + _rounded((table[i + 1] - low) * (size - (i << bits)).clamp_(max=1 << bits), bits)
    return torch.where(size < 256 << bits, between, table[256]) * value.sign()


def _rounded(value: Tensor, bits: int) -> Tensor:
    """Divided by a power of two, halves up."""
    return (value + (1 << (bits - 1))) >> bits


# --- in real numbers -------------------------------------------------------------------------------------------------


def real_steps(
    kind: str, units: int, x: Tensor, weight: Tensor, bias: Tensor | None, backward: bool, before: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """States after each step of a float layer, (N, T, F) -> (N, T, H), and what is kept in the end.

    Args:
        kind: lstm or gru.
        units: H.
        x: Inputs.
        weight: (gates * H, F + H), unit by unit.
        bias: (4 * H), unit by unit, or None.
        backward: Whether the last step comes first.
        before: What the last call kept, to go on there; zero if not given.
    """
    gates = GATES[kind]
    rows = weight.reshape(units, gates, -1).transpose(0, 1).flatten(0, 1)
    parameters = [rows[:, : x.shape[-1]].contiguous(), rows[:, x.shape[-1] :].contiguous()]
    if bias is not None:
        parameters += [each.reshape(units, gates).t().flatten() for each in row_biases(kind, bias)]
    start = torch.zeros(2 if kind == "lstm" else 1, len(x), units) if before is None else before
    settings = (parameters, bias is not None, 1, 0.0, False, False, True)
    x = x.flip(1) if backward else x
    found: Tensor
    found, *kept = torch.lstm(x, start.split(1), *settings) if kind == "lstm" else torch.gru(x, start, *settings)
    return found.flip(1) if backward else found, torch.cat(kept)
