import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sparsemod.compress.prune import PruningRamp, prunable
from sparsemod.graph.pattern import Pattern


def network(seed: int = 0) -> nn.Sequential:
    """72 + 32 weights that can be pruned."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def thousand() -> nn.Linear:
    """One layer of weights 1, 2, ... 1000."""
    layer = nn.Linear(1000, 1, bias=False)
    layer.weight.data = torch.arange(1.0, 1001).reshape(1, 1000)
    return layer


def zeros(module: nn.Module) -> int:
    return sum(int((weight == 0).sum()) for weight in prunable(module))


def trained(module: nn.Module, ramp: PruningRamp, steps: int) -> list[int]:
    """Zeros after each step of a training on noise."""
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    rng, counts = torch.Generator().manual_seed(0), []
    for step in range(1, steps + 1):
        loss = F.cross_entropy(module(torch.randn(16, 1, 6, 6, generator=rng)), torch.arange(16) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ramp(step, steps)
        counts.append(zeros(module))
    return counts


@pytest.mark.parametrize(("sparsity", "expected"), [(0.1, 10), (0.5, 52), (0.75, 78), (0.9, 94), (0.99, 103)])
def test_target_is_reached_exactly(sparsity: float, expected: int) -> None:
    module = network()
    trained(module, PruningRamp(module, sparsity), steps=40)
    assert zeros(module) == expected  # of 104, rounded


def test_smallest_weights_of_all_layers_together_are_pruned() -> None:
    module = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 3, bias=False))
    module[0].weight.data = torch.tensor([[0.5, -0.1, 3.0]])
    module[1].weight.data = torch.tensor([[-0.2], [4.0], [-5.0]])
    PruningRamp(module, 0.5)(1, 1)
    assert module[0].weight.tolist() == [[0, 0, 3]]
    assert module[1].weight.flatten().tolist() == [0, 4, -5]


def test_classifier_is_pruned_too_and_biases_and_norms_are_not() -> None:
    module = network()
    module[-1].weight.data *= 1e-3
    before = {name: value.clone() for name, value in module.state_dict().items()}
    PruningRamp(module, 0.4)(1, 1)
    assert int((module[-1].weight == 0).sum()) == 32
    kept = [name for name, value in module.state_dict().items() if value.dim() < 2]
    assert kept == [
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "5.bias",
    ]
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in kept)


def test_sparsity_rises_along_a_cubic_and_then_stays() -> None:
    layer = thousand()
    ramp = PruningRamp(layer, 0.8)
    counts = []
    for step in range(1, 41):  # it rises over the first 30
        ramp(step, 40)
        counts.append(zeros(layer))
    assert counts == sorted(counts)
    # 800 * (1 - (1 - t)^3) at t = 1/30, 1/3, 1/2, 1
    assert [counts[step - 1] for step in (1, 10, 15, 30, 40)] == [77, 563, 700, 800, 800]


def test_pruned_weights_stay_zero_while_training_goes_on() -> None:
    module = network()
    ramp = PruningRamp(module, 0.5)
    trained(module, ramp, steps=8)
    masks = [weight == 0 for weight in prunable(module)]
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    for step in range(7, 9):  # after the ramp, which ends at step 6 of 8
        module(torch.ones(2, 1, 6, 6)).sum().backward()
        optimizer.step()
        ramp(step, 8)
        assert all(torch.equal(weight == 0, mask) for weight, mask in zip(prunable(module), masks, strict=True))


def test_zero_prunes_nothing() -> None:
    module = network()
    before = [weight.clone() for weight in prunable(module)]
    ramp = PruningRamp(module, 0.0)
    for step in range(1, 5):
        ramp(step, 4)
    assert all(torch.equal(weight, old) for weight, old in zip(prunable(module), before, strict=True))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_shortest_training_still_reaches_the_target(steps: int) -> None:
    module = network()
    assert trained(module, PruningRamp(module, 0.5), steps)[-1] == 52


def test_long_training_reaches_the_target_and_chooses_weights_anew_only_now_and_then() -> None:
    layer = thousand()
    ramp = PruningRamp(layer, 0.5)
    counts = []
    for step in range(1, 1001):
        ramp(step, 1000)
        counts.append(zeros(layer))
    assert counts[-1] == 500
    assert len(set(counts)) <= 51


@pytest.mark.parametrize("sparsity", [1.0, -0.1, 1.5, float("nan")])
def test_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(ValueError, match=f"^sparsity {sparsity} must be at least 0 and below 1$"):
        PruningRamp(network(), sparsity)


def test_network_without_weights_is_left_alone() -> None:
    module = nn.BatchNorm1d(3)
    PruningRamp(module, 0.5)(1, 1)
    assert module.weight.tolist() == [1, 1, 1]


def test_all_weights_but_one_may_go() -> None:
    layer = thousand()
    PruningRamp(layer, 0.999)(1, 1)
    assert torch.count_nonzero(layer.weight) == 1
    assert layer.weight[0, -1] == 1000


# --- patterns --------------------------------------------------------------------------------------------------------


def groups_of_four(weight: torch.Tensor) -> torch.Tensor:
    """How many of each four inputs have a weight, per output and tap."""
    return torch.stack([(part != 0).sum(1) for part in weight.split(4, 1)])


@pytest.mark.parametrize("most", [1, 2])
def test_no_group_has_more_weights_than_the_pattern_allows(most: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 10, 3), nn.Conv2d(10, 6, 3), nn.Flatten(), nn.Linear(24, 4))
    trained(module, PruningRamp(module, 0.0, Pattern(most, 4)), steps=20)
    assert int((module[0].weight == 0).sum()) == 0  # rows of one
    first, second, rest = groups_of_four(module[1].weight)  # of 4, 4 and 2 inputs
    assert {int(count) for part in (first, second, rest) for count in part.flatten()} == {most}
    assert groups_of_four(module[3].weight).unique().tolist() == [most]


def test_zeros_of_a_pattern_rise_along_the_ramp() -> None:
    layer, counts = thousand(), []
    ramp = PruningRamp(layer, 0.9, Pattern(2, 4))  # of which the share says nothing
    for step in range(1, 41):
        ramp(step, 40)
        counts.append(zeros(layer))
    assert [counts[step - 1] for step in (10, 15, 30, 40)] == [352, 438, 500, 500]  # 500 * (1 - (1 - t)^3)
    assert layer.weight[0, :4].tolist() == [0, 0, 3, 4]
