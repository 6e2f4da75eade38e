"""Integer networks are computed exactly, whatever their operators and inputs."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems.integers import reference
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.graph import Activation, Graph, Operator, run
from sparsemod.graph.run import activations


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.projection = nn.Conv2d(3, 6, 1, stride=2)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.first(x)))
        y = F.relu(self.second(y) + self.projection(x))
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


class Gated(nn.Module):
    """A gate over channels, one over places, a shuffle of channels, and what meets in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.gate, self.place = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.first(x))
        x = x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        x = F.relu(x * torch.sigmoid(self.place(x)))
        x = torch.cat([x, F.gelu(self.second(x))], 1)
        n, _, h, w = x.shape
        x = x.view(n, 2, 3, h, w).transpose(1, 2).reshape(n, 6, h, w)
        x = F.leaky_relu(self.norm(F.max_pool2d(F.pad(x, (1, 0, 1, 0)), 2)), 0.2)
        x = F.interpolate(x, scale_factor=2).permute(0, 1, 3, 2)
        return self.head(x.mean([2, 3]))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions": (
        lambda: nn.Sequential(
            *(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, (3, 2), stride=(2, 1), groups=6), nn.ReLU6()),
            *(nn.Conv2d(6, 4, 3, groups=2, dilation=2, padding=2), nn.Conv2d(4, 4, 2, padding="same", bias=False)),
            *(nn.Flatten(), nn.Linear(4 * 3 * 7, 5)),
        ),
        (2, 8, 8),
    ),
    "residual": (Residual, (3, 8, 8)),
    "pools": (
        lambda: nn.Sequential(
            *(nn.Conv2d(2, 4, 3), nn.MaxPool2d(3, 2, 1), nn.ReLU(), nn.AvgPool2d((2, 3), 1), nn.ReLU6()),
            *(nn.MaxPool2d(2, 2, ceil_mode=True), nn.Flatten()),
        ),
        (2, 11, 11),
    ),
    "overlapping dilated pool": (
        lambda: nn.Sequential(nn.MaxPool2d((2, 3), (1, 2), (1, 1), (2, 1)), nn.Flatten()),
        (3, 7, 8),
    ),
    "one axis": (
        lambda: nn.Sequential(
            *(nn.Conv1d(3, 6, 4, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 4, 3, stride=2), nn.AvgPool1d(2)),
            *(nn.Flatten(), nn.Linear(4, 3)),
        ),
        (3, 14),
    ),
    "gates": (Gated, (2, 6, 8)),
    "norms alone": (
        lambda: nn.Sequential(
            *(nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 4, 3), nn.SiLU(), nn.BatchNorm1d(4), nn.ELU(0.7)),
            *(nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 3)),
        ),
        (3, 8),
    ),
    "softmax": (lambda: nn.Sequential(nn.Linear(12, 9), nn.Softmax(-1), nn.Linear(9, 9), nn.Softmax(1)), (12,)),
    "linear": (lambda: nn.Sequential(nn.Linear(12, 9), nn.Hardtanh(-0.5, 0.7), nn.Linear(9, 3, bias=False)), (12,)),
    "large fan-in": (lambda: nn.Sequential(nn.Linear(4000, 3), nn.ReLU(), nn.Linear(3, 2)), (4000,)),
}


def lowered(name: str, seed: int = 0) -> tuple[Graph, Tensor]:
    """An integer graph and inputs, some of them beyond the calibrated range."""
    torch.manual_seed(seed)
    build, shape = NETWORKS[name]
    module = build()
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    module.eval()
    return lower(module, [torch.randn(16, *shape)]), 1.5 * torch.randn(33, *shape)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_integer_arithmetic_is_exact(name: str, seed: int) -> None:
    graph, x = lowered(name, seed)
    found = run(graph, x)
    assert torch.equal(found, reference(graph, x))
    assert len(found.unique()) > 10


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_result_does_not_depend_on_which_convolution_pytorch_chooses() -> None:
    rng = torch.Generator().manual_seed(0)
    operator = Operator(
        *("conv", "conv_0", (0,), 1),
        options={"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": (1,)},
        weight=torch.randint(-20, 21, (6, 2, 3, 3), dtype=torch.int8, generator=rng),
        multiplier=torch.full((6,), 2**21, dtype=torch.int32),
        shift=torch.full((6,), 27, dtype=torch.int32),  # one sum in 64 lies between two steps: the least error shows
        low=-128.0,
        high=127.0,
    )
    graph = Graph((operator,), (Activation((2, 8, 8), 1), Activation((6, 8, 8), 1)))
    x = torch.randint(-128, 128, (33, 2, 8, 8), generator=rng).float()
    expected = reference(graph, x)
    assert torch.equal(run(graph, x), expected)
    assert torch.equal(run(graph, x.to(memory_format=torch.channels_last)), expected)
    with torch.backends.mkldnn.flags(enabled=False):  # NNPACK is next in line, and its Winograd convolutions round
        assert torch.equal(run(graph, x), expected)


