"""Members whose figures are counted by hand, and those that are published networks."""

from collections.abc import Mapping
from types import ModuleType

import pytest
import torch
from problems.mlperf_tiny import INPUTS, MACS

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, trace
from sparsemod.space import Value
from sparsemod.spaces import cnn1d, cnn_rnn, dscnn, mlp, mobilenet, resnet, rnn

TRAINING = {
    **{"dropout": 0.1, "learning_rate": 1e-3, "learning_gamma": 0.5, "learning_step": 5, "batch_size": 32},
    "prune_threshold": 0.0,
}


def traced(module: ModuleType, parameters: Mapping[str, Value], shape: tuple[int, ...], classes: int) -> Graph:
    with torch.device("meta"):
        network = module.build({**TRAINING, **parameters}, shape, classes)
    return trace(network, shape)


def macs(graph: Graph) -> list[int]:
    """Of each layer with weights."""
    return [operator.macs for operator in graph.operators if operator.weight is not None]


def kinds(graph: Graph) -> list[str]:
    return [operator.kind for operator in graph.operators]


# --- mlp -------------------------------------------------------------------------------------------------------------


def test_fully_connected_network_by_hand() -> None:
    graph = traced(mlp, {"layers": 2, "l1_units": 4, "l2_units": 3}, (5, 2), 2)
    assert macs(graph) == [10 * 4, 4 * 3, 3 * 2]
    assert graph.params == (10 * 4 + 4) + (4 * 3 + 3) + (3 * 2 + 2)
    assert kinds(graph) == ["reshape", "linear", "linear", "linear"]  # batch norm and ReLU are part of them


# --- rnn, of 7 steps of 4 features -----------------------------------------------------------------------------------

RECURRENT = {
    **{"cell": "gru", "rnn_layers": 1, "rnn1_units": 5, "bidirectional": False, "rnn_skip": False, "readout": "last"},
    "fc_layers": 0,
}


@pytest.mark.parametrize(
    ("changes", "params", "expected"),
    [
        ({}, 3 * 5 * (4 + 5) + 4 * 5, ["gru", "linear"]),  # four biases for each unit
        ({"cell": "lstm"}, 4 * 5 * (4 + 5) + 4 * 5, ["lstm", "linear"]),
        ({"readout": "mean"}, 155, ["gru", "permute", "avg_pool", "reshape", "linear"]),
        ({"rnn_skip": True}, 155, ["gru", "linear"]),  # five units cannot be added to four features
        ({"rnn_skip": True, "rnn1_units": 4}, 3 * 4 * 8 + 16, ["gru", "slice", "add", "linear"]),
        ({"bidirectional": True}, 2 * 155, ["gru", "gru", "concat", "linear"]),
        ({"rnn_layers": 2, "rnn2_units": 3}, 155 + 3 * 3 * (5 + 3) + 4 * 3, ["gru", "gru", "linear"]),
    ],
    ids=str,
)
def test_recurrent_network_by_hand(changes: dict[str, Value], params: int, expected: list[str]) -> None:
    graph = traced(rnn, {**RECURRENT, **changes}, (7, 4), 2)
    features = graph.operators[-1].weight.shape[1]
    assert graph.params == params + 2 * features + 2
    assert kinds(graph) == expected


def test_states_of_a_layer_of_which_the_last_is_read_are_not_kept() -> None:
    graph = traced(rnn, RECURRENT, (7, 4), 2)
    assert [activation.shape for activation in graph.activations] == [(7, 4), (5,), (2,)]


# --- cnn1d, of 3 channels and 24 steps -------------------------------------------------------------------------------

