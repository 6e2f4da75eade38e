import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sparsemod.graph.functions import FUNCTIONS, exponentials, tabulated
from sparsemod.graph.trace import trace


def test_table_holds_the_nearest_step_for_every_input() -> None:
    table = tabulated(torch.sigmoid, (0.05, 10), (1 / 256, -128))
    for q in range(-128, 128):
        real = 1 / (1 + math.exp(-(q - 10) * 0.05))
        assert abs((int(table[q + 128]) + 128) / 256 - real) <= 1 / 512 + 1e-12


def test_table_ends_where_eight_bits_end() -> None:
    table = tabulated(lambda x: 100 * x, (1.0, 0), (1.0, 0))
    assert table[:127].tolist() == [-128] * 127
    assert table[127:130].tolist() == [-100, 0, 100]
    assert table[130:].tolist() == [127] * 126


def test_halves_round_up() -> None:
    assert tabulated(torch.clone, (0.5, 0), (1.0, 0))[[125, 127, 129, 131]].tolist() == [-1, 0, 1, 2]


def test_exponentials_fall_from_two_to_the_fifteenth() -> None:
    table = exponentials(math.log(2))
    assert table[:4].tolist() == [32768, 16384, 8192, 4096]
    assert table[-1] == 0
    assert len(table) == 256


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_that_of_pytorch(name: str) -> None:
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    expected = F.gelu(x, approximate="tanh") if name == "gelu_tanh" else getattr(F, name)(x)
    assert torch.equal(FUNCTIONS[name](x), expected)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        (nn.Hardswish(inplace=True), "hardswish", ()),
        (nn.GELU("tanh"), "gelu_tanh", ()),
        (nn.LeakyReLU(0.2), "leaky_relu", (0.2,)),
        (nn.ELU(0.5, inplace=True), "elu", (0.5,)),
        (nn.SELU(), "elu", (1.6732632423543772, 1.0507009873554805)),
    ],
)
def test_function_is_traced_with_its_arguments(module: nn.Module, name: str, arguments: tuple[float, ...]) -> None:
    [operator] = trace(module, (3, 4)).operators
    assert (operator.kind, operator.function, operator.arguments) == ("function", name, arguments)
    assert operator.name == f"{name}_0"


def test_a_selu_is_an_elu_with_a_factor() -> None:
    x = torch.linspace(-4, 4, 33)[None]
    assert torch.equal(trace(nn.SELU(), (33,), "none")(x), F.selu(x))
