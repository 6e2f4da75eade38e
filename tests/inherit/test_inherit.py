from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsemod.errors import Infeasible
from sparsemod.inherit import inherit
from sparsemod.problem import Morphism
from sparsemod.space import Parameters
from sparsemod.spaces import cnn

SPACE = cnn.space(filters=(1, 16), kernel=(2, 7), fc_units=(4, 24))
SHAPE, CLASSES = (2, 9, 8), 5
PAIRS = 50


def built(parameters: Parameters, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return cnn.build(parameters, SHAPE, CLASSES)


def trained(parameters: Parameters, seed: int) -> nn.Module:
    """A network as training may leave it: no weight, bias or statistic is at its start."""
    network = built(parameters, seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.3, 3)
                module.weight.uniform_(-1, 2)
                module.bias.normal_(0, 0.5)
                module.num_batches_tracked.fill_(7)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5)
    return network.eval()


def skips(network: nn.Module) -> list[type]:
    return [type(block.skip) for block in network.blocks]


def families(
    morphism: Morphism, grows: tuple[str, ...]
) -> Iterator[tuple[Parameters, Parameters, nn.Module, nn.Module]]:
    """Random parents, children that the morphism grew in one of the parameters, and the networks of both.

    A skip connection that turns from the identity to a convolution or back changes the function: such pairs are left
    out.
    """
    rng = np.random.default_rng(0)
    found = 0
    while found < PAIRS:
        parent = SPACE.sample(rng)
        child = morphism(parent, SPACE, rng)
        if child is None or not any(
            child.get(name, 0) > parent.get(name, 0) for name in parent if name.endswith(grows)
        ):
            continue
        try:
            networks = trained(parent, found), built(child, found + 1).eval()
        except Infeasible:
            continue
        kinds = zip(*map(skips, networks), strict=True)
        if all(old is new or (old, new) == (type(None), nn.Conv2d) for old, new in kinds):
            yield parent, child, *networks
            found += 1


def images() -> Tensor:
    return torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


# --- growth keeps the function ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("morphism", "grows"),
    [
        (cnn.filters, ("_filters",)),
        (cnn.kernel, ("_kernel",)),
        (cnn.layers, ("_layers",)),
        (cnn.fc_units, ("_units",)),
        (cnn.connection, ("_skip",)),
    ],
)
@torch.no_grad()
def test_grown_child_computes_what_its_parent_does(morphism: Morphism, grows: tuple[str, ...]) -> None:
    for parent, child, old, new in families(morphism, grows):
        inherit(new, old.state_dict())
        expected = old(images())
        tolerance = 1e-5 * max(1, expected.abs().max().item())
        assert torch.allclose(new(images()), expected, rtol=0, atol=tolerance), (parent, child)


@torch.no_grad()
def test_child_with_one_more_equal_fc_layer_computes_what_its_parent_does() -> None:
    space = cnn.space(blocks=1, layers=1, filters=(1, 8), fc_layers=3, fc_units=(4, 24))
    rng, found = np.random.default_rng(0), 0
    while found < PAIRS:
        parent = space.sample(rng)
        child = cnn.fc_layers(parent, space, rng)
        if child is None or not child["fc_layers"] > parent["fc_layers"] > 0:
            continue
        old, new = trained(parent, found), built(child, found + 1).eval()
        inherit(new, old.state_dict())
        assert torch.allclose(new(images()), old(images()), rtol=0, atol=1e-5), (parent, child)
        found += 1


@torch.no_grad()
def test_every_change_of_a_kernel_between_even_and_odd_keeps_the_function() -> None:
    base = {
        **{"blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 3, "b1_stride": 1, "b1_skip": False},
        **{"b1_pool": False, "global_pool": False, "fc_layers": 0, "dropout": 0.0},
    }
    for small in range(1, 7):
        for large in range(small + 1, 8):
            old, new = trained({**base, "b1_l1_kernel": small}, 0), built({**base, "b1_l1_kernel": large}, 1).eval()
            inherit(new, old.state_dict())
            assert torch.allclose(new(images()), old(images()), rtol=0, atol=1e-5), (small, large)


@torch.no_grad()
def test_child_equal_to_its_parent_in_all_shapes_is_its_copy() -> None:
    parameters = SPACE.sample(np.random.default_rng(3))
    old, new = trained(parameters, 0), built(parameters, 1)
    inherit(new, old.state_dict())
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in new.state_dict().items())


# --- any child of any parent -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_any_member_can_inherit_from_any_other() -> None:
    rng, pairs = np.random.default_rng(0), 0
    while pairs < 200:
        try:
            old, new = trained(SPACE.sample(rng), pairs), built(SPACE.sample(rng), pairs).eval()
        except Infeasible:
            continue
        before = {name: value.clone() for name, value in old.state_dict().items()}
        inherit(new, old.state_dict())
        assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())
        assert torch.isfinite(new(images())).all()
        pairs += 1


