import copy
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sparsemod.errors import Infeasible
from sparsemod.graph import Graph, trace
from sparsemod.problem import Morphism
from sparsemod.space import Choice, Parameters, SearchSpace, Value
from sparsemod.spaces import cnn

SPACE = cnn.space()
SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 28)]
MEMBERS = 300

# One 3 x 3 convolution from 1 to 4 channels on 8 x 8, pooling to 4 x 4, 64 features to 16 units to 10 classes.
BY_HAND: Parameters = {
    **{"blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3},
    **{"b1_stride": 1, "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2, "global_pool": False},
    **{"fc_layers": 1, "fc1_units": 16, "dropout": 0.2, "learning_rate": 0.01, "learning_gamma": 0.5},
    **{"learning_step": 3, "batch_size": 32, "prune_threshold": 0.5},
}


def members(space: SearchSpace = SPACE, count: int = MEMBERS) -> Iterator[dict[str, Value]]:
    rng = np.random.default_rng(0)
    return (space.sample(rng) for _ in range(count))


def traced(parameters: Parameters, shape: tuple[int, ...] = (1, 8, 8), classes: int = 10) -> Graph:
    with torch.device("meta"):
        network = cnn.build(parameters, shape, classes)
    return trace(network, shape)


def macs(**changes: Value) -> list[int]:
    """MACs of each layer of the network computed by hand, with some parameters changed."""
    graph = traced({**BY_HAND, **changes})
    return [operator.macs for operator in graph.operators if operator.weight is not None]


def kinds(**changes: Value) -> list[str]:
    return [operator.kind for operator in traced({**BY_HAND, **changes}).operators]


# --- the space -------------------------------------------------------------------------------------------------------


def test_bounds_are_those_of_sparse_unless_given() -> None:
    assert str(SPACE["blocks"]) == "a whole number from 1 to 2"
    assert str(SPACE["b2_layers"]) == "a whole number from 1 to 3"
    assert str(SPACE["b2_l3_filters"]) == "a whole number from 1 to 100"
    assert str(SPACE["b1_l1_kernel"]) == "a whole number from 2 to 5"
    assert str(SPACE["b1_l1_type"]) == "one of 'conv', 'downsampled', 'separable'"
    assert str(SPACE["fc2_units"]) == "a whole number from 10 to 200"
    assert str(SPACE["learning_rate"]) == "a number from 0.0001 to 0.01"
    assert {"learning_gamma", "learning_step", "prune_threshold", "batch_size"} <= set(SPACE)
    assert SPACE.contains(BY_HAND)


def test_bounds_can_be_given() -> None:
    space = cnn.space(blocks=3, layers=4, filters=(8, 32), kernel=(1, 7), fc_layers=1, fc_units=(4, 8), sparsity=0.5)
    assert str(space["b3_l4_filters"]) == "a whole number from 8 to 32"
    assert str(space["b1_l1_kernel"]) == "a whole number from 1 to 7"
    assert str(space["fc1_units"]) == "a whole number from 4 to 8"
    assert str(space["prune_threshold"]) == "a number from 0.0 to 0.5"
    assert "fc2_units" not in space


def test_space_may_be_as_small_as_one_block_of_one_layer() -> None:
    space = cnn.space(blocks=1, layers=1, fc_layers=0)
    assert all(parameters["blocks"] == parameters["b1_layers"] == 1 for parameters in members(space, 20))
    assert not any(name.startswith(("b2_", "b1_l2_", "fc1_")) for name in space)


def test_parameters_of_what_is_not_there_are_inactive() -> None:
    extra = {"b2_layers": 2, "b1_l2_type": "conv", "b1_l1_drop": 0.3, "fc2_units": 20}
    assert SPACE.canonical({**BY_HAND, **extra}) == BY_HAND
    assert SPACE.canonical({**BY_HAND, "b1_pool": False}) == {
        name: value for name, value in {**BY_HAND, "b1_pool": False}.items() if name != "b1_pool_rate"
    }


def test_every_choice_appears_in_random_members() -> None:
    seen = Counter(f"{name.split('_')[-1]}={value}" for parameters in members() for name, value in parameters.items())
    for expected in (
        "type=conv",
        "type=downsampled",
        "type=separable",
        "stride=1",
        "stride=2",
        "skip=True",
        "skip=False",
    ):
        assert seen[expected] > 20, expected
    for expected in ("pool=True", "pool=False", "rate=2", "rate=3", "rate=4", "blocks=2", "layers=3", "layers=0"):
        assert seen[expected] > 20, expected


# --- compression, where it is asked for -----------------------------------------------------------------------------

COMPRESSED = cnn.space(channels=0.5, patterns=("element", "2:4", "1:4"), weight_bits=(8, 4), qat_epochs=2)


def test_compression_adds_parameters_only_where_it_is_asked_for() -> None:
    bits = {name for name in COMPRESSED if name.endswith("_bits")}
    assert set(COMPRESSED) - set(SPACE) == {"prune_channels", "prune_pattern", "qat_epochs", *bits}
    assert bits == {
        *(f"b{b}_l{layer}_bits" for b in (1, 2) for layer in (1, 2, 3)),
        *("fc1_bits", "fc2_bits", "classifier_bits"),
    }
    assert str(COMPRESSED["prune_channels"]) == "a number from 0.0 to 0.5"
    assert str(COMPRESSED["prune_pattern"]) == "one of 'element', '2:4', '1:4'"
    assert str(COMPRESSED["qat_epochs"]) == "a whole number from 0 to 2"
    assert list(cnn.space(channels=0.5)) == [*SPACE, "prune_channels"]


def test_threshold_is_active_only_where_any_weights_may_be_zero() -> None:
    for parameters in members(COMPRESSED, 50):
        assert ("prune_threshold" in parameters) == (parameters["prune_pattern"] == "element")
    assert "prune_threshold" not in cnn.space(patterns=("2:4",))


def test_each_layer_has_its_own_bits() -> None:
    bits = {"b1_l1_bits": 4, "fc1_bits": 2, "classifier_bits": 8}
    graph = traced({**BY_HAND, **bits})
    assert [operator.weight_bits for operator in graph.operators if operator.weight is not None] == [4, 2, 8]
    separable = traced({**BY_HAND, **bits, "b1_l1_type": "separable"})
    assert [operator.weight_bits for operator in separable.operators if operator.weight is not None] == [4, 4, 2, 8]


def test_layers_without_bits_of_their_own_have_those_of_the_network() -> None:
    with torch.device("meta"):
        network = cnn.build({**BY_HAND, "fc1_bits": 2}, (1, 8, 8), 10)
    network.weight_bits = 4
    graph = trace(network, (1, 8, 8))
    assert [operator.weight_bits for operator in graph.operators if operator.weight is not None] == [4, 2, 4]


# --- the builder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_member_builds_and_traces_or_says_why_not(shape: tuple[int, ...]) -> None:
    built = 0
    for parameters in members():
        try:
            graph = traced(parameters, shape, classes=7)
        except Infeasible as reason:
            text = str(reason)
            assert text.startswith(("b1: pooling by ", "b2: pooling by ")), text
            assert " is larger than its " in text and text.endswith(" input"), text
            continue
        built += 1
        assert graph.activations[graph.output].shape == (7,)
    assert built >= MEMBERS // 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_network_gives_one_score_for_each_class(shape: tuple[int, ...]) -> None:
    space, built = cnn.space(filters=(1, 8)), 0
    for parameters in members(space, 60):
        try:
            network = cnn.build(parameters, shape, 4).eval()
        except Infeasible:
            continue
        with torch.no_grad():
            scores = network(torch.zeros(2, *shape))
        assert scores.shape == (2, 4)
        assert torch.isfinite(scores).all()
        built += 1
    assert built > 20


def test_pooling_larger_than_its_input_names_the_block() -> None:
    parameters = {
        **BY_HAND,
        **{"blocks": 2, "b1_pool_rate": 4, "b2_layers": 1, "b2_l1_type": "conv", "b2_l1_filters": 4},
        **{"b2_l1_kernel": 3, "b2_stride": 2, "b2_skip": False, "b2_pool": True, "b2_pool_rate": 2},
    }
    with pytest.raises(Infeasible, match=r"^b2: pooling by 2 is larger than its 1 x 1 input$"):
        cnn.build(parameters, (1, 8, 8), 10)
    with pytest.raises(Infeasible, match=r"^b1: pooling by 2 is larger than its 8 x 1 input$"):
        cnn.build(BY_HAND, (1, 8, 1), 10)


def test_macs_are_those_counted_by_hand() -> None:
    assert macs() == [8 * 8 * 4 * 9, 64 * 16, 16 * 10]
    assert traced(BY_HAND).params == (4 * 9 + 4) + (64 * 16 + 16) + (16 * 10 + 10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"b1_l1_filters": 8}, [8 * 8 * 8 * 9, 128 * 16, 160]),
        ({"b1_l1_kernel": 4}, [8 * 8 * 4 * 16, 64 * 16, 160]),  # padded on one side more: the size stays
        ({"b1_stride": 2}, [4 * 4 * 4 * 9, 16 * 16, 160]),
        ({"b1_pool": False}, [8 * 8 * 4 * 9, 256 * 16, 160]),
        ({"b1_pool_rate": 3}, [8 * 8 * 4 * 9, 16 * 16, 160]),  # 8 / 3, rounded down
        ({"global_pool": True}, [8 * 8 * 4 * 9, 4 * 16, 160]),
        ({"fc_layers": 0}, [8 * 8 * 4 * 9, 64 * 10]),
        ({"fc_layers": 2, "fc2_units": 20}, [8 * 8 * 4 * 9, 64 * 16, 16 * 20, 20 * 10]),
        ({"b1_l1_type": "separable"}, [8 * 8 * 9, 8 * 8 * 4, 64 * 16, 160]),
        ({"b1_skip": True}, [8 * 8 * 4 * 9, 8 * 8 * 4, 64 * 16, 160]),
        (
            {"b1_layers": 2, "b1_l2_type": "downsampled", "b1_l2_filters": 3, "b1_l2_kernel": 2, "b1_l2_drop": 0.5},
            [8 * 8 * 4 * 9, 8 * 8 * 4 * 2, 8 * 8 * 2 * 4 * 3, 48 * 16, 160],
        ),
        (
            {"b1_layers": 2, "b1_l2_type": "separable", "b1_l2_filters": 3, "b1_l2_kernel": 5, "b1_stride": 2},
            [4 * 4 * 4 * 9, 4 * 4 * 4 * 25, 4 * 4 * 4 * 3, 12 * 16, 160],
        ),
    ],
    ids=str,
)
def test_one_change_costs_the_macs_counted_by_hand(changes: dict[str, Value], expected: list[int]) -> None:
    assert macs(**changes) == expected


