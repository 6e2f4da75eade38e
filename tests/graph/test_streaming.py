"""A network of one step gives what that of the whole sequence gives, bit for bit; what it cannot give it refuses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems.random_networks import Random
from problems.streams import FEATURES, STEPS, Stacked, Stepwise, whole
from torch import Tensor, nn

from sparsemod.cost import latency_ms, model_size_bytes, plan
from sparsemod.device import DEVICES
from sparsemod.errors import Infeasible, InputError
from sparsemod.frontend import FilterBank
from sparsemod.graph import Graph, run, trace
from sparsemod.graph.run import activations
from sparsemod.graph.streaming import streamed
from sparsemod.spaces import rnn

# --- the same --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_streaming_equals_the_whole_sequence(seed: int) -> None:
    module = Stacked(seed)
    x = module.inputs(20)
    graph = whole(module, x)
    assert torch.equal(run(streamed(graph), x), run(graph, x))


@pytest.mark.parametrize("seed", range(12))
def test_members_of_the_space_stream(seed: int) -> None:
    space = rnn.space(rnn_layers=3, rnn_units=(2, 12), fc_layers=1, fc_units=(4, 8), weight_bits=(8, 4, 2))
    parameters = {**space.sample(np.random.default_rng(seed)), "bidirectional": False, "readout": "last"}
    torch.manual_seed(seed)
    module, x = rnn.build(parameters, (STEPS, FEATURES), 3), torch.randn(16, STEPS, FEATURES)
    graph = whole(module, x)
    assert torch.equal(run(streamed(graph), x), run(graph, x))


def test_operators_of_every_kind_take_one_step() -> None:
    torch.manual_seed(0)
    x = torch.randn(32, STEPS, FEATURES)
    graph = whole(Stepwise(), x)
    found = streamed(graph)
    assert torch.equal(run(found, x), run(graph, x))
    assert {operator.kind for operator in graph.operators} == {
        *("layer_norm", "function", "concat", "slice", "depthwise", "conv", "permute", "gru", "mul", "softmax", "add"),
        *("reshape", "lstm", "relu", "linear"),
    }
    of_steps = [shape for shape in (one.shape for one in graph.activations) if STEPS in shape]
    assert len(of_steps) > 10 and not any(STEPS in one.shape for one in found.activations)


def test_random_networks_are_refused_or_the_same() -> None:
    """Of these 60 some 18 stream."""
    same = 0
    for seed in range(60):
        module = Random(seed, sequence=True)
        try:
            streamed(trace(module, module.shape))
        except Infeasible:
            continue
        x = module.inputs(8)
        graph = whole(module, x)
        assert torch.equal(run(streamed(graph), x), run(graph, x)), seed
        same += 1
    assert same > 10


@pytest.mark.parametrize("scheme", ["none", "dynamic"])
@pytest.mark.parametrize("seed", [1, 2, 6, 11])
def test_float_networks_stream_to_rounding(seed: int, scheme: str) -> None:
    module = Stacked(seed)
    x = module.inputs(8)
    graph = whole(module, x, scheme)
    assert torch.allclose(run(streamed(graph), x), run(graph, x), atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_costed_before_training_is_what_is_found_after_it(seed: int) -> None:
    module = Stacked(seed)
    x = module.inputs(8)
    traced, lowered = streamed(trace(module, x.shape[1:])), streamed(whole(module, x))
    device = DEVICES["microbit-v2"]
    assert [operator.kind for operator in traced.operators] == [operator.kind for operator in lowered.operators]
    assert (traced.macs, plan(traced), latency_ms(traced, device)) == (
        *(lowered.macs, plan(lowered), latency_ms(lowered, device)),
    )
    assert traced.input_shape == lowered.input_shape == x.shape[1:]
    assert model_size_bytes(lowered) == model_size_bytes(whole(module, x))


def test_work_is_that_of_one_step_and_of_all_behind_the_last() -> None:
    """An LSTM of 3 units on 4 features: 4 x 3 x (4 + 3) products a step; the head has 3 x 2."""
    module = Last(nn.LSTM(FEATURES, 3, batch_first=True))
    graph = trace(module, (STEPS, FEATURES))
    assert (graph.macs, streamed(graph).macs) == (STEPS * 84 + 6, 84 + 6)


class Last(nn.Module):
    """The last state of a recurrent layer, and a linear layer of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(layer.hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_after_any_number_of_steps_the_output_is_that_of_the_steps_so_far(kind: type, steps: int) -> None:
    torch.manual_seed(0)
    graph = whole(Last(kind(FEATURES, 6, batch_first=True)), torch.randn(16, STEPS, FEATURES))
    x = torch.randn(5, steps, FEATURES)
    assert torch.equal(run(streamed(graph), x), run(graph, x))  # this one takes sequences of any length


def test_a_sequence_of_one_step_streams() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 1, FEATURES)
    graph = whole(Last(nn.GRU(FEATURES, 6, batch_first=True)), x)
    assert streamed(graph).steps == 1
    assert torch.equal(run(streamed(graph), x), run(graph, x))