@pytest.mark.parametrize("count", [1, 2, 15, 63, 64, 65, 130])
@pytest.mark.parametrize("name", ["convolutions", "linear"])
def test_batches_of_any_size_give_the_same(name: str, count: int) -> None:
    graph, x = lowered(name)
    x = x.repeat(4, *[1] * (x.dim() - 1))[:count]
    assert torch.equal(run(graph, x), torch.cat([run(graph, sample[None]) for sample in x]))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_samples_give_no_outputs_of_the_right_shape(name: str) -> None:
    graph, x = lowered(name)
    assert run(graph, x[:0]).shape == (0, *graph.activations[graph.output].shape)


def test_input_is_left_as_it_was() -> None:
    graph, x = lowered("convolutions")
    before = x.clone()
    run(graph, x)
    assert torch.equal(x, before)


def test_outputs_are_whole_steps_of_the_output_scale() -> None:
    graph, x = lowered("residual")
    steps = run(graph, x) / graph.activations[graph.output].scale
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)


def linear(weight: list[int], bias: int, multiplier: int, shift: int, zero_in: int, zero_out: int) -> Graph:
    """One linear output with scales of 1."""
    operator = Operator(
        *("linear", "linear_0", (0,), 1),
        weight=torch.tensor([weight], dtype=torch.int8),
        bias=torch.tensor([bias], dtype=torch.int32),
        multiplier=torch.tensor([multiplier], dtype=torch.int32),
        shift=torch.tensor([shift], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    return Graph((operator,), (Activation((len(weight),), 1, 1.0, zero_in), Activation((1,), 1, 1.0, zero_out)))


def test_linear_by_hand() -> None:
    # (10 - 2 + 3) * 3 / 4 = 8.25; (10 + 2 + 3) * 3 / 4 = 11.25; half a step is rounded up, below zero too
    graph = linear([1, -1], 3, 3, 2, zero_in=0, zero_out=-5)
    assert run(graph, torch.tensor([[10.0, 2.0], [10.0, -2.0]])).tolist() == [[8.0], [11.0]]
    graph = linear([1], 0, 1, 1, zero_in=0, zero_out=0)
    assert run(graph, torch.tensor([[3.0], [-3.0], [1.0], [-1.0]])).tolist() == [[2.0], [-1.0], [1.0], [0.0]]


def test_activations_are_the_integers_that_are_kept() -> None:
    graph = linear([1, -1], 3, 3, 2, zero_in=7, zero_out=-5)
    kept = activations(graph, torch.tensor([[10.0, 2.0], [10.0, -2.0]]))
    assert {position: values.tolist() for position, values in kept.items()} == {0: [[17, 9], [17, 5]], 1: [[3], [6]]}
    assert {values.dtype for values in kept.values()} == {torch.int8}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_activation_is_the_output_and_all_are_kept(name: str) -> None:
    graph, x = lowered(name)
    kept, target = activations(graph, x), graph.activations[graph.output]
    assert sorted(kept) == list(range(len(graph.activations)))
    assert [tuple(values.shape[1:]) for _, values in sorted(kept.items())] == [a.shape for a in graph.activations]
    assert torch.equal((kept[graph.output].float() - target.zero_point) * target.scale, run(graph, x))


def test_float_activations_are_kept_as_they_are() -> None:
    graph = lower(nn.Sequential(nn.Linear(1, 1, bias=False)), [torch.ones(2, 1)], "none")
    x = torch.tensor([[2.0], [-0.3]])
    kept = activations(graph, x)
    assert torch.equal(kept[0], x) and torch.equal(kept[1], run(graph, x))


def test_inputs_beyond_the_range_are_clamped() -> None:
    graph = linear([1], 0, 2**21, 21, zero_in=28, zero_out=28)
    assert run(graph, torch.tensor([[1e9], [-1e9], [99.0], [-156.0]])).flatten().tolist() == [99, -156, 99, -156]


EIGHT_BITS = st.integers(-128, 127)


@given(
    st.lists(st.tuples(st.integers(-127, 127), EIGHT_BITS), min_size=1, max_size=5),
    st.integers(-(2**29), 2**29),
    st.integers(0, 2**22 - 1),
    st.integers(1, 44),
    EIGHT_BITS,
    EIGHT_BITS,
)
def test_every_requantization_is_exact(
    terms: list[tuple[int, int]], bias: int, multiplier: int, shift: int, zero_in: int, zero_out: int
) -> None:
    weight, x = [w for w, _ in terms], [v - zero_in for _, v in terms]
    accumulator = sum(w * v for w, v in zip(weight, x, strict=True)) + bias
    expected = zero_out + (accumulator * multiplier + 2 ** (shift - 1)) // 2**shift
    graph = linear(weight, bias, multiplier, shift, zero_in, zero_out)
    found = run(graph, torch.tensor([x], dtype=torch.float32)).item() + zero_out
    assert found == min(max(expected, -128), 127)


@given(st.integers(1, 127), st.integers(0, 127), st.integers(-(2**29), 2**29), st.integers(-128, 127))
def test_sums_beyond_24_bits_are_exact(largest: int, last: int, bias: int, zero: int) -> None:
    """4000 products of up to 127 x 255 need 27 bits; the multiplier brings exactly their last bits into view."""
    weight = [largest] * 3999 + [last]
    x = torch.full((1, 4000), 127.0 - zero)
    accumulator = sum(weight) * (127 - zero) + bias
    graph = linear(weight, bias - accumulator + last, 2**21, 21, zero, 0)
    assert run(graph, x).item() == last


def test_global_average_over_many_pixels_is_exact() -> None:
    """66 x 1000 pixels of up to 255 sum to more than 2^24; one pixel decides whether 127 or 128 is nearer."""
    multiplier, shift = 2_086_143, 38
    operator = Operator(
        *("avg_pool", "avg_pool_0", (0,), 1),
        options={"kernel": (66, 1000), "stride": (66, 1000)},
        multiplier=torch.tensor([multiplier], dtype=torch.int32),
        shift=torch.tensor([shift], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    graph = Graph((operator,), (Activation((1, 66, 1000), 1, 1.0, -128), Activation((1, 1, 1), 1, 1.0, -128)))
    decisive = -(-255 * 2 ** (shift - 1) // multiplier)
    assert 2**24 < decisive < 66_000 * 255
    for total, nearest in [(decisive - 2, 127), (decisive - 1, 127), (decisive, 128), (decisive + 1, 128)]:
        x = torch.full((66_000,), 255.0)
        x[: 66_000 * 255 - total] = 254.0
        assert run(graph, x.reshape(1, 1, 66, 1000)).item() == nearest


def test_float_operators_read_and_write_integers() -> None:
    """A float layer between two int8 activations: 2 x + 0.5, in steps of 0.5 and 0.25."""
    operator = Operator(
        "linear", "a", (0,), 1, weight=torch.tensor([[2.0]]), weight_itemsize=4, bias=torch.tensor([0.5])
    )
    graph = Graph((operator,), (Activation((1,), 1, 0.5, 3), Activation((1,), 1, 0.25, -4)))
    assert run(graph, torch.tensor([[1.1], [-0.8], [100.0]])).flatten().tolist() == [2.5, -1.5, 131 * 0.25]


def test_weights_alone_can_be_integers() -> None:
    operator = Operator(
        *("linear", "a", (0,), 1),
        weight=torch.tensor([[2, -4], [1, 1]], dtype=torch.int8),
        weight_scale=torch.tensor([0.5, 0.25]),
        high=3.0,
    )
    graph = Graph((operator,), (Activation((2,), 4), Activation((2,), 4)))
    assert run(graph, torch.tensor([[3.0, 0.5], [8.0, 1.0]])).tolist() == [[2.0, 0.875], [3.0, 2.25]]


def test_addition_uses_both_scales() -> None:
    """x in steps of 1 plus x - 0.5 in steps of 0.5, written in steps of 2: 5.5, -6.5 and -0.5 become 6, -6 and 0."""
    operator = Operator(
        *("add", "add_0", (0, 1), 2),
        multiplier=torch.tensor([2**20, 2**19], dtype=torch.int32),
        shift=torch.tensor([21, 21], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    halves = Operator(
        "linear", "half", (0,), 1, weight=torch.tensor([[1.0]]), weight_itemsize=4, bias=torch.tensor([-0.5])
    )
    graph = Graph(
        (halves, operator), (Activation((1,), 1, 1.0, 7), Activation((1,), 1, 0.5, -9), Activation((1,), 1, 2.0, 5))
    )
    assert run(graph, torch.tensor([[3.0], [-3.0], [0.0]])).flatten().tolist() == [6.0, -6.0, 0.0]
