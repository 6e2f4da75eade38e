"""Weights of eight, four and two bits."""

import pytest
import torch
from problems.modules import block
from problems.quantized_networks import network
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes
from sparsemod.datasets import digits
from sparsemod.errors import InputError
from sparsemod.graph import trace
from sparsemod.train import error, train


class Nested(nn.Module):
    """A block of 4 bits with a layer of 2 bits in it; a shared weight, and one that its owner does not apply itself."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        self.block.weight_bits = 4
        self.block[1].weight_bits = 2
        self.tied, self.plain = nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied.weight = self.block[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.plain(self.tied(self.block(x))), self.block[1].weight)


def test_bits_are_those_of_the_module_or_the_nearest_around_it() -> None:
    torch.manual_seed(0)
    module, x = Nested().eval(), torch.randn(8, 6)
    for graph in (trace(module, (6,)), lower(module, [x])):
        assert [operator.weight_bits for operator in graph.operators] == [4, 2, 4, 8, 2]
    largest = [int(operator.weight.abs().max()) for operator in graph.operators if operator.weight is not None]
    assert largest == [7, 1, 7, 127, 1]


@pytest.mark.parametrize(("bits", "largest"), [(4, 7), (2, 1)])
@pytest.mark.parametrize("scheme", ["post", "dynamic"])
def test_weights_of_few_bits_stay_in_their_range(scheme: str, bits: int, largest: int) -> None:
    module, x = network("separable")
    module.weight_bits = bits
    for operator in lower(module, [x], scheme).operators:
        if operator.weight is not None and operator.weight_itemsize == 1:
            assert operator.weight_bits == bits
            assert operator.weight.dtype == torch.int8
            assert operator.weight.abs().flatten(1).amax(1).tolist() == [largest] * len(operator.weight)


def test_float_weights_and_a_batch_norm_alone_have_no_fewer_bits() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    module.weight_bits = 2
    x = torch.randn(8, 3)
    assert [operator.weight_bits for operator in lower(module, [x]).operators] == [8, 2]
    assert [operator.weight_bits for operator in lower(module, [x], "none").operators] == [8, 8]


@pytest.mark.parametrize("bits", [3, 4.0, "4", None])
def test_bits_that_do_not_exist_are_an_input_error(bits: object) -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    module[1].weight_bits = bits
    with pytest.raises(InputError, match=f"^module '1': weight_bits is {bits!r}; it must be 8, 4 or 2$"):
        trace(module, (2,))
    with pytest.raises(InputError, match="weight_bits"):
        lower(module, [torch.randn(4, 2)])


def lowered(weights: list[float], bits: int) -> tuple[list[int], float]:
    """Integers and scale of a layer of one output channel."""
    module = nn.Linear(len(weights), 1, bias=False)
    module.weight.data = torch.tensor([weights])
    module.weight_bits = bits
    (operator,) = lower(module, [torch.randn(8, len(weights))]).operators
    assert operator.weight is not None and operator.weight_scale is not None
    return operator.weight[0].tolist(), operator.weight_scale.item()


def test_a_ternary_scale_leaves_the_smallest_squared_error() -> None:
    """Of 1, 0.9, -1 and 0.1 the scale is the mean of the first three, to a hundredth."""
    assert lowered([1.0, 0.9, -1.0, 0.1], 2) == ([1, 1, -1, 0], pytest.approx(0.97))


@pytest.mark.parametrize(
    ("bits", "integers", "scale"),
    [(8, [127] + [13] * 100, 10 / 127), (4, [7] + [1] * 100, 0.8 * 10 / 7), (2, [1] * 101, 0.11 * 10)],
)
def test_an_outlier_is_cut_off_with_few_bits_and_never_with_eight(bits: int, integers: list[int], scale: float) -> None:
    """With s for the scale, 4 bits leave (10 - 7 s)^2 + 100 (1 - s)^2, smallest at s = 170 / 149 = 0.799 * 10 / 7."""
    assert lowered([10.0] + [1.0] * 100, bits) == (integers, pytest.approx(scale))


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (4, 7), (2, 1)])
def test_one_value_is_the_largest_integer_and_no_value_is_zero(bits: int, largest: int) -> None:
    assert lowered([-0.7], bits) == ([-largest], pytest.approx(0.7 / largest))
    assert lowered([0.0, 0.0], bits)[0] == [0, 0]


def test_a_scale_of_four_bits_is_no_worse_than_that_of_the_largest_weight() -> None:
    weights = torch.randn(200, generator=torch.Generator().manual_seed(0))
    integers, scale = lowered(weights.tolist(), 4)
    widest = weights.abs().max() / 7
    error, plain = ((weights - step).square().sum() for step in (
        scale * torch.tensor(integers), widest * (weights / widest).round()
    ))  # fmt: skip
    assert error < 0.8 * plain


def test_trained_digits_keep_their_error_in_four_bits() -> None:
    torch.manual_seed(0)
    data = digits()
    module = nn.Sequential(block(1, 12), nn.MaxPool2d(2), block(12, 24, 2), nn.Flatten(), nn.Linear(96, 10))
    settings = {"learning_rate": 5e-3, "learning_gamma": 0.5, "learning_step": 3, "batch_size": 32}
    train(module, data.train, settings, 5, torch.Generator().manual_seed(0))
    errors, sizes = {}, {}
    for bits in (8, 4, 2):
        module.weight_bits = bits
        graph = lower(module.eval(), [x for x, _ in data.train.batches(64)][:2])
        errors[bits], sizes[bits] = error(graph, data.validation), model_size_bytes(graph)
    assert errors[8] < 0.05
    assert errors[4] < errors[8] + 0.02
    assert errors[2] < errors[8] + 0.2
    assert sizes[2] < 0.6 * sizes[4] < 0.4 * sizes[8]