def test_activations_are_those_of_the_last_step() -> None:
    module = Stacked(3)
    x = module.inputs(4)
    graph = streamed(whole(module, x))
    values = activations(graph, x)
    assert {position: tuple(value.shape[1:]) for position, value in values.items()} == {
        position: activation.shape for position, activation in enumerate(graph.activations)
    }
    source, target = graph.activations[0], graph.activations[graph.output]
    expected = torch.floor(x[:, -1:] / source.scale + 0.5) + source.zero_point
    assert torch.equal(values[0].float(), expected.clamp(-128, 127))
    assert torch.equal((values[graph.output] - float(target.zero_point)) * target.scale, run(graph, x))


def test_it_is_stored_as_what_it_is() -> None:
    module = Stacked(1)
    x = module.inputs(4)
    graph = streamed(whole(module, x))
    again = Graph.from_tensors(*graph.to_tensors())
    assert again.steps == STEPS
    assert torch.equal(run(again, x), run(graph, x))
    assert "steps" not in whole(module, x).to_tensors()[1]


# --- refused ---------------------------------------------------------------------------------------------------------


class Refused(nn.Module):
    """A GRU, and what a function makes of input and layer; a head on what is left."""

    def __init__(self, function: Callable[[Tensor, nn.Module], Tensor], both: bool = False) -> None:
        super().__init__()
        self.gru, self.function = nn.GRU(4, 4, batch_first=True, bidirectional=both), function
        self.part = nn.ModuleList([nn.Conv1d(4, 4, 3, padding=1), nn.LayerNorm((STEPS, 4)), nn.AvgPool1d(STEPS)])
        self.head = nn.LazyLinear(2)
        self(torch.zeros(2, STEPS, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(x, self))


CASES: dict[str, tuple[Refused, str]] = {
    "both directions": (
        Refused(lambda x, m: m.gru(x)[0][:, -1], both=True),
        "gru.l0_reverse: this gru begins with the last step",
    ),
    "mean over time": (
        Refused(lambda x, m: m.gru(x)[0].mean(1)),
        "avg_pool_2: this avg_pool reads several steps at once",
    ),
    "convolution over time": (
        Refused(lambda x, m: m.gru(m.part[0](x.transpose(1, 2)).transpose(1, 2))[0][:, -1]),
        "part.0: this conv reads several steps at once",
    ),
    "norm over time": (
        Refused(lambda x, m: m.gru(m.part[1](x))[0][:, -1]),
        "part.1: this layer_norm reads several steps at once",
    ),
    "pooling over time": (
        Refused(lambda x, m: m.part[2](m.gru(x)[0].transpose(1, 2)).flatten(1)),
        "avg_pool_3: this avg_pool reads several steps at once",
    ),
    "softmax over time": (
        Refused(lambda x, m: m.gru(x.transpose(1, 2).softmax(-1).transpose(1, 2))[0][:, -1]),
        "softmax_1: this softmax reads several steps at once",
    ),
    "flattened": (
        Refused(lambda x, m: m.gru(x)[0].flatten(1)),
        "reshape_1: this reshape flattens all steps to one vector",
    ),
    "joined along time": (
        Refused(lambda x, m: m.gru(torch.cat([x, x], 1))[0][:, -1]),
        "concat_0: this concat reads several steps at once",
    ),
    "the first step": (Refused(lambda x, m: m.gru(x)[0][:, 0]), "slice_1: this slice reads other steps than the last"),
    "half of the steps": (
        Refused(lambda x, m: m.gru(x[:, STEPS // 2 :])[0][:, -1]),
        "slice_0: this slice reads other steps than the last",
    ),
    "the end beside all steps": (
        Refused(lambda x, m: (lambda y: (y * y[:, -1:].sigmoid())[:, -1])(m.gru(x)[0])),
        "this mul joins every step with what is known behind the last one",
    ),
    "the end once more": (
        Refused(lambda x, m: m.gru(m.gru(x)[0][:, -1:])[0][:, -1]),
        "this gru goes along something else than the first axis of the input",
    ),
    "steps last": (
        Refused(lambda x, m: m.gru(x.transpose(1, 2)[:, :, :4])[0][:, -1]),
        "slice_1: this slice reads other steps than the last",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_needs_other_steps_is_refused_by_name(name: str) -> None:
    module, words = CASES[name]
    graph = trace(module, (STEPS, 4))
    with pytest.raises(Infeasible, match=f"{words}.*which cannot be streamed; .*or set .TRAIN. streaming = false"):
        streamed(graph)


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(32, 2)), (3, 6, 6), "0: this conv reads several"),
        (nn.Linear(5, 2), (5,), "fc: this linear reads several"),
        (nn.LayerNorm(4), (STEPS, 4), "the network gives something for every step"),
        (nn.Identity(), (STEPS, 4), "the network gives something for every step"),
    ],
)
def test_networks_of_no_sequence_are_refused(module: nn.Module, shape: tuple[int, ...], words: str) -> None:
    graph = trace(module, shape)
    graph = graph.renamed(["fc"]) if len(graph.operators) == 1 else graph
    with pytest.raises(Infeasible, match=words):
        streamed(graph)


def test_a_front_end_gives_all_steps_at_once() -> None:
    graph = Graph((), (), frontend=FilterBank(8_000, 8_000))
    with pytest.raises(
        InputError, match="the front end of this problem gives all steps at once; set streaming = false"
    ):
        streamed(graph)
