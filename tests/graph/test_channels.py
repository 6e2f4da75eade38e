import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from problems.modules import Calls, block, evaluated
from problems.random_networks import Random
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible
from sparsemod.graph import trace
from sparsemod.graph.channels import channels, remove
from sparsemod.spaces import cnn


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """Of the weights, in order."""
    return [tuple(weight.shape) for weight in network.parameters() if weight.dim() > 1]


def cut(network: nn.Module, shape: tuple[int, ...], share: float = 0.5) -> nn.Module:
    """The network without some channels, which still works on inputs of its shape."""
    found = channels(network, shape)
    remove(network, found, found.removed(share))
    network.eval()(torch.zeros(3, *shape))
    return network


def pooled(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


# --- what goes together ----------------------------------------------------------------------------------------------


def test_channel_takes_its_norm_and_its_readers_along_and_inputs_and_outputs_stay() -> None:
    network = nn.Sequential(*block(3, 8), nn.Flatten(), nn.Linear(8 * 16, 10), nn.ReLU(), nn.Linear(10, 5))
    assert shapes(cut(network, (3, 6, 6))) == [(4, 3, 3, 3), (5, 4 * 16), (5, 5)]
    assert [len(value) for value in network[1].state_dict().values() if value.dim()] == [4] * 4
    told = network[0].out_channels, network[1].num_features, network[4].in_features, network[4].out_features
    assert told == (4, 4, 64, 5)


def test_both_sides_of_an_addition_lose_the_same_channels() -> None:
    def forward(x: Tensor, first: nn.Module, second: nn.Module, head: nn.Module) -> Tensor:
        y = first(x)
        return head(pooled(y + second(y)))

    network = Calls(forward, block(1, 8), block(8, 8, padding=1), nn.Linear(8, 3))
    found = channels(network, (1, 6, 6))
    assert len(set(found.group[found.group >= 0])) == 1
    assert shapes(cut(network, (1, 6, 6), 0.25)) == [(6, 1, 3, 3), (6, 6, 3, 3), (3, 6)]


def test_chain_of_additions_is_one_group() -> None:
    def forward(x: Tensor, stem: nn.Module, *rest: nn.Module) -> Tensor:
        x = stem(x)
        for layer in rest[:-1]:
            x = F.relu(x + layer(x))
        return rest[-1](pooled(x))

    parts = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(5)]
    network = Calls(forward, nn.Conv2d(2, 4, 1), *parts, nn.Linear(4, 2))
    assert shapes(cut(network, (2, 5, 5))) == [(2, 2, 1, 1), *[(2, 2, 3, 3)] * 5, (2, 2)]


def test_each_part_of_a_concatenation_loses_its_own_share() -> None:
    def forward(x: Tensor, first: nn.Module, second: nn.Module, third: nn.Module, head: nn.Module) -> Tensor:
        return head((torch.cat([first(x), second(x)], 1) + third(x)).flatten(1))

    network = Calls(forward, nn.Conv2d(1, 8, 3), nn.Conv2d(1, 2, 3), nn.Conv2d(1, 10, 3), nn.Linear(10 * 4, 3))
    for weight in (network.parts[1].weight, network.parts[2].weight[:8]):
        weight.data.mul_(100)  # whatever the weights are
    assert shapes(cut(network, (1, 4, 4))) == [(4, 1, 3, 3), (1, 1, 3, 3), (5, 1, 3, 3), (3, 5 * 4)]


def test_depthwise_layer_goes_with_what_it_reads() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3, groups=3),  # of the input, which stays
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, 3, groups=8),  # two outputs for each channel
        nn.Conv2d(16, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    cut(network, (3, 8, 8))
    assert shapes(network) == [(3, 1, 3, 3), (4, 3, 1, 1), (8, 1, 3, 3), (2, 8, 1, 1), (2, 2)]
    assert (network[3].groups, network[3].in_channels, network[3].out_channels) == (4, 4, 8)


def test_every_group_of_a_convolution_loses_as_many_channels() -> None:
    network = nn.Sequential(nn.Conv2d(1, 12, 3), nn.Conv2d(12, 6, 3, groups=3), nn.Flatten(), nn.Linear(6 * 4, 2))
    assert shapes(cut(network, (1, 6, 6))) == [(6, 1, 3, 3), (3, 2, 3, 3), (2, 3 * 4)]
    assert (network[1].groups, network[1].in_channels) == (3, 6)


def test_groups_that_would_lose_different_numbers_lose_none() -> None:
    def forward(x: Tensor, one: nn.Module, other: nn.Module, grouped: nn.Module, head: nn.Module) -> Tensor:
        return head(grouped(torch.cat([one(x), other(x)], 1)).flatten(1))

    network = Calls(forward, nn.Conv2d(1, 5, 3), nn.Conv2d(1, 3, 3), nn.Conv2d(8, 4, 1, groups=2), nn.Linear(16, 2))
    # The first group reads four channels of one layer, the second its last and all of the other: 2 and 0 + 1 would go.
    assert shapes(cut(network, (1, 4, 4), 0.4)) == [(5, 1, 3, 3), (3, 1, 3, 3), (2, 4, 1, 1), (2, 8)]


def test_squeeze_and_excitation_goes_along() -> None:
    def forward(x: Tensor, conv: nn.Module, down: nn.Module, up: nn.Module, head: nn.Module) -> Tensor:
        y = F.relu(conv(x))
        gate = torch.sigmoid(up(F.relu(down(y.mean((2, 3))))))
        return head((y * gate[:, :, None, None]).mean((2, 3)))

    network = Calls(forward, nn.Conv2d(1, 8, 3), nn.Linear(8, 4), nn.Linear(4, 8), nn.Linear(8, 3))
    assert shapes(cut(network, (1, 6, 6))) == [(4, 1, 3, 3), (2, 4), (4, 2), (3, 4)]


def test_layer_that_is_called_twice_is_cut_once() -> None:
    def forward(x: Tensor, stem: nn.Module, twice: nn.Module, head: nn.Module) -> Tensor:
        return head(pooled(twice(F.relu(twice(stem(x))))))

    network = Calls(forward, nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 2))
    assert shapes(cut(network, (1, 6, 6))) == [(3, 1, 3, 3), (3, 3, 3, 3), (2, 3)]


