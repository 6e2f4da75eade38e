import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, run, trace


class Calls(nn.Module):
    """A network whose forward pass is a function of the input and its modules."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def block(inputs: int, outputs: int, kernel: int = 3, act: nn.Module | None = None, **options: object) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), act or nn.ReLU())


def residual(x: Tensor, first: nn.Module, second: nn.Module, projection: nn.Module, head: nn.Module) -> Tensor:
    y = F.relu(second(first(x)) + projection(x))
    return head(F.adaptive_avg_pool2d(y, 1).flatten(1))


def residual_in_place(x: Tensor, first: nn.Module, second: nn.Module, projection: nn.Module, head: nn.Module) -> Tensor:
    y = second(first(x))
    y += projection(x)
    return head(F.adaptive_avg_pool2d(F.relu(y, inplace=True), 1).flatten(1))


def residual_parts(**relu: bool) -> list[nn.Module]:
    second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
    projection = nn.Sequential(nn.Conv2d(3, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
    return [block(3, 8, act=nn.ReLU(**relu), stride=2, padding=1), second, projection, nn.Linear(8, 5)]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (
        lambda: nn.Sequential(
            block(3, 8), nn.MaxPool2d(2), block(8, 6), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 5)
        ),
        (3, 12, 12),
    ),
    "strided": (lambda: nn.Sequential(block(3, 4, stride=2), block(4, 4, stride=(1, 2)), nn.Flatten()), (3, 11, 13)),
    "dilated": (lambda: nn.Sequential(block(3, 4, dilation=2, padding=2), nn.Flatten()), (3, 9, 9)),
    "grouped": (lambda: nn.Sequential(block(4, 8, groups=2), nn.Flatten()), (4, 7, 7)),
    "separable": (
        lambda: nn.Sequential(
            block(3, 8), block(8, 8, groups=8), block(8, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
        ),
        (3, 10, 10),
    ),
    "channel multiplier": (lambda: nn.Sequential(block(4, 8, groups=4), nn.Flatten()), (4, 7, 7)),
    "residual": (lambda: Calls(residual, *residual_parts()), (3, 8, 8)),
    "residual in place": (lambda: Calls(residual_in_place, *residual_parts(inplace=True)), (3, 8, 8)),
    "even kernels": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 4, padding="same"), nn.ReLU(), nn.Conv2d(4, 4, 2, padding="same"), nn.Flatten()
        ),
        (3, 7, 7),
    ),
    "valid padding": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding="valid"), nn.Flatten()), (3, 7, 7)),
    "zero padding": (
        lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten()),
        (3, 8, 8),
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5, bias=False)), (20,)),
    "linear batch norm": (lambda: nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16, eps=0.1), nn.ReLU()), (20,)),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 3),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 4, 3, stride=2),
            nn.Flatten(),
        ),
        (3, 16),
    ),
    "conv1d pooled": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 3), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5)
        ),
        (3, 16),
    ),
    "relu6": (lambda: nn.Sequential(block(3, 4, act=nn.ReLU6()), nn.Flatten()), (3, 6, 6)),
    "hardtanh with one default": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.2), nn.Flatten()),
        (3, 6, 6),
    ),
    "two bounds": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.2, -0.1), nn.ReLU(), nn.Flatten()),
        (3, 6, 6),
    ),
    "relu after pools": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(inplace=True), nn.Flatten()
        ),
        (3, 10, 10),
    ),
    "relu in place": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)
        ),
        (3, 10, 10),
    ),
    "pool with padding": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(3, 2, 1), nn.Flatten()), (3, 9, 9)),
    "pool in ceil mode": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(4, 3, ceil_mode=True)), (3, 8, 8)),
    "dilated pool": (lambda: nn.Sequential(block(3, 4), nn.MaxPool2d(2, 1, dilation=2)), (3, 8, 8)),
    "adaptive": (lambda: nn.Sequential(block(3, 4), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten()), (3, 8, 8)),
    "mean": (lambda: Calls(lambda x, c, head: head(c(x).mean((2, 3))), block(3, 4), nn.Linear(4, 5)), (3, 8, 8)),
    "mean with kept axes": (
        lambda: Calls(
            lambda x, c, head: head(c(x).mean((-1, -2), keepdim=True).flatten(1)), block(3, 4), nn.Linear(4, 5)
        ),
        (3, 8, 8),
    ),
    "dropout": (
        lambda: nn.Sequential(block(3, 4), nn.Dropout2d(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 5)),
        (3, 8, 8),
    ),
    "two readers": (
        lambda: Calls(lambda x, c: F.relu((y := c(x)).clone()) + F.relu6(y) + y, nn.Conv2d(3, 4, 3)),
        (3, 6, 6),
    ),
    "input added": (lambda: Calls(lambda x, c: c(x) + x, nn.Conv2d(3, 3, 3, padding=1)), (3, 6, 6)),
    "shared layer": (lambda: Calls(lambda x, c: c(F.relu(c(x))), nn.Conv2d(3, 3, 3, padding=1)), (3, 6, 6)),
    "views": (
        lambda: Calls(
            lambda x, c, head: head(F.avg_pool2d(c(x), 4).squeeze().view(-1, 4)), block(3, 4, 5), nn.Linear(4, 5)
        ),
        (3, 8, 8),
    ),
    "activation first": (lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), (3, 6, 6)),
    "no layers": (lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (3, 6, 6)),
    "identity": (lambda: nn.Identity(), (3, 6, 6)),
}


def network(name: str) -> nn.Module:
    """In evaluation mode, with batch norm statistics that matter."""
    torch.manual_seed(0)
    module = NETWORKS[name][0]()
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()


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


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus()), (3, 8, 8), r"operator 'softplus' .*ReLU.*\(in module '1'\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)), (3, 8, 8), r"softmax is supported over the last axis"),
        (nn.Sequential(nn.Linear(4, 4), nn.CELU()), (4,), r"operator 'celu' .*\(in module '1'\)"),
        (nn.Sequential(nn.RNN(8, 6, batch_first=True)), (5, 8), r"operator 'rnn_tanh' .*LSTM.*\(in module '0'\)"),
        (
            Calls(lambda x, a, b: torch.cat([a(x), b(x)], 0), nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)),
            (3, 8, 8),
            r"along the batch cannot be costed \(in the forward of the network itself\)",
        ),
        (
            nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3))),
            (3, 8, 8),
            r"transposed convolution cannot be costed \(in module '0.1'\)",
        ),
        (nn.Conv3d(1, 2, 3), (1, 5, 5, 5), "convolution is supported over one or two axes"),
        (nn.Linear(4, 3), (5, 4), "view mixes the batch"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
            (3, 8, 8),
            "batch norm needs running statistics",
        ),
        (nn.AvgPool2d(3, 2, ceil_mode=True), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AvgPool2d(3, 2, padding=1), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AvgPool2d(2, divisor_override=3), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AdaptiveAvgPool2d(3), (3, 8, 8), "where the output divides the input"),
        (Calls(lambda x: x.mean()), (3, 8, 8), "a mean is supported over all spatial axes"),
        (Calls(lambda x: x.mean(1)), (3, 8, 8), "a mean is supported over all spatial axes"),
        (Calls(lambda x: x.mean(-1)), (3,), "average pooling needs spatial axes"),
        (Calls(lambda x: x * 2), (3, 8, 8), "a product is supported between two activations"),
        (Calls(lambda x: x.amax(2, True)), (3, 8, 8), "operator 'amax' cannot be costed"),
        (Calls(lambda x: x.permute(1, 0, 2)), (2, 3), "moves the batch"),
        (nn.Upsample(size=(9, 8)), (3, 8, 8), "upsampling is supported by whole factors"),
        (Calls(lambda x: x.flatten(1) + 1), (3, 8, 8), "an addition is supported between two activations"),
        (
            Calls(lambda x, c: c(x) + F.max_pool2d(x, 8), nn.Conv2d(3, 3, 3)),
            (3, 8, 8),
            "between activations of one shape",
        ),
        (Calls(lambda x: F.pad(x, (1, 1), value=2.0)), (3, 8), "padding is supported with zeros"),
        (
            Calls(lambda x, head: x @ head.weight, nn.Linear(4, 4)),
            (4,),
            "a matrix product is supported as a linear layer",
        ),
        (Calls(lambda x: x @ x.t()), (4,), "an activation is transposed"),
        (Calls(lambda x: F.conv2d(x, x)), (3, 8, 8), "weights of a layer are computed from its input"),
        (
            Calls(lambda x, head: (head(x), head(x)), nn.Linear(4, 4)),
            (4,),
            "must return one tensor computed from its input",
        ),
        (Calls(lambda x, head: head.weight, nn.Linear(4, 4)), (4,), "must return one tensor computed from its input"),
        (
            Calls(lambda x, conv: (conv(x), F.max_pool2d(x, 2))[0], nn.Conv2d(3, 4, 3)),
            (3, 8, 8),
            "computes 'max_pool_1' and does",
        ),
        (
            Calls(lambda x, head: (y := head(x), F.relu(y))[0], nn.Linear(4, 4)),
            (4,),
            "computes 'relu_1' and does not use it",
        ),
    ],
)
def test_what_cannot_be_costed_is_named(module: nn.Module, shape: tuple[int, ...], message: str, device: str) -> None:
    with pytest.raises(InputError, match=message):
        trace(copy.deepcopy(module).to(device), shape)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Conv2d(3, 4, 7), (3, 6, 6), "cannot process an input of 3 x 6 x 6: .*[Kk]ernel size"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Linear(5, 4), (6,), "cannot process an input of 6: "),
        (nn.Linear(5, 4, bias=False), (6,), "cannot process an input of 6: "),
        (nn.Sequential(nn.Flatten(), nn.Linear(107, 4)), (3, 6, 6), "cannot process an input of 3 x 6 x 6: "),
    ],
)
def test_input_that_does_not_fit_is_infeasible(
    module: nn.Module, shape: tuple[int, ...], message: str, device: str
) -> None:
    with pytest.raises(Infeasible, match=message):
        trace(copy.deepcopy(module).to(device), shape)


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
