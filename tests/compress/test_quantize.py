"""Quantized networks: what they cost, how close they stay, and what cannot be quantized."""

import copy
import json
from collections.abc import Callable

import pytest
import torch
from problems.modules import Calls, block
from problems.quantized_networks import IMAGE, NETWORKS, network
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.cost import cost
from sparsemod.device import DEVICES
from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, run, trace

SCHEMES = ["post", "dynamic", "both", "none"]


def same(one: Graph, other: Graph) -> bool:
    (tensors, plain), (others, other_plain) = one.to_tensors(), other.to_tensors()
    equal = tensors.keys() == others.keys() and all(torch.equal(value, others[key]) for key, value in tensors.items())
    return equal and plain == other_plain


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_costs_before_training_are_those_of_the_lowered_network(name: str, scheme: str) -> None:
    module, x = network(name)
    traced = trace(copy.deepcopy(module).to("meta"), x.shape[1:], scheme)
    lowered = lower(module, [x], scheme)
    before, after = dict(cost(traced, DEVICES["microbit-v2"])), dict(cost(lowered, DEVICES["microbit-v2"]))
    assert after.pop("nnz") <= before.pop("nnz")
    assert after == before
    assert [(operator.kind, operator.name) for operator in lowered.operators] == [
        (operator.kind, operator.name) for operator in traced.operators
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_lowered_network_stays_close_to_the_float_one(name: str, scheme: str) -> None:
    module, x = network(name)
    with torch.no_grad():
        expected = module(x.clone())
    error = run(lower(module, [x], scheme), x) - expected
    assert error.abs().max() < 0.03 * expected.abs().max()


def test_trained_classifier_keeps_its_decisions() -> None:
    torch.manual_seed(0)
    centers, labels = torch.randn(4, 1, 8, 8), torch.randint(0, 4, (512,))
    x = centers[labels] + 0.8 * torch.randn(512, 1, 8, 8)
    module = nn.Sequential(block(1, 6), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4))
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(module(x[:256]), labels[:256]).backward()
        optimizer.step()
    module.eval()
    graph = lower(module, [x[:64], x[64:128]])
    decisions, expected = run(graph, x[256:]).argmax(1), module(x[256:]).argmax(1)
    assert (expected == labels[256:]).float().mean() > 0.95
    assert (decisions == expected).float().mean() > 0.98


def test_weights_biases_and_activations_are_integers() -> None:
    module, x = network("plain")
    graph = lower(module, [x])
    for operator in graph.operators:
        if operator.weight is not None:
            assert operator.weight.dtype == torch.int8
            assert operator.weight.abs().flatten(1).amax(1).tolist() == [127] * len(operator.weight)
            assert operator.bias is not None
            assert operator.bias.dtype == torch.int32
        if operator.kind not in ("max_pool", "reshape"):
            assert operator.multiplier is not None
            assert operator.multiplier.dtype == torch.int32
            assert -128 <= operator.low <= operator.high <= 127
    assert {activation.itemsize for activation in graph.activations} == {1}


def test_relu_bounds_are_zero_points() -> None:
    module, x = network("plain")
    graph = lower(module, [x])
    first = graph.operators[0]
    assert first.low == graph.activations[first.output].zero_point == -128
    assert first.high == 127


