"""Recurrent layers in integers: the integers are those of the definition, and stay near the real numbers."""

import math

import pytest
import torch
from torch import Tensor, nn

from sparsemod.compress.quantize import lower
from sparsemod.errors import Infeasible
from sparsemod.graph import Graph, run, trace
from sparsemod.graph.recurrence import GATES, TANH, Cell
from sparsemod.graph.run import activations

# --- the definition, in Python's whole numbers -----------------------------------------------------------------------


def rounded(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) >> bits


def curve(value: int, bits: int) -> int:
    i, sign = abs(value) >> bits, -1 if value < 0 else 1
    if i > 255:
        return sign * int(TANH[256])
    low, high = int(TANH[i]), int(TANH[i + 1])
    return sign * (low + rounded((high - low) * (abs(value) - (i << bits)), bits))


def tanh(value: int) -> int:
    return curve(value, 7)


def sigmoid(value: int) -> int:
    return rounded(2**15 + curve(value, 8), 1)


def by_definition(cell: Cell, x: list[list[int]], backward: bool) -> list[list[int]]:
    """States by step, as the docstring of the module says it."""
    kept, h, found = [0] * cell.units, [0] * cell.units, {}
    for step in range(len(x))[:: -1 if backward else 1]:
        before = list(h)
        for unit in range(cell.units):
            a, b = zip(*(gate(cell, unit, row, x[step], before) for row in range(GATES[cell.kind])), strict=True)
            if cell.kind == "lstm":
                i, f, o = (sigmoid(a[row] + b[row]) for row in (0, 1, 3))
                exact = rounded(16 * f * kept[unit] + i * tanh(a[2] + b[2]), 19)
                kept[unit] = max(-(2**15), min(2**15 - 1, exact))
                h[unit] = min(127, rounded(o * curve(kept[unit], 6), 23))
            else:
                r, z = (sigmoid(a[row] + b[row]) for row in (0, 1))
                n = tanh(a[2] + rounded(r * b[2], 15))
                kept[unit] = n + rounded(z * (kept[unit] - n), 15)
                h[unit] = min(127, rounded(kept[unit], 8))
        found[step] = list(h)
    return [found[step] for step in range(len(x))]


def gate(cell: Cell, unit: int, row: int, x: list[int], h: list[int]) -> tuple[int, int]:
    """Steps of one gate from the input and from the state."""
    position, found = unit * GATES[cell.kind] + row, []
    bias = [0] * 4 if cell.bias is None else cell.bias[4 * unit : 4 * unit + 4].tolist()
    added = (bias[row], bias[3] if (cell.kind, row) == ("gru", 2) else 0)
    for part, (weights, values) in enumerate(((cell.inputs, x), (cell.states, h))):
        total = sum(int(w) * v for w, v in zip(weights[position].tolist(), values, strict=True)) + added[part]
        steps = rounded(total * int(cell.multiplier[position, part]), int(cell.shift[position, part]))
        found.append(max(-(2**27), min(2**27, steps)))
    return found[0], found[1]


def random_cell(kind: str, features: int, units: int, fast: int, bias: bool = True) -> Cell:
    """With gates that leave their curves where `fast` is large."""
    rows = GATES[kind] * units
    weights = [torch.randint(-127, 128, (rows, count)).double() for count in (features, units)]
    biases = torch.randint(-2000, 2000, (4 * units,)) if bias else None
    constants = torch.randint(1, 2**fast, (rows, 2)), torch.randint(8, 16, (rows, 2))
    return Cell(kind, units, *weights, biases, *constants)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("fast", "bias"), [(9, True), (9, False), (15, True), (22, True)])
def test_integers_are_those_of_the_definition(kind: str, backward: bool, fast: int, bias: bool) -> None:
    torch.manual_seed(fast)
    cell = random_cell(kind, 3, 4, fast, bias)
    x = torch.randint(-255, 256, (5, 12, 3))
    found, _ = cell.all_steps(x.float(), backward)
    assert found.tolist() == [by_definition(cell, sample, backward) for sample in x.tolist()]


def test_curves_are_near_the_real_ones() -> None:
    """Steps of 2^-12 go in and of 2^-15 come out: within 4 of them, and 11 where the curve of 16 is cut off."""
    for value in range(-(2**17), 2**17, 97):
        assert abs(tanh(value) - 2**15 * math.tanh(value / 2**12)) < 4
        assert abs(sigmoid(value) - 2**15 / (1 + math.exp(-value / 2**12))) < 4


def test_curves_end_at_one() -> None:
    assert (tanh(2**20), tanh(-(2**20)), sigmoid(2**20), sigmoid(-(2**20)), sigmoid(0)) == (
        32767,
        -32767,
        32768,
        1,
        2**14,
    )