SIGNAL = {
    **{"conv_layers": 1, "conv1_type": "conv", "conv1_filters": 4, "conv1_kernel": 5, "conv1_stride": 2},
    **{"conv1_pool": 1, "global_pool": True, "fc_layers": 0},
}
SECOND = {"conv_layers": 2, "conv2_filters": 4, "conv2_kernel": 3, "conv2_stride": 1, "conv2_pool": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [12 * 4 * 15, 4 * 2]),
        ({"conv1_kernel": 4}, [12 * 4 * 12, 4 * 2]),  # padded on one side more
        ({"global_pool": False}, [12 * 4 * 15, 48 * 2]),
        ({"global_pool": False, "conv1_pool": 3}, [12 * 4 * 15, 16 * 2]),
        ({"conv1_type": "separable"}, [12 * 3 * 5, 12 * 3 * 4, 4 * 2]),
        ({"conv1_type": "dilated"}, [12 * 4 * 15, 12 * 4 * 20, 12 * 4 * 3, 4 * 2]),
        ({"conv1_type": "dilated", "conv1_stride": 1, "conv1_filters": 3}, [24 * 3 * 15, 24 * 3 * 15, 3 * 2]),
        ({**SECOND, "conv2_type": "conv"}, [12 * 4 * 15, 12 * 4 * 12, 4 * 2]),
    ],
    ids=str,
)
def test_convolutions_over_time_by_hand(changes: dict[str, Value], expected: list[int]) -> None:
    assert macs(traced(cnn1d, {**SIGNAL, **changes}, (3, 24), 2)) == expected


def test_dilation_doubles_from_one_dilated_layer_to_the_next() -> None:
    third = {name.replace("conv2", "conv3"): value for name, value in SECOND.items()}
    types = {"conv1_type": "dilated", "conv2_type": "conv", "conv3_type": "dilated"}
    graph = traced(cnn1d, {**SIGNAL, **SECOND, **third, **types, "conv_layers": 3}, (3, 24), 2)
    taps = [(op.weight.shape[2], op.options["dilation"][0]) for op in graph.operators if op.kind == "conv"]
    assert taps == [(5, 1), (5, 1), (1, 1), (3, 1), (3, 2), (3, 2)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"conv1_stride": 3, "conv1_pool": 4}, "conv1: pooling by 4 is larger than its 3 steps"),
        ({"conv1_kernel": 20}, "conv1: a kernel of 20 taps is too large for its 8 steps"),
        (
            {**SECOND, "conv1_type": "dilated", "conv2_type": "dilated", "conv2_kernel": 5},
            "conv2: a kernel of 5 taps and 2 steps apart is too large for its 4 steps",
        ),
    ],
)
def test_signal_that_is_too_short_is_infeasible(changes: dict[str, Value], reason: str) -> None:
    with pytest.raises(Infeasible) as caught:
        traced(cnn1d, {**SIGNAL, **changes}, (3, 8), 2)
    assert str(caught.value) == reason


# --- cnn_rnn ---------------------------------------------------------------------------------------------------------


def test_convolutions_before_recurrent_layers_by_hand() -> None:
    """24 steps become 12 of 4 features."""
    graph = traced(cnn_rnn, {**SIGNAL, **RECURRENT}, (3, 24), 2)
    assert kinds(graph) == ["conv", "permute", "gru", "linear"]
    assert macs(graph) == [12 * 4 * 15, 12 * 3 * 5 * (4 + 5), 5 * 2]
    assert graph.activations[graph.operators[1].output].shape == (12, 4)


# --- published networks ----------------------------------------------------------------------------------------------

DS_CNN = {
    **{"first_filters": 64, "first_kernel_time": 10, "first_kernel_frequency": 4},
    **{"first_stride_time": 2, "first_stride_frequency": 2, "blocks": 4},
    **{f"b{b}_{key}": value for b in range(1, 5) for key, value in {"filters": 64, "kernel": 3, "stride": 1}.items()},
}


def test_small_keyword_network_has_the_figures_of_mlperf_tiny() -> None:
    assert dscnn.space().contains({**TRAINING, **DS_CNN})
    graph = traced(dscnn, DS_CNN, INPUTS["kws"], 12)
    assert graph.macs == MACS["kws"] == 2_656_768
    assert graph.params == (40 * 64 + 64) + 4 * ((9 * 64 + 64) + (64 * 64 + 64)) + (64 * 12 + 12)


def test_first_kernel_larger_than_its_input_is_infeasible() -> None:
    with pytest.raises(Infeasible, match=r"^first: a kernel of 10 x 4 is larger than its 49 x 3 input$"):
        traced(dscnn, DS_CNN, (1, 49, 3), 12)


RESNET_8 = {
    **{"resolution": 1.0, "width": 16, "stem_kernel": 3, "stem_stride": 1, "stages": 3},
    **{"s1_blocks": 1, "s1_kernel": 3, "s1_stride": 1},
    **{"s2_blocks": 1, "s2_kernel": 3, "s2_stride": 2, "s2_widening": 2.0},
    **{"s3_blocks": 1, "s3_kernel": 3, "s3_stride": 2, "s3_widening": 2.0},
}