def test_layer_norm_over_features_goes_along() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    assert shapes(cut(network, (4,))) == [(4, 4), (3, 4)]
    assert network[1].normalized_shape == (4,)


def test_signals_are_cut_as_images_are() -> None:
    network = nn.Sequential(nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6 * 3, 2))
    assert shapes(cut(network, (2, 8))) == [(3, 2, 3), (2, 3 * 3)]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_units_of_a_recurrent_layer_go_in_all_gates_layers_and_directions(kind: type[nn.RNNBase]) -> None:
    def forward(x: Tensor, embed: nn.Module, layer: nn.Module, head: nn.Module) -> Tensor:
        return head(layer(embed(x))[0][:, -1])

    recurrent = kind(4, 8, num_layers=2, bidirectional=True, batch_first=True)
    network = Calls(forward, nn.Embedding(9, 4), recurrent, nn.Linear(16, 3))
    found = channels(network, (5,))
    remove(network, found, found.removed(0.5))
    gates = 4 if kind is nn.LSTM else 3
    first, second = [(gates * 4, 2), (gates * 4, 4)], [(gates * 4, 8), (gates * 4, 4)]
    assert shapes(network) == [(9, 2), *first, *first, *second, *second, (3, 8)]
    assert (recurrent.input_size, recurrent.hidden_size, network.parts[0].embedding_dim) == (2, 4, 2)
    assert network(torch.zeros(3, 5, dtype=torch.int64)).shape == (3, 3)


def test_units_may_be_read_as_last_states() -> None:
    network = Calls(lambda x, gru, head: head(gru(x)[1][-1]), nn.GRU(4, 8, 2, batch_first=True), nn.Linear(8, 3))
    assert shapes(cut(network, (5, 4)))[-2:] == [(12, 4), (3, 4)]


def test_units_that_are_read_in_another_way_stay() -> None:
    network = Calls(lambda x, gru, head: head(gru(x)[1].sum(0)), nn.GRU(4, 8, 2, batch_first=True), nn.Linear(8, 3))
    assert shapes(cut(network, (5, 4)))[-2:] == [(24, 8), (3, 8)]


def test_steps_of_two_sequences_may_stand_one_behind_the_other() -> None:
    def forward(x: Tensor, one: nn.Module, other: nn.Module, last: nn.Module, head: nn.Module) -> Tensor:
        return head(last(torch.cat([one(x)[0], other(x)[0]], 1))[0][:, -1])

    layers = [nn.GRU(size, 6, batch_first=True) for size in (2, 2, 6)]
    found = channels(network := Calls(forward, *layers, nn.Linear(6, 3)), (4, 2))
    assert len(set(found.group[found.group >= 0])) == 2  # the first two layers share one
    cut(network, (4, 2))
    assert [layer.hidden_size for layer in layers] == [3, 3, 3]


# --- what stays ------------------------------------------------------------------------------------------------------


def test_channels_that_the_program_picks_by_number_stay() -> None:
    network = Calls(lambda x, conv, head: head(pooled(conv(x)[:, 2:6])), nn.Conv2d(1, 8, 3), nn.Linear(4, 2))
    assert shapes(cut(network, (1, 4, 4))) == [(8, 1, 3, 3), (2, 4)]


def test_every_other_pixel_may_be_picked() -> None:
    network = Calls(lambda x, conv, head: head(pooled(conv(x)[:, :, ::2])), nn.Conv2d(1, 8, 3), nn.Linear(8, 2))
    assert shapes(cut(network, (1, 6, 6))) == [(4, 1, 3, 3), (2, 4)]


