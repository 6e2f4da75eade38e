import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.qat import settling
from sparsemod.compress.quantize import lower
from sparsemod.graph import Graph


class Net(nn.Module):
    """A batch norm that folds, one that stands alone, a skip, a dropout and a layer on vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fold = nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second, self.alone = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fold(self.first(x)))
        x = F.relu(self.alone(x) + self.second(x))
        return self.head(F.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1), 0.5, self.training))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    for _ in range(5):
        net(torch.randn(32, 2, 8, 8))  # statistics for batch norm
    net.first.weight.data *= torch.rand_like(net.first.weight) > 0.5
    return net.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(48, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def step_of(graph: Graph) -> float:
    return graph.activations[graph.output].scale


def test_without_training_the_network_is_the_same(net: Net, x: Tensor) -> None:
    plain, tuned = lower(net, [x]), lower(net, [x], tune=lambda rounding: None)
    assert torch.equal(plain(x), tuned(x))


@pytest.mark.parametrize(("bits", "same"), [(8, 0.9), (4, 0.7), (2, 0.7)])
def test_network_that_trains_rounds_as_the_integer_one_does(net: Net, x: Tensor, bits: int, same: float) -> None:
    """Within two steps of the last layer; one step of the first is more of them where weights are coarse."""
    net.weight_bits = bits
    seen: list[Tensor] = []
    graph = lower(net, [x], tune=lambda rounding: seen.append(rounding(x).detach()))
    steps = (graph(x) - seen[0]).abs() / step_of(graph)
    assert steps.max() <= 2
    assert (steps < 0.5).float().mean() > same


def test_weights_are_quantized_as_training_left_them(net: Net, x: Tensor) -> None:
    def tune(rounding: nn.Module) -> None:
        rounding(x)
        for parameter in rounding.parameters():
            parameter.data *= 3

    before, after = lower(net, [x]), lower(net, [x], tune=tune)
    one, other = before.operators[0], after.operators[0]
    assert torch.equal(one.weight, other.weight)
    assert torch.allclose(3 * one.weight_scale, other.weight_scale)


@pytest.mark.parametrize(("bits", "largest"), [(4, 7), (2, 1)])
def test_few_bits_keep_their_scale_while_weights_train(net: Net, x: Tensor, bits: int, largest: int) -> None:

    def tune(rounding: nn.Module) -> None:
        rounding(x)
        for parameter in rounding.parameters():
            parameter.data *= 10

    net.weight_bits = bits
    before, after = lower(net, [x]).operators[-1], lower(net, [x], tune=tune).operators[-1]
    assert torch.equal(before.weight_scale, after.weight_scale)
    assert torch.equal(
        after.weight, (10 * net.head.weight / before.weight_scale[:, None]).round().clamp(-largest, largest)
    )


def test_batches_of_any_size_train(net: Net, x: Tensor) -> None:
    sizes: list[torch.Size] = []
    lower(net, [x], tune=lambda rounding: sizes.extend(rounding.train()(x[:count]).shape for count in (2, 5, 48)))
    assert sizes == [(2, 3), (5, 3), (48, 3)]


def test_training_reduces_the_error_of_the_integer_network(net: Net, x: Tensor) -> None:
    """Towards a target that no rounding was made for: the integer network must follow."""
    target = torch.stack([x.mean((1, 2, 3)), x[:, 0].mean((1, 2)), x[:, 1].amax((1, 2)) / 4], 1)

    def tune(rounding: nn.Module) -> None:
        optimizer = torch.optim.Adam(rounding.parameters(), 3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            F.mse_loss(rounding(x), target).backward()
            optimizer.step()

    before, after = (F.mse_loss(lower(net, [x], tune=how)(x), target) for how in (None, tune))
    assert after < 0.5 * before


def test_network_itself_is_left_as_it_was(net: Net, x: Tensor) -> None:
    before = copy.deepcopy(net.state_dict())

    def tune(rounding: nn.Module) -> None:
        for parameter in rounding.parameters():
            parameter.data += 1

    lower(net, [x], tune=tune)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_zeros_stay_zeros(net: Net, x: Tensor) -> None:
    def tune(rounding: nn.Module) -> None:
        settle = settling(rounding)
        for step in (1, 2, 3):
            for parameter in rounding.parameters():
                parameter.data += 0.1
            settle(step, 3)

    graph = lower(net, [x], tune=tune)
    first = graph.operators[0].weight
    assert first is not None
    assert torch.equal(first == 0, net.first.weight == 0)


@pytest.mark.parametrize(("steps", "mean"), [(1, 1.0), (8, 8.0), (16, 15.5), (31, 30.0)])
def test_training_ends_at_the_mean_of_its_last_eighth(steps: int, mean: float) -> None:
    """The weight is the number of the step: of 31 an eighth is three, 29 to 31."""
    layer = nn.Linear(1, 1)
    settle = settling(layer)
    for step in range(1, steps + 1):
        layer.weight.data[:], layer.bias.data[:] = step, -step
        settle(step, steps)
        assert step == steps or layer.weight.item() == step  # until then it is left as it is
    assert layer.weight.item() == pytest.approx(mean)
    assert layer.bias.item() == pytest.approx(-mean)
