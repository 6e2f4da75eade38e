"""Which parameters the space of convolutional networks has, and within which bounds."""

from collections import Counter

from problems.convolutional import BY_HAND, COMPRESSED, SPACE, members

from sparsemod.spaces import cnn


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
