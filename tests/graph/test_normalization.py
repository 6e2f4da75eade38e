"""Layer normalization: the integers are those of the definition, and stay near the real numbers."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.prune import prunable
from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes
from sparsemod.cost.size import ENDS
from sparsemod.errors import InputError
from sparsemod.graph import Graph, trace
from sparsemod.graph.normalization import MAX_COUNT, Normalization, fraction_bits, normalization, normalized
from sparsemod.graph.run import activations


def by_definition(x: list[int], constants: Normalization) -> list[int]:
    """As the docstring of the module says it, in Python's whole numbers."""
    n, total = len(x), sum(x)
    variance = (n * sum(value * value for value in x) - total**2) * 2**constants.bits + constants.eps
    root = math.isqrt(variance)
    return [((n * value - total) * 2**constants.shift + root // 2) // root for value in x]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000, MAX_COUNT])
@pytest.mark.parametrize("scale", [1e-6, 0.02, 3.0])
def test_integers_are_those_of_the_definition(count: int, scale: float) -> None:
    constants = normalization(count, 1e-5, scale)
    rows = [torch.randint(-255 * (row % 2), high, (count,)) for row, high in enumerate((1, 2, 2, 9, 256))]
    rows.append(255 * (torch.arange(count) == 0))  # the farthest that one element can be from the others
    found = normalized(torch.stack(rows).float(), 1, constants)
    assert found.tolist() == [by_definition(row.tolist(), constants) for row in rows]
    assert found.abs().max() <= 2**18 * 1.001


def test_two_elements_are_one_step_of_deviation_apart_from_their_mean() -> None:
    """Of 0 and 2 mean and deviation are 1; two elements are counted in steps of 2^-17."""
    assert fraction_bits(2) == 17
    assert normalized(torch.tensor([[0.0, 2.0]]), 1, normalization(2, 1e-9, 1.0)).tolist() == [[-(2**17), 2**17]]


def test_equal_elements_become_zero() -> None:
    assert not normalized(torch.full((1, 5), 200.0), 1, normalization(5, 0.0, 1.0)).any()


def test_eps_counts_where_the_deviation_is_small() -> None:
    """Of -1 and 1 in steps of 0.1, the variance is 0.01, as is eps: 1 becomes the root of a half."""
    found = normalized(torch.tensor([[-1.0, 1.0]]), 1, normalization(2, 0.01, 0.1))
    assert found[0, 1] / 2**17 == pytest.approx(math.sqrt(0.5), rel=1e-4)


def randomized(norm: nn.LayerNorm) -> nn.LayerNorm:
    """With weights of both signs, a zero, and biases."""
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.weight.data.view(-1)[0] = 0
    return norm


def int8(module: nn.Module, *shape: int) -> Graph:
    return lower(module.eval(), [torch.randn(16, *shape)])


@pytest.mark.parametrize("shape", [(10,), (4, 10), (3, 4, 10)])
def test_int8_is_within_a_step_of_float(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = randomized(nn.LayerNorm(shape))
    graph = int8(norm, *(2, *shape)[-3:])
    x = torch.randn(16, *(2, *shape)[-3:])
    values, scale = activations(graph, x), graph.activations[1].scale
    seen = (values[0].double() - graph.activations[0].zero_point) * graph.activations[0].scale
    exact = F.layer_norm(seen, shape, norm.weight.double(), norm.bias.double(), norm.eps) / scale
    steps = (exact + graph.activations[1].zero_point).clamp(-128, 127)
    assert (values[1] - steps).abs().max() < 0.51  # half a step is from rounding the output


def test_relu_behind_it_is_its_bound() -> None:
    graph = int8(nn.Sequential(nn.LayerNorm(6), nn.ReLU()), 6)
    assert [(operator.kind, operator.name) for operator in graph.operators] == [("layer_norm", "0")]
    assert graph.operators[0].low == graph.activations[1].zero_point
    assert graph(torch.randn(9, 6)).min() == 0


def test_batch_norm_behind_it_stays_apart() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.LayerNorm((3, 4)), nn.BatchNorm1d(3)).eval()
    assert [operator.kind for operator in int8(module, 3, 4).operators] == ["layer_norm", "depthwise"]


def test_it_costs_ten_bytes_and_a_multiplication_per_element() -> None:
    """A weight of 1, bias and multiplier of 4, shift of 1."""
    graph = trace(nn.LayerNorm(6), (5, 6))
    assert model_size_bytes(graph) == 6 * 10 + ENDS
    assert (graph.macs, graph.params) == (30, 12)
    assert model_size_bytes(int8(nn.LayerNorm(6, elementwise_affine=False), 5, 6)) == 6 * 10 + ENDS


def test_it_is_not_pruned() -> None:
    module = nn.Sequential(nn.LayerNorm((3, 4)), nn.Linear(4, 2))
    assert prunable(module) == [module[1].weight]


class Mixed(nn.Module):
    """A layer normalization between linear layers, and one of these may stay float."""

    def __init__(self, real: str) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)
        getattr(self, real).quant_scheme = "none"

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))


@pytest.mark.parametrize("real", ["first", "last"])
def test_the_layers_around_it_may_stay_float(real: str) -> None:
    torch.manual_seed(0)
    module, x = Mixed(real).eval(), torch.randn(16, 4)
    graph = lower(module, [x], "both")
    assert [operator.name for operator in graph.operators if operator.multiplier is None] == [real]
    assert torch.allclose(graph(x), module(x), atol=0.1)


def test_float_between_int8_layers_is_refused() -> None:
    with pytest.raises(InputError, match=r"a norm of its own is int8 where its input is.*\(in module 'norm'\)"):
        trace(Mixed("norm"), (4,), "both")


def test_too_many_elements_are_refused() -> None:
    with pytest.raises(InputError, match="layer normalization over 16385 elements; supported are at most 16384"):
        trace(nn.LayerNorm(MAX_COUNT + 1), (MAX_COUNT + 1,))
