"""The graph of a torch module: its operators, their costs and their values."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from problems.float_networks import NETWORKS, network
from problems.modules import Calls, block
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sparsemod.errors import InputError
from sparsemod.graph import Graph, run, trace


def outline(graph: Graph) -> list[tuple[object, ...]]:
    """Everything but values."""
    return [
        (
            *(operator.kind, operator.name, operator.inputs, operator.output, operator.macs, dict(operator.options)),
            *(operator.weight_itemsize, operator.low, operator.high),
            None if operator.weight is None else operator.weight.shape,
            None if operator.bias is None else operator.bias.shape,
        )
        for operator in graph.operators
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_half_of_what_pytorch_counts_as_flops(name: str) -> None:
    module, shape = network(name), NETWORKS[name][1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(2, *shape))
    assert 2 * 2 * trace(module, shape).macs == counter.get_total_flops()


@pytest.mark.parametrize("name", NETWORKS)
def test_float_graph_computes_what_the_module_computes(name: str) -> None:
    module, shape = network(name), NETWORKS[name][1]
    x = torch.randn(5, *shape)
    before = x.clone()
    with torch.no_grad():
        expected = module(x.clone())
    torch.testing.assert_close(run(trace(module, shape, "none"), x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


@pytest.mark.parametrize("scheme", ["post", "dynamic", "both", "none"])
@pytest.mark.parametrize("name", NETWORKS)
def test_meta_device_gives_the_same_graph(name: str, scheme: str) -> None:
    module, shape = network(name), NETWORKS[name][1]
    real, meta = trace(module, shape, scheme), trace(copy.deepcopy(module).to("meta"), shape, scheme)
    assert outline(meta) == outline(real)
    assert meta.activations == real.activations
    assert all(operator.weight is None or operator.weight.is_meta for operator in meta.operators)


def test_operators_of_a_residual_network() -> None:
    graph = trace(network("residual"), (3, 8, 8))
    found = [(operator.kind, operator.name, operator.macs) for operator in graph.operators]
    assert found == [
        ("conv", "parts.0.0", 3 * 9 * 8 * 16),
        ("conv", "parts.1.0", 8 * 9 * 8 * 16),
        ("conv", "parts.2.0", 3 * 8 * 16),
        ("add", "add_3", 0),
        ("avg_pool", "avg_pool_4", 0),
        ("reshape", "reshape_5", 0),
        ("linear", "parts.3", 40),
    ]
    assert [operator.inputs for operator in graph.operators] == [(0,), (1,), (0,), (2, 3), (4,), (5,), (6,)]
    assert graph.activations[graph.output].shape == (5,)


def test_activation_is_fused_into_the_operator_before_it() -> None:
    graph = trace(network("relu after pools"), (3, 10, 10))
    assert [operator.kind for operator in graph.operators] == [
        "conv",
        "max_pool",
        "relu",
        "avg_pool",
        "relu",
        "reshape",
    ]
    graph = trace(network("relu6"), (3, 6, 6))
    assert [(operator.kind, operator.high) for operator in graph.operators] == [
        ("conv", 6.0),
        ("reshape", float("inf")),
    ]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_calls_in_place_give_the_same_graph(device: str) -> None:
    def forward(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
        y = F.relu(first(x))
        return F.relu(F.relu6(F.max_pool2d(y, 2)) + second(y))

    def forward_in_place(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
        y = F.relu(first(x), inplace=True)
        z = F.relu6(F.max_pool2d(y, 2), inplace=True)
        z += second(y)
        return F.relu(z, inplace=True)

    layers = [nn.Conv2d(3, 4, 3).to(device), nn.Conv2d(4, 4, 2, stride=2).to(device)]
    expected, found = (trace(Calls(function, *layers), (3, 8, 8)) for function in (forward, forward_in_place))
    assert [operator.kind for operator in expected.operators] == ["conv", "max_pool", "relu", "conv", "add"]
    assert outline(found) == outline(expected)
    assert found.activations == expected.activations


def test_bounds_of_every_activation() -> None:
    layers = [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.Hardtanh(-2), nn.Hardtanh(-1, 2), nn.Hardtanh(-3, 4)]
    graphs = [trace(nn.Sequential(nn.Linear(2, 2), layer), (2,)) for layer in layers]
    found = [(graph.operators[0].low, graph.operators[0].high) for graph in graphs]
    assert found == [(0, float("inf")), (0, 6), (-1, 1), (-2, 1), (-1, 2), (-3, 4)]


def test_depthwise_is_told_from_grouped_and_plain() -> None:
    kinds = [
        trace(nn.Conv2d(inputs, outputs, 1, groups=groups), (inputs, 3, 3)).operators[0].kind
        for inputs, outputs, groups in [(4, 4, 1), (4, 4, 2), (4, 4, 4), (4, 8, 4), (1, 4, 1)]
    ]
    assert kinds == ["conv", "conv", "depthwise", "depthwise", "conv"]


def test_padding_is_written_for_both_sides_of_each_axis() -> None:
    module = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(3, 4, 3, padding=1))
    assert trace(module, (3, 8, 8)).operators[0].options["padding"] == (3, 2, 1, 2)
    same = nn.Conv2d(3, 4, 4, padding="same")
    assert trace(same, (3, 8, 8)).operators[0].options["padding"] == (1, 2, 1, 2)
    assert trace(nn.Conv1d(3, 4, 3, padding=1), (3, 8)).operators[0].options["padding"] == (1, 1)


def test_names_are_module_paths() -> None:
    module = nn.Sequential()
    module.add_module("stem", block(3, 4))
    module.add_module("pool", nn.MaxPool2d(2))
    module.add_module("flat", nn.Flatten())
    module.add_module("head", nn.Linear(36, 2))
    assert [operator.name for operator in trace(module, (3, 8, 8)).operators] == [
        "stem.0",
        "max_pool_1",
        "reshape_2",
        "head",
    ]
    assert trace(nn.Linear(3, 2), (3,)).operators[0].name == "linear_0"


def test_batch_norm_adds_a_bias_and_no_operator() -> None:
    graph = trace(block(3, 4), (3, 8, 8))
    assert len(graph.operators) == 1
    assert graph.params == 3 * 4 * 9 + 4


@pytest.mark.parametrize(
    ("scheme", "weights", "activations"),
    [("post", [1, 1], [1, 1, 1, 1]), ("dynamic", [4, 1], [4, 4, 4, 4]), ("none", [4, 4], [4, 4, 4, 4])],
)
def test_scheme_sets_bytes_per_weight_and_element(scheme: str, weights: list[int], activations: list[int]) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    graph = trace(module, (3, 4, 4), scheme)
    assert [operator.weight_itemsize for operator in graph.operators if operator.weight is not None] == weights
    assert [activation.itemsize for activation in graph.activations] == activations


def test_module_chooses_its_own_scheme_under_both() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 2)))
    module[2].quant_scheme = "dynamic"
    graph = trace(module, (3, 4, 4), "both")
    assert [activation.itemsize for activation in graph.activations] == [1, 1, 1, 4, 4]
    assert [activation.itemsize for activation in trace(module, (3, 4, 4), "post").activations] == [1, 1, 1, 1, 1]


def test_int8_layer_behind_a_float_one_reads_int8() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2))
    module[0].quant_scheme = "dynamic"
    assert [activation.itemsize for activation in trace(module, (3, 4, 4), "both").activations] == [4, 1, 1, 1, 1]


def test_unknown_scheme_of_a_module_is_reported() -> None:
    module = nn.Sequential(nn.Linear(3, 2))
    module[0].quant_scheme = "dynamc"
    with pytest.raises(InputError, match="module '0': quant_scheme is 'dynamc'; it must be post, dynamic or none"):
        trace(module, (3,), "both")


def test_every_part_is_left_in_the_mode_it_was_in() -> None:
    module = nn.Sequential(block(3, 4), nn.Dropout(), block(4, 4))
    module.train()
    module[2].eval()
    modes = [part.training for part in module.modules()]
    trace(module, (3, 8, 8))
    assert [part.training for part in module.modules()] == modes
    module.append(nn.Softplus())
    modes = [part.training for part in module.modules()]
    with pytest.raises(InputError):
        trace(module, (3, 8, 8))
    assert [part.training for part in module.modules()] == modes


def test_weights_are_left_as_they_were() -> None:
    module = network("residual")
    before = copy.deepcopy(module.state_dict())
    run(trace(module, (3, 8, 8), "none"), torch.randn(2, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_graph_keeps_its_values_when_the_module_goes_on_training() -> None:
    module, x = nn.Linear(3, 2), torch.randn(4, 3)
    graph = trace(module, (3,), "none")
    before = run(graph, x)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(run(graph, x), before)


def test_tracing_on_the_meta_device_imports_nothing_more() -> None:
    program = """
import sys, torch
from torch import nn
from sparsemod.graph import trace
with torch.device("meta"):
    stem = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.AvgPool2d(2)]
    module = nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
before = set(sys.modules)
trace(module, (3, 8, 8))
print(sorted(set(sys.modules) - before))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