def test_small_residual_network_has_the_figures_of_mlperf_tiny() -> None:
    """Its two shortcuts have biases there, and its weights are 77,360."""
    assert resnet.space().contains({**TRAINING, **RESNET_8})
    graph = traced(resnet, RESNET_8, INPUTS["ic"], 10)
    assert graph.macs == MACS["ic"] == 12_501_632
    assert graph.params == 77_360 + (16 + 2 * 16 + 2 * 32 + 2 * 64 + 10)


def test_half_the_resolution_is_a_quarter_of_the_pixels() -> None:
    whole, half = (traced(resnet, {**RESNET_8, "resolution": share}, (3, 32, 32), 10) for share in (1.0, 0.5))
    assert [4 * macs for macs in macs(half)[:-1]] == macs(whole)[:-1]
    assert kinds(half) == ["avg_pool", *kinds(whole)]


@pytest.mark.parametrize(
    ("module", "changes", "shape", "error", "words"),
    [
        (resnet, {"resolution": 0.25}, (1, 3, 8), Infeasible, "0.25: squares of 4 are larger than the 3 x 8 image"),
        (resnet, {"resolution": 0.4}, (1, 8, 8), InputError, "is 0.4; it must be one over a whole number, such as 1,"),
    ],
)
def test_resolution_that_cannot_be_says_so(module, changes, shape, error, words) -> None:
    with pytest.raises(error) as caught:
        traced(module, {**RESNET_8, **changes}, shape, 10)
    assert words in str(caught.value)


def inverted(*rows: tuple[int, int, int, int]) -> dict[str, Value]:
    """Stages of (expansion, filters, blocks, stride), with kernels of three."""
    found: dict[str, Value] = {"stages": len(rows)}
    for stage, (expansion, filters, blocks, stride) in enumerate(rows, 1):
        found |= {f"s{stage}_expansion": expansion, f"s{stage}_filters": filters, f"s{stage}_blocks": blocks}
        found |= {f"s{stage}_stride": stride, f"s{stage}_kernel": 3, f"s{stage}_squeeze": False}
    return found


MOBILENET_V2 = {
    **{"resolution": 1.0, "width": 1.0, "activation": "relu6", "stem_filters": 32, "stem_stride": 2},
    **inverted(
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    ),
    **{"last": True, "last_filters": 1280},
}


def test_mobilenet_v2_has_its_published_figures() -> None:
    """300 million MACs and 3.4 million parameters [Sandler2018]; 3,504,872 with the two of each of 17,056 norms."""
    assert mobilenet.space(stages=7, blocks=4, filters=(8, 1280)).contains({**TRAINING, **MOBILENET_V2})
    graph = traced(mobilenet, MOBILENET_V2, (3, 224, 224), 1000)
    assert graph.params == 3_504_872 - 17_056
    assert graph.macs == 300_774_272


def test_mobilenet_v1_without_its_expansions_has_the_macs_of_mlperf_tiny() -> None:
    rows = [(1, 64, 1, 1), (1, 128, 1, 2), (1, 128, 1, 1), (1, 256, 1, 2), (1, 256, 1, 1), (1, 512, 1, 2)]
    rows += [(1, 512, 5, 1), (1, 1024, 1, 2), (1, 1024, 1, 1)]
    parameters = {**MOBILENET_V2, **inverted(*rows), "width": 0.25, "stem_filters": 32, "last": False}
    assert traced(mobilenet, parameters, INPUTS["vww"], 2).macs == MACS["vww"] == 7_489_664


def test_squeeze_and_excitation_costs_what_is_counted_by_hand() -> None:
    """16 channels become 48 in the middle, of which 12 units speak, on 8 x 8 pixels."""
    block = {**MOBILENET_V2, **inverted((3, 16, 1, 1)), "stem_filters": 16, "stem_stride": 1, "last": False}
    plain, squeezed = (traced(mobilenet, {**block, "s1_squeeze": on}, (1, 8, 8), 2) for on in (False, True))
    assert macs(plain) == [64 * 16 * 9, 64 * 16 * 48, 64 * 48 * 9, 64 * 48 * 16, 16 * 2]
    assert macs(squeezed) == [*macs(plain)[:3], 48 * 12, 12 * 48, *macs(plain)[3:]]
    assert "mul" in kinds(squeezed) and "add" in kinds(plain)