# --- layers ----------------------------------------------------------------------------------------------------------


class Steps(nn.Module):
    """All steps of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


LAYERS = {
    "one": {},
    "two": {"num_layers": 2},
    "both": {"bidirectional": True},
    "two, both": {"num_layers": 2, "bidirectional": True, "bias": False},
}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("settings", LAYERS.values(), ids=LAYERS.keys())
def test_float_layer_is_that_of_pytorch(kind: type, settings: dict) -> None:
    torch.manual_seed(0)
    module, x = Steps(kind(3, 5, batch_first=True, **settings)).eval(), torch.randn(4, 6, 3)
    assert torch.allclose(run(trace(module, (6, 3), "none"), x), module(x), atol=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("settings", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("scheme", ["post", "dynamic"])
def test_quantized_layer_is_near_float(kind: type, settings: dict, scheme: str) -> None:
    """States lie between -1 and 1; a step is 1/128."""
    torch.manual_seed(0)
    module, x = Steps(kind(8, 16, batch_first=True, **settings)).eval(), torch.randn(16, 10, 8)
    graph = lower(module, [x], scheme)
    assert (run(graph, x) - module(x)).abs().max() < (4 / 128 if scheme == "post" else 0.01)
    if scheme == "post":
        assert graph.activations[graph.output].scale == 1 / 128
        assert graph.activations[graph.output].zero_point == 0


def test_each_part_of_a_row_has_its_own_scale() -> None:
    """The largest weight of every row is 127 steps, of the input and of the state; biases are steps of both."""
    torch.manual_seed(0)
    layer = nn.GRU(3, 2, batch_first=True)
    graph = lower(Steps(layer), [torch.randn(8, 4, 3)])
    (operator,), scale = graph.operators, graph.activations[0].scale
    assert operator.weight.shape == (6, 5)
    assert operator.weight[:, :3].abs().amax(1).tolist() == operator.weight[:, 3:].abs().amax(1).tolist() == [127] * 6
    steps = operator.weight_scale
    new_of_unit_0 = steps[2, 0] * scale * operator.bias[2], steps[2, 1] / 128 * operator.bias[3]
    assert new_of_unit_0[0] == pytest.approx(layer.bias_ih_l0[4].item(), abs=1e-4)
    assert new_of_unit_0[1] == pytest.approx(layer.bias_hh_l0[4].item(), abs=1e-4)


def test_state_of_a_gru_keeps_small_changes() -> None:
    """An update gate of 0.982 moves the state towards 1 by 0.018 a step: after 8 of them it is 1 - 0.982^8 = 0.135."""
    layer = nn.GRU(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0[:] = torch.tensor([0.0, 4.0, 9.0])
    graph = lower(Steps(layer), [torch.randn(8, 8, 1)])
    assert run(graph, torch.zeros(1, 8, 1))[0, -1, 0] == pytest.approx(0.135, abs=1 / 256)


def test_cell_of_an_lstm_ends_at_sixteen() -> None:
    """All gates are open: the cell grows by almost one a step, and the state is its hyperbolic tangent."""
    layer = nn.LSTM(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0[:] = 20.0
    values = activations(lower(Steps(layer), [torch.randn(8, 20, 1)]), torch.zeros(1, 20, 1))
    assert values[1][0, [0, 19], 0].tolist() == [97, 127]  # tanh(1) * 128 is 97.5, and the cell a little below 1


def test_weights_too_many_for_32_bits_are_infeasible() -> None:
    graph_of = nn.LSTM(2**16 + 2**12, 1, batch_first=True)
    nn.init.ones_(graph_of.weight_ih_l0)
    with pytest.raises(
        Infeasible, match=r"layer: the sum of products can reach 2.26e\+09, beyond the 32-bit accumulator"
    ):
        lower(Steps(graph_of), [torch.randn(2, 1, 2**16 + 2**12)])


def test_quantization_aware_training_rounds_the_weights() -> None:
    torch.manual_seed(0)
    module, x = Steps(nn.LSTM(3, 4, batch_first=True)), torch.randn(16, 5, 3)

    def tune(network: nn.Module) -> None:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
        for _ in range(20):
            optimizer.zero_grad()
            (network(x) - 0.25).square().mean().backward()
            optimizer.step()

    before = module.layer.weight_ih_l0.clone()
    graphs: list[Graph] = [lower(module.eval(), [x], "post", how) for how in (None, tune)]
    errors = [(run(graph, x) - 0.25).square().mean().item() for graph in graphs]
    assert errors[1] < 0.5 * errors[0]
    assert torch.equal(module.layer.weight_ih_l0, before)