def test_operators_follow_the_types() -> None:
    plain = ["conv", "max_pool", "reshape", "linear", "linear"]
    assert kinds() == plain
    two = {"b1_layers": 2, "b1_l2_filters": 4, "b1_l2_kernel": 3, "b1_l2_drop": 0.25}
    assert kinds(**two, b1_l2_type="separable") == ["conv", "depthwise", *plain]
    assert kinds(**two, b1_l2_type="downsampled") == ["conv", "conv", *plain]
    assert kinds(b1_skip=True) == ["conv", "conv", "add", *plain[1:]]
    assert kinds(global_pool=True) == ["conv", "max_pool", "avg_pool", "reshape", "linear", "linear"]


def test_skip_needs_no_convolution_where_shapes_agree() -> None:
    assert kinds(b1_skip=True, b1_l1_filters=1) == ["conv", "add", "max_pool", "reshape", "linear", "linear"]


def test_downsampled_layer_keeps_at_least_one_channel() -> None:
    assert macs(b1_l1_type="downsampled", b1_l1_drop=0.5)[:2] == [8 * 8, 8 * 8 * 4 * 9]


def test_inactive_parameters_make_no_difference() -> None:
    for parameters in members(count=50):
        noise = {name: SPACE[name].from_unit(0.9) for name in SPACE if name not in parameters}
        try:
            expected = traced(parameters)
        except Infeasible as reason:
            with pytest.raises(Infeasible, match=str(reason)):
                traced({**parameters, **noise})
            continue
        graph = traced({**parameters, **noise})
        assert [operator.macs for operator in graph.operators] == [operator.macs for operator in expected.operators]
        assert graph.activations == expected.activations