@pytest.mark.parametrize("clamp", [F.relu, F.relu6, torch.relu, nn.ReLU6(), nn.Hardtanh(0, 4)])
def test_clamp_is_fused_however_it_is_written(clamp: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    network = Calls(lambda x, conv, head: head(clamp(conv(x)).flatten(1)), nn.Conv2d(3, 4, 3), nn.Linear(144, 5))
    graph = lower(network.eval(), [torch.randn(32, *IMAGE)])
    assert [operator.kind for operator in graph.operators] == ["conv", "reshape", "linear"]
    assert graph.operators[0].low == graph.activations[1].zero_point == -128


def test_dynamic_scheme_keeps_activations_float() -> None:
    module, x = network("plain")
    graph = lower(module, [x], "dynamic")
    assert {activation.itemsize for activation in graph.activations} == {4}
    convolution, head = graph.operators[0].weight, graph.operators[-1].weight
    assert convolution is not None
    assert head is not None
    assert (convolution.dtype, head.dtype) == (torch.float32, torch.int8)


def test_head_that_chose_dynamic_reads_int8_and_writes_float() -> None:
    module, x = network("dynamic head")
    graph = lower(module, [x], "both")
    assert [activation.itemsize for activation in graph.activations] == [1, 1, 1, 4]
    assert graph.operators[-1].multiplier is None
    assert [activation.itemsize for activation in lower(module, [x], "post").activations] == [1, 1, 1, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lowering_leaves_the_module_as_it_was(scheme: str) -> None:
    module, x = network("residual")
    module.train()
    module.parts[0].eval()
    weights, modes = copy.deepcopy(module.state_dict()), [part.training for part in module.modules()]
    inputs = x.clone()
    lower(module, [x], scheme)
    assert module.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert [part.training for part in module.modules()] == modes
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert torch.equal(x, inputs)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lowering_twice_gives_the_same_graph(scheme: str) -> None:
    module, x = network("residual")
    assert same(lower(module, [x], scheme), lower(module, [x], scheme))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["residual", "one axis", "dynamic head"])
def test_graph_survives_a_file_of_tensors_and_json(name: str, scheme: str) -> None:
    module, x = network(name)
    graph = lower(module, [x], scheme)
    tensors, plain = graph.to_tensors()
    again = Graph.from_tensors(tensors, json.loads(json.dumps(plain, allow_nan=False)))
    assert same(again, graph)
    assert torch.equal(run(again, x), run(graph, x))
    assert dict(cost(again, DEVICES["stm32f446"])) == dict(cost(graph, DEVICES["stm32f446"]))


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_pruned_weights_stay_zero_and_the_predicted_size_is_a_bound(scheme: str, bits: int) -> None:
    module, x = network("separable")
    module.weight_bits = bits
    with torch.no_grad():
        weights = [parameter for parameter in module.parameters() if parameter.dim() > 1]
        masks = [torch.rand_like(weight) < 0.8 for weight in weights]
        for weight, mask in zip(weights, masks, strict=True):
            weight[mask] = 0
    zeros = sum(int(mask.sum()) for mask in masks)
    graph = lower(module, [x], scheme)
    for operator, mask in zip([o for o in graph.operators if o.weight is not None], masks, strict=True):
        assert operator.weight is not None
        assert not operator.weight[mask].any()
    meta = trace(copy.deepcopy(module).to("meta"), x.shape[1:], scheme)
    predicted = Graph(meta.operators, meta.activations, zeros / sum(weight.numel() for weight in weights))
    device = DEVICES["microbit-v2"]
    assert predicted.pruned == zeros
    assert graph.nnz <= predicted.nnz
    assert cost(graph, device)["model_size"] <= cost(predicted, device)["model_size"] < cost(meta, device)["model_size"]
    assert cost(graph, device)["working_memory"] == cost(meta, device)["working_memory"]


@pytest.mark.parametrize("tiny", [0.0, 1e-12, 1e-4])
def test_channel_that_is_all_but_pruned_keeps_its_bias(tiny: float) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten())
    with torch.no_grad():
        module[0].weight[1] = tiny
        module[0].bias.copy_(torch.tensor([0.1, 5.0, -0.1]))
    x = torch.randn(16, 2, 4, 4) / 1000  # fine steps, of which a bias of 5 would need 2^37
    graph = lower(module, [x])
    step = graph.activations[graph.output].scale
    assert step < 0.05
    assert (run(graph, x).reshape(16, 3, 4)[:, 1] - 5.0).abs().max() <= step
    bias = graph.operators[0].bias
    assert bias is not None
    assert bias.abs().max() < 2**30


def test_dead_network_lowers_to_a_constant() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    x = 1000 * torch.randn(4, 1, 4, 4)
    assert not run(lower(module, [x]), x).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weight_that_is_not_finite_is_infeasible(scheme: str, value: float) -> None:
    module, x = network("plain")
    module[5].weight.data[0, 0] = value
    with pytest.raises(Infeasible, match="a trained weight is NaN or infinite; a smaller learning rate may help"):
        lower(module, [x], scheme)


def test_activation_that_is_not_finite_is_infeasible() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 1e25)
    with pytest.raises(
        Infeasible, match="an activation is NaN or infinite on the calibration data; a smaller learning"
    ):
        lower(module, [torch.rand(4, 4)])
    with pytest.raises(Infeasible, match="an activation is NaN or infinite"):
        lower(nn.Linear(2, 2), [torch.full((4, 2), float("nan"))])


def test_sum_beyond_the_accumulator_is_infeasible() -> None:
    module = nn.Sequential(nn.Linear(70_000, 1))
    nn.init.ones_(module[0].weight)
    with pytest.raises(Infeasible, match=r"0: the sum of products can reach 2.27e\+09, beyond the 32-bit accumulator"):
        lower(module, [torch.randn(2, 70_000)])


def test_operator_that_cannot_be_costed_is_an_input_error() -> None:
    with pytest.raises(InputError, match="operator 'softplus' cannot be costed"):
        lower(nn.Sequential(nn.Linear(3, 2), nn.Softplus()), [torch.randn(4, 3)])


@pytest.mark.parametrize("scheme", ["post", "dynamic", "both"])
def test_layer_that_quantization_does_not_see_is_an_input_error(scheme: str) -> None:
    module = Calls(lambda x, linear: x @ linear.weight.t(), nn.Linear(4, 3))
    with pytest.raises(
        InputError, match=r"parts.0: the trace sees linear .* and quantization linear .* modules of torch.nn"
    ):
        lower(module, [torch.randn(4, 4)], scheme)
    assert len(lower(module, [torch.randn(4, 4)], "none").operators) == 1


def test_calibration_sets_the_range() -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.ones_(module[0].weight)
    graph = lower(module, [torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [1.55]])])
    assert graph.activations[0].scale == pytest.approx(1.55 / 255)
    assert graph.activations[0].zero_point == -128
    assert run(graph, torch.tensor([[2.0], [-1.0]])).flatten().tolist() == pytest.approx([1.55, 0.0])


def test_one_sample_is_enough_to_calibrate() -> None:
    module, x = network("plain")
    assert run(lower(module, [x[:1]]), x).shape == (64, 5)