def test_training_the_child_leaves_the_parents_tensors_alone() -> None:
    old, new = nn.Linear(2, 2), nn.Linear(2, 2)
    weights = old.state_dict()
    before = weights["weight"].clone()
    inherit(nn.Sequential(new), {f"0.{name}": value for name, value in weights.items()})
    new.weight.data += 1
    assert torch.equal(weights["weight"], before)


# --- by hand ---------------------------------------------------------------------------------------------------------


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    layer.bias.data = torch.arange(1.0, len(rows) + 1)
    return layer


def test_shrinking_keeps_the_first_outputs_and_inputs() -> None:
    child = nn.Linear(2, 1)
    inherit(nn.Sequential(child), nn.Sequential(linear([1.0, 2, 3], [4, 5, 6])).state_dict())
    assert child.weight.tolist() == [[1, 2]]
    assert child.bias.tolist() == [1]


def test_new_inputs_weigh_nothing_and_new_outputs_start_at_random() -> None:
    child = linear([9.0, 9, 9], [9, 9, 9], [9, 9, 9])
    inherit(nn.Sequential(child), nn.Sequential(linear([1.0, 2], [3, 4])).state_dict())
    assert child.weight.tolist() == [[1, 2, 0], [3, 4, 0], [9, 9, 9]]
    assert child.bias.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (3, 3, [1, 2, 3]),
        (3, 5, [0, 1, 2, 3, 0]),
        (2, 3, [0, 1, 2]),
        (3, 4, [1, 2, 3, 0]),
        (1, 2, [1, 0]),
        (5, 3, [2, 3, 4]),
        (3, 2, [2, 3]),
        (4, 3, [1, 2, 3]),
        (5, 2, [3, 4]),
    ],
)
def test_kernels_share_the_tap_on_the_output_position(old: int, new: int, expected: list[float]) -> None:
    """Which is tap (size - 1) // 2, from 0."""
    parent, child = nn.Conv1d(1, 1, old), nn.Conv1d(1, 1, new)
    parent.weight.data = torch.arange(1.0, old + 1).reshape(1, 1, old)
    inherit(nn.Sequential(child), nn.Sequential(parent).state_dict())
    assert child.weight.flatten().tolist() == expected


def test_statistics_of_batch_norm_are_inherited() -> None:
    parent, child = nn.BatchNorm2d(2), nn.BatchNorm2d(3)
    parent.running_mean, parent.num_batches_tracked = torch.tensor([5.0, 6]), torch.tensor(7)
    inherit(nn.Sequential(child), nn.Sequential(parent).state_dict())
    assert child.running_mean.tolist() == [5, 6, 0]
    assert child.num_batches_tracked == 7


def test_names_that_the_child_lacks_are_ignored() -> None:
    child = linear([1.0])
    inherit(nn.Sequential(child), {"7.weight": torch.zeros(1, 1), "strange": torch.zeros(3), "0.gain": torch.zeros(1)})
    assert child.weight.tolist() == [[1]]


def test_tensors_of_another_rank_are_skipped() -> None:
    child = nn.Conv2d(1, 1, 3)
    before = child.weight.clone()
    inherit(nn.Sequential(child), nn.Sequential(linear([5.0])).state_dict())
    assert torch.equal(child.weight, before)
    assert child.bias.tolist() == [1]  # of equal rank


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 4),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv1d(4, 4, 1),
        nn.BatchNorm2d(4),
    ],
    ids=repr,
)
@torch.no_grad()
def test_square_layer_that_the_parent_lacks_passes_its_input_on(layer: nn.Module) -> None:
    inherit(nn.Sequential(layer.eval()), {})
    shape = {nn.Linear: (2, 4), nn.Conv1d: (2, 4, 5)}.get(type(layer), (2, 4, 5, 5))
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 4, 1, stride=2)], ids=repr)
def test_other_layer_that_the_parent_lacks_stays_as_it_was_built(layer: nn.Module) -> None:
    before = layer.weight.clone()
    inherit(nn.Sequential(layer), {})
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_wider_recurrent_network_computes_what_its_parent_does(kind: type) -> None:
    """More features of the embedding, more units, and gates that stay what they were."""

    class Reads(nn.Module):
        def __init__(self, features: int, units: int) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, features), nn.Linear(units, 3)
            self.rnn = kind(features, units, num_layers=2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embedding(x))[0][:, -1])

    torch.manual_seed(0)
    parent, child, x = Reads(3, 4), Reads(5, 7), torch.randint(9, (8, 6))
    inherit(child, parent.state_dict())
    assert torch.allclose(child(x), parent(x), atol=1e-6)
    assert child.embedding.weight[:, 3:].all()
    inherit(Reads(2, 3), parent.state_dict())