def test_equal_seeds_build_equal_weights() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(cnn.build(BY_HAND, (1, 8, 8), 10).state_dict())
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())


# --- morphisms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SPACE, COMPRESSED], ids=["plain", "compressed"])
@pytest.mark.parametrize("morphism", cnn.MORPHISMS, ids=lambda morphism: morphism.__name__)
def test_child_is_another_member_and_the_parent_stays(morphism: Morphism, space: SearchSpace) -> None:
    rng, born = np.random.default_rng(1), 0
    for parent in members(space):
        kept = copy.deepcopy(parent)
        child = morphism(parent, space, rng)
        assert parent == kept
        if child is None:
            continue
        born += 1
        assert space.mistakes(child) == []
        assert child == space.canonical(child)
        assert child != parent
    assert born > MEMBERS // 4


@pytest.mark.parametrize("morphism", cnn.MORPHISMS, ids=lambda morphism: morphism.__name__)
def test_bounds_that_leave_little_room_are_kept(morphism: Morphism) -> None:
    space = cnn.space(blocks=1, layers=1, filters=(4, 4), kernel=(3, 3), fc_layers=0)
    rng = np.random.default_rng(0)
    for parent in members(space, 50):
        child = morphism(parent, space, rng)
        assert child is None or (space.contains(child) and child != parent)


