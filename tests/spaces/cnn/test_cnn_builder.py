"""The networks that parameters make."""

import pytest
import torch
from problems.convolutional import BY_HAND, MEMBERS, SPACE, kinds, macs, members, traced

from sparsemod.errors import Infeasible
from sparsemod.graph import trace
from sparsemod.space import Value
from sparsemod.spaces import cnn

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 28)]


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
