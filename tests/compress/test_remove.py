import copy

import numpy as np
import pytest
import torch
from problems.modules import Calls
from torch import Tensor, nn

from sparsemod.compress.remove import epochs_before_removal, importance, remove_channels
from sparsemod.graph.channels import channels


def perceptron() -> nn.Sequential:
    """Three units that matter more and more: 1, 2, 3 as they are made and 1, 1, 4 as they are read."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[0].weight.data = torch.tensor([[0.5, -0.5], [1.0, 1.0], [0.0, -3.0]])
    network[1].weight.data = torch.tensor([[1.0, -1.0, 4.0]])
    return network


def test_importance_adds_magnitudes_in_units_of_their_mean() -> None:
    found = channels(perceptron(), (2,))
    [made] = [axis.labels for axis in found.axes if axis.ranked and axis.axis == 0 and len(axis.labels) == 3]
    np.testing.assert_allclose(importance(found)[made], [1 / 2 + 1 / 2, 2 / 2 + 1 / 2, 3 / 2 + 4 / 2])


def test_least_important_unit_goes_first() -> None:
    network = perceptron()
    remove_channels(network, (2,), 1 / 3)
    assert network[0].weight.tolist() == [[1, 1], [0, -3]]
    assert network[1].weight.tolist() == [[-1, 4]]
    remove_channels(network, (2,), 1 / 2)
    assert network[0].weight.tolist() == [[0, -3]]


def test_factor_of_the_batch_norm_counts_and_goes_along() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    for parameter in (network[0].weight, network[3].weight):
        nn.init.ones_(parameter)
    network[1].weight.data = torch.tensor([1.0, -0.5, 2.0])
    network[1].running_mean = torch.tensor([10.0, 20.0, 30.0])
    remove_channels(network, (1, 1, 1), 1 / 3)
    assert network[1].weight.tolist() == [1, 2]
    assert network[1].running_mean.tolist() == [10, 30]


def test_both_sides_of_an_addition_are_asked() -> None:
    def forward(x: Tensor, one: nn.Module, other: nn.Module, head: nn.Module) -> Tensor:
        return head(one(x) + other(x))

    network = Calls(forward, *(nn.Linear(1, 2, bias=False) for _ in range(2)), nn.Linear(2, 1))
    one, other, head = (part.weight for part in network.parts)
    one.data, other.data, head.data = torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [9.0]]), torch.ones(1, 2)
    remove_channels(network, (1,), 0.5)
    assert (one.tolist(), other.tolist()) == ([[1]], [[9]])


def test_inputs_of_a_grouped_convolution_are_asked_group_by_group() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1, groups=2), nn.Flatten(), nn.Linear(2, 2))
    nn.init.ones_(network[0].weight)
    network[1].weight.data = torch.tensor([[1.0, 5.0], [7.0, 3.0]]).reshape(2, 2, 1, 1)
    remove_channels(network, (1, 1, 1), 0.5)
    assert network[1].weight.flatten().tolist() == [5, 7]


def test_network_without_channels_to_remove_is_left_alone() -> None:
    network = nn.Linear(3, 2)
    before = copy.deepcopy(network.state_dict())
    remove_channels(network, (3,), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_of_zero_have_no_importance() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    assert np.isfinite(importance(channels(network, (2,)))).all()


@pytest.mark.parametrize(("epochs", "before"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (10, 3), (15, 5)])
def test_a_third_of_the_epochs_comes_before_the_removal(epochs: int, before: int) -> None:
    assert epochs_before_removal(epochs) == before