def test_what_passes_an_unknown_call_stays() -> None:
    network = Calls(lambda x, conv, last, head: head(last(conv(x).cumsum(1)).flatten(1)),
                    nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3), nn.Linear(16, 2))  # fmt: skip
    assert shapes(cut(network, (1, 6, 6))) == [(8, 1, 3, 3), (2, 8, 3, 3), (2, 8)]


def test_network_of_one_layer_has_nothing_to_remove() -> None:
    assert shapes(cut(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (1, 2, 2))) == [(3, 4)]
    assert shapes(cut(nn.Sequential(nn.Flatten()), (1, 2, 2))) == []


# --- how many, and which ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "share", "left"),
    [(8, 0.0, 8), (8, 0.05, 8), (8, 0.07, 7), (8, 0.5, 4), (8, 0.99, 1), (3, 0.5, 1), (2, 0.9, 1), (1, 0.9, 1)],
)
def test_share_is_rounded_and_one_channel_stays(width: int, share: float, left: int) -> None:
    network = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
    assert shapes(cut(network, (4,), share)) == [(left, 4), (3, left)]


def test_least_important_channels_go_and_of_equal_ones_the_first() -> None:
    network = nn.Sequential(nn.Linear(1, 4, bias=False), nn.Linear(4, 2))
    network[0].weight.data = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    found = channels(network, (1,))
    importance = np.full(len(found.group), 5.0)
    importance[found.axes[0].labels[2]] = 1.0
    remove(network, found, found.removed(0.5, importance))
    assert network[0].weight.flatten().tolist() == [2, 4]


def test_network_trains_on_after_the_removal() -> None:
    network = nn.Sequential(*block(1, 8), nn.Flatten(), nn.Linear(8 * 16, 3))
    network(torch.randn(4, 1, 6, 6)).sum().backward()  # gradients of the old shapes
    found = channels(network, (1, 6, 6))
    remove(network, found, found.removed(0.5))
    network.train()(torch.randn(4, 1, 6, 6)).sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.shape == parameter.shape


def test_input_that_does_not_fit_is_said() -> None:
    with pytest.raises(Infeasible, match="cannot process an input of 5"):
        channels(nn.Linear(4, 2), (5,))


# --- random networks -------------------------------------------------------------------------------------------------


def without_readers(network: nn.Module, gone: NDArray[np.bool_], shape: tuple[int, ...]) -> nn.Module:
    """The network with its old widths, in which nothing reads the channels that go."""
    whole = copy.deepcopy(network)
    with torch.no_grad():
        for axis in channels(whole, shape).axes:
            if axis.axis == 1:
                columns = torch.from_numpy(gone[axis.labels].reshape(axis.groups, -1))
                for rows, unread in zip(axis.tensor.chunk(axis.groups), columns, strict=True):
                    rows[:, unread] = 0
    return whole


def agrees(network: nn.Module, x: Tensor, share: float, rng: np.random.Generator) -> int:
    """How many channels went; what is left computes what the whole network does without them."""
    shape = tuple(x.shape[1:])
    found = channels(network, shape)
    gone = found.removed(share, rng.random(len(found.group)))
    with torch.no_grad():
        expected = without_readers(network, gone, shape).eval()(x)
        remove(network, found, gone)
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-4, atol=1e-5)
    return int(gone.sum())


def test_rest_of_a_random_member_computes_what_it_computed() -> None:
    space, rng, gone = cnn.space(filters=(1, 20), fc_units=(4, 30)), np.random.default_rng(0), 0
    for _ in range(20):
        try:
            network = evaluated(cnn.build(space.sample(rng), (3, 16, 16), 10))
        except Infeasible:
            continue
        for weight in network.parameters():
            if weight.dim() > 1:
                nn.init.kaiming_normal_(weight)
        gone += agrees(network, torch.randn(2, 3, 16, 16), 0.4, rng)
    assert gone > 150


def test_rest_of_a_random_network_of_every_operator_computes_what_it_computed() -> None:
    rng, gone = np.random.default_rng(0), 0
    for seed in range(80):
        network = Random(seed, sequence=(None, True)[seed % 2])
        if any(isinstance(part, nn.LayerNorm | nn.Softmax) for part in network.modules()):
            continue  # each element depends on how many there are
        network.softmax = False
        gone += agrees(network, network.inputs(2), 0.5, rng)
        trace(network, network.shape)
    assert gone > 25


def test_structure_is_the_same_without_values() -> None:
    space, rng = cnn.space(), np.random.default_rng(1)
    for _ in range(20):
        member = space.sample(rng)
        built = []
        for device in ("meta", "cpu"):
            try:
                with torch.device(device):
                    built.append(cnn.build(member, (3, 16, 16), 10))
            except Infeasible:
                break
        if len(built) < 2:
            continue
        for network in built:
            found = channels(network, (3, 16, 16))
            remove(network, found, found.removed(0.5, None if network is built[0] else rng.random(len(found.group))))
        assert [tensor.shape for tensor in built[0].state_dict().values()] == [
            tensor.shape for tensor in built[1].state_dict().values()
        ]