@pytest.mark.parametrize(
    ("morphism", "name"),
    [
        (cnn.blocks, "blocks"),
        (cnn.layers, "b1_layers"),
        (cnn.layers, "b2_layers"),
        (cnn.filters, "b1_l1_filters"),
        (cnn.filters, "b2_l3_filters"),
        (cnn.kernel, "b1_l1_kernel"),
        (cnn.kernel, "b1_l3_kernel"),
        (cnn.pooling, "b1_pool_rate"),
        (cnn.pooling, "b2_pool"),
        (cnn.connection, "b1_stride"),
        (cnn.connection, "b2_skip"),
        (cnn.connection, "global_pool"),
        (cnn.fc_layers, "fc_layers"),
        (cnn.fc_units, "fc1_units"),
        (cnn.fc_units, "fc2_units"),
        (cnn.training, "learning_rate"),
        (cnn.training, "learning_gamma"),
        (cnn.training, "dropout"),
        (cnn.training, "prune_threshold"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_morphism_moves_a_parameter_both_ways(morphism: Morphism, name: str) -> None:
    rng, ways = np.random.default_rng(2), set()
    for parent in members(count=1000):
        child = morphism(parent, SPACE, rng)
        if child is not None and name in child and name in parent:
            ways.add(int(np.sign(child[name] - parent[name])))
    assert {-1, 1} <= ways


def test_new_block_is_like_the_last_without_stride_and_pooling() -> None:
    parent = {**BY_HAND, "b1_stride": 2}
    children = [child for seed in range(20) if (child := cnn.blocks(parent, SPACE, np.random.default_rng(seed)))]
    assert len(children) > 5  # the others would have no block
    for child in children:
        assert (child["blocks"], child["b2_stride"], child["b2_pool"]) == (2, 1, False)
        assert (child["b2_layers"], child["b2_l1_type"], child["b2_l1_filters"], child["b2_l1_kernel"]) == (
            1,
            "conv",
            4,
            3,
        )
        assert all(child[name] == value for name, value in parent.items() if name != "blocks")


def test_new_layer_is_a_convolution_as_wide_as_the_last() -> None:
    parent = {**BY_HAND, "b1_l1_type": "separable", "b1_l1_filters": 7, "b1_l1_kernel": 4}
    children = [child for seed in range(20) if (child := cnn.layers(parent, SPACE, np.random.default_rng(seed)))]
    assert children
    added = {"b1_layers": 2, "b1_l2_type": "conv", "b1_l2_filters": 7, "b1_l2_kernel": 4}
    assert all(child == {**parent, **added} for child in children)


def test_width_changes_by_a_factor_of_two_at_most_and_stays_within_the_bounds() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        for width in (1, 2, 3, 40, 100):
            child = cnn.filters({**BY_HAND, "b1_l1_filters": width}, SPACE, rng)
            if child is not None:
                assert max(1, width // 2) <= child["b1_l1_filters"] <= min(100, 2 * width)


def test_width_that_would_leave_the_bounds_stops_at_them() -> None:
    grown = [cnn.filters({**BY_HAND, "b1_l1_filters": 99}, SPACE, np.random.default_rng(seed)) for seed in range(20)]
    assert 100 in [child["b1_l1_filters"] for child in grown if child]
    at_the_bound = {**BY_HAND, "b1_l1_filters": 100}
    stuck = [cnn.filters(at_the_bound, SPACE, np.random.default_rng(seed)) for seed in range(20)]
    assert None in stuck
    assert all(child["b1_l1_filters"] < 100 for child in stuck if child)


def test_fc_units_do_not_apply_without_fc_layers() -> None:
    parent = SPACE.canonical({**BY_HAND, "fc_layers": 0})
    assert cnn.fc_units(parent, SPACE, np.random.default_rng(0)) is None


def test_training_leaves_the_network_as_it_is() -> None:
    rng = np.random.default_rng(0)
    for parent in members(count=50):
        child = cnn.training(parent, SPACE, rng)
        assert child is not None
        changed = {name for name in parent if child[name] != parent[name]}
        assert len(changed) == 1
        assert changed <= {"learning_rate", "learning_gamma", "dropout", "prune_threshold"}


def test_width_morphism_takes_any_listed_width() -> None:
    space = SearchSpace({**cnn.space(blocks=1, layers=1, fc_layers=0), "b1_l1_filters": Choice((4, 8))})
    rng = np.random.default_rng(0)
    parent = {**space.sample(rng), "b1_l1_filters": 4}
    child = cnn.filters(parent, space, rng)
    assert child is not None and child["b1_l1_filters"] == 8


def test_training_moves_what_is_there_of_compression() -> None:
    rng, moved = np.random.default_rng(0), Counter[str]()
    for parent in members(COMPRESSED):
        child = cnn.training(parent, COMPRESSED, rng)
        assert child is not None
        changed = [name for name in child if child[name] != parent.get(name)]
        moved.update("bits" if name.endswith("_bits") else name for name in changed)
        assert all(name in child for name in parent if name != "prune_threshold")
    names = {"learning_rate", "learning_gamma", "dropout", "prune_threshold", "prune_pattern", "prune_channels"}
    assert set(moved) == {*names, "qat_epochs", "bits"}
    assert min(moved.values()) > 15


def test_new_layer_has_the_bits_of_the_last() -> None:
    rng = np.random.default_rng(0)
    for parent in members(COMPRESSED, 100):
        child = cnn.fc_layers(parent, COMPRESSED, rng)
        if child is not None and child["fc_layers"] == 2:
            assert child["fc2_bits"] == parent["fc1_bits"]
