"""The steps that morphisms of convolutional networks take."""

from collections import Counter

import numpy as np
import pytest
from problems.convolutional import BY_HAND, COMPRESSED, MEMBERS, SPACE, members
from problems.spaces import children

from sparsemod.problem import Morphism
from sparsemod.space import Choice, SearchSpace
from sparsemod.spaces import cnn


@pytest.mark.parametrize("space", [SPACE, COMPRESSED], ids=["plain", "compressed"])
@pytest.mark.parametrize("morphism", cnn.MORPHISMS, ids=lambda morphism: morphism.__name__)
def test_child_is_another_member_and_the_parent_stays(morphism: Morphism, space: SearchSpace) -> None:
    assert children(morphism, space, members(space), np.random.default_rng(1)) > MEMBERS // 4


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
