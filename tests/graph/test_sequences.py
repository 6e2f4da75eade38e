"""Sequences as they are traced and costed: recurrent layers, single steps of them, and embeddings of tokens."""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from sparsemod.compress.prune import prunable
from sparsemod.compress.quantize import lower
from sparsemod.cost import latency_ms, model_size_bytes, plan
from sparsemod.cost.layers import layer_costs
from sparsemod.cost.size import ENDS, shared_bytes
from sparsemod.device import DEVICES
from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, run, trace


class Reads(nn.Module):
    """What `read` makes of the output and the states of a recurrent layer; behind an embedding if there are tokens."""

    def __init__(self, layer: nn.Module, read: Callable[..., Tensor], tokens: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, layer.input_size) if tokens else nn.Identity()
        self.rnn, self.read = layer, read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(*self.rnn(self.embedding(x)))


def lstm(read: Callable[..., Tensor], **settings: object) -> Reads:
    """Five features, six units."""
    return Reads(nn.LSTM(5, 6, batch_first=True, **settings), read)


def gru(read: Callable[..., Tensor], **settings: object) -> Reads:
    return Reads(nn.GRU(5, 6, batch_first=True, **settings), read)


def both_ends(steps: Tensor, states: Tensor) -> Tensor:
    return torch.cat([steps[:, -1, :6], steps[:, 0, 6:]], 1)


def outline(graph: Graph) -> list[tuple]:
    return [(operator.kind, graph.activations[operator.output].shape) for operator in graph.operators]


# --- what is traced --------------------------------------------------------------------------------------------------

NETWORKS = {
    "all steps": (lstm(lambda steps, states: steps), [("lstm", (7, 6))]),
    "last step": (lstm(lambda steps, states: steps[:, -1]), [("lstm", (6,))]),
    "last state": (lstm(lambda steps, states: states[0][-1], num_layers=2), [("lstm", (7, 6)), ("lstm", (6,))]),
    "only state": (gru(lambda steps, states: states.squeeze(0)), [("gru", (6,))]),
    "third step": (gru(lambda steps, states: steps[:, 2, :]), [("gru", (7, 6)), ("slice", (6,))]),
    "some steps": (gru(lambda steps, states: steps[:, 2:-1]), [("gru", (7, 6)), ("slice", (4, 6))]),
    "mean": (
        gru(lambda steps, states: steps.mean(1)),
        [("gru", (7, 6)), ("permute", (6, 7)), ("avg_pool", (6, 1)), ("reshape", (6,))],
    ),
    "both directions": (
        lstm(lambda steps, states: torch.cat([states[0][-2], states[0][-1]], 1), bidirectional=True),
        [("lstm", (6,)), ("lstm", (6,)), ("concat", (12,))],
    ),
    "both ends": (
        gru(both_ends, bidirectional=True),
        [("gru", (7, 6)), ("gru", (7, 6)), ("concat", (7, 12)), ("slice", (12,)), ("slice", (6,)), ("slice", (12,)),
         ("slice", (6,)), ("concat", (12,))],
    ),
    "state of the first layer": (
        gru(lambda steps, states: torch.cat([steps[:, -1], states[0]], 1), num_layers=2),
        [("gru", (7, 6)), ("gru", (6,)), ("slice", (6,)), ("concat", (12,))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("module", "operators"), NETWORKS.values(), ids=NETWORKS.keys())
def test_what_is_read_of_a_layer(module: nn.Module, operators: list, device: str) -> None:
    assert outline(trace(copy.deepcopy(module).to(device), (7, 5))) == operators


@pytest.mark.parametrize("module", [module for module, _ in NETWORKS.values()], ids=NETWORKS.keys())
def test_what_is_read_is_computed(module: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 7, 5)
    assert torch.allclose(run(trace(module, (7, 5), "none"), x), module(x), atol=1e-6)
    graph = lower(module.eval(), [x])
    assert outline(graph) == outline(trace(module, (7, 5)))
    assert (run(graph, x) - module(x)).abs().max() < 4 / 128


def test_layers_and_directions_have_names() -> None:
    names = [operator.name for operator in trace(NETWORKS["both ends"][0], (7, 5)).operators]
    assert names[:3] == ["rnn.l0", "rnn.l0_reverse", "concat_2"]
    assert trace(NETWORKS["all steps"][0], (7, 5)).operators[0].name == "rnn"


def test_batch_norm_behind_a_layer_stays_alone() -> None:
    """Of the last step it has six channels; of all steps it has seven, one for each."""
    for read, width in ((lambda steps, states: steps[:, -1], 6), (lambda steps, states: steps, 7)):
        module = nn.Sequential(lstm(read), nn.BatchNorm1d(width)).eval()
        assert [operator.kind for operator in trace(module, (7, 5)).operators] == ["lstm", "depthwise"]
        x = torch.randn(16, 7, 5)
        assert torch.allclose(run(trace(module, (7, 5), "none"), x), module(x), atol=1e-5)


# --- costs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "rows"), [(lstm(lambda steps, states: steps), 24), (gru(both_ends), 18)])
def test_costs_by_hand(module: nn.Module, rows: int) -> None:
    """Seven steps of five features and six units: a row has 11 weights and two scales, a unit four biases."""
    first = trace(module, (7, 5)).operators[0]
    assert first.macs == 7 * rows * 11
    assert (first.weight.numel(), first.bias.numel()) == (rows * 11, 24)
    graph = trace(lstm(module.read) if rows == 24 else gru(lambda steps, states: steps), (7, 5))
    assert model_size_bytes(graph) == rows * 11 + 24 * 4 + rows * 2 * 5 + 2 * 257 + ENDS
    device = DEVICES["microbit-v2"]
    cycles = 300 + 3.9 * (7 * rows * 11 + 25 * 7 * rows)
    assert latency_ms(graph, device) == pytest.approx(cycles / 64e3)


def test_one_table_serves_all_layers() -> None:
    one, two = (trace(gru(lambda steps, states: steps, num_layers=count), (7, 5)) for count in (1, 2))
    assert shared_bytes(one) == shared_bytes(two) == 2 * 257 + ENDS
    rows = layer_costs(two, DEVICES["microbit-v2"])
    assert sum(row.flash_bytes for row in rows) + shared_bytes(two) == model_size_bytes(two)
    assert shared_bytes(trace(gru(lambda steps, states: steps), (7, 5), "none")) == ENDS


def test_memory_by_hand() -> None:
    """Input 36 bytes; all states 44 and the cells 12; or the last states 8, and 20 for the cells and those before."""
    everything, last = (trace(NETWORKS[name][0], (7, 5)) for name in ("all steps", "last step"))
    assert (plan(everything).size, plan(last).size) == (36 + 44 + 12, 36 + 8 + 20)
    assert layer_costs(last, DEVICES["microbit-v2"])[0].alive_bytes == 64
    [(operator, start)] = plan(last).scratch.items()
    taken = sorted(
        [(start, start + 20), *((plan(last).offsets[p], plan(last).offsets[p] + n) for p, n in ((0, 36), (1, 8)))]
    )
    assert operator == 0
    assert all(one[1] <= other[0] for one, other in pairwise(taken))


def test_a_chain_of_layers_needs_no_more_than_its_largest_step() -> None:
    module = nn.Sequential(gru(lambda steps, states: steps, num_layers=3), nn.Linear(6, 3))
    module[0].read = lambda steps, states: steps[:, -1]
    planned = plan(trace(module, (7, 5)))
    assert planned.size == planned.lower_bound == 44 + 44 + 12


def test_weights_of_layers_are_pruned_and_those_of_embeddings_are_not() -> None:
    module = Reads(nn.GRU(5, 6, batch_first=True), lambda steps, states: states[-1], tokens=9)
    assert [weight.shape for weight in prunable(module)] == [(18, 5), (18, 6)]
    for weight in prunable(module):
        weight.data[:, ::2] = 0
    graph = lower(module.eval(), [torch.randint(9, (16, 7))])
    assert graph.operators[1].weight.count_nonzero() <= 18 * 5
    assert layer_costs(graph, DEVICES["microbit-v2"])[1].encoding == "bitmap"


# --- embeddings ------------------------------------------------------------------------------------------------------


def test_a_token_reads_one_row() -> None:
    """The table is in steps of its largest weight over 127, whatever the calibration has seen of it."""
    module = nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(6, 2)).eval()
    module[0].weight.data = torch.tensor([[1.27, -0.5], [0.1, 0.0], [-1.0, 0.02], [0.3, 0.4]])
    graph = lower(module, [torch.ones(8, 3, dtype=torch.int64)])
    assert graph.operators[0].weight.tolist() == [[127, -50], [10, 0], [-100, 2], [30, 40]]
    assert (graph.activations[0].scale, graph.activations[0].zero_point) == (1.0, -128)
    assert graph.activations[1].scale == pytest.approx(0.01)
    traced = trace(module, (3,))
    assert traced.operators[0].macs == 0
    assert model_size_bytes(traced) == 4 * 2 + 2 * 6 + 2 * 4 + 2 * 5 + ENDS
    assert model_size_bytes(graph) <= model_size_bytes(traced)


def test_a_token_beyond_the_table_reads_its_last_row() -> None:
    module = nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(6, 2)).eval()
    graph = lower(module, [torch.randint(4, (8, 3))])
    assert torch.equal(run(graph, torch.tensor([[3, 255, 4]])), run(graph, torch.tensor([[3, 3, 3]])))


@pytest.mark.parametrize("scheme", ["post", "dynamic", "none"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_tokens_run_in_every_scheme(kind: type, scheme: str) -> None:
    torch.manual_seed(0)
    module = Reads(kind(5, 6, batch_first=True), lambda steps, states: steps[:, -1], tokens=20).eval()
    x = torch.randint(20, (16, 7))
    assert (run(lower(module, [x], scheme), x) - module(x)).abs().max() < (4 / 128 if scheme == "post" else 0.01)


def test_padded_token_has_a_row_of_zeros() -> None:
    module = nn.Sequential(nn.Embedding(4, 2, padding_idx=0), nn.Flatten(), nn.Linear(6, 2)).eval()
    assert lower(module, [torch.randint(4, (8, 3))]).operators[0].weight[0].tolist() == [0, 0]


@pytest.mark.parametrize("embedding", ["post", "dynamic", "none"])
@pytest.mark.parametrize("layer", ["post", "dynamic", "none"])
def test_parts_of_other_schemes_meet(embedding: str, layer: str) -> None:
    """Only what is int8 on both sides stays so; a step of the states or of what they become is below 0.01."""
    torch.manual_seed(0)
    rnn = nn.GRU(5, 6, num_layers=2, batch_first=True, bidirectional=True)
    module = nn.Sequential(Reads(rnn, lambda steps, states: steps[:, -1], tokens=20), nn.Linear(12, 3)).eval()
    module[0].embedding.quant_scheme, rnn.quant_scheme = embedding, layer
    x = torch.randint(20, (16, 7))
    graph = lower(module, [x], "both")
    assert (run(graph, x) - module(x)).abs().max() < 0.01
    sizes = [graph.activations[operator.output].itemsize for operator in graph.operators if operator.kind == "gru"]
    assert sizes == [1 if layer == "post" else 4] * 4


@pytest.mark.parametrize("scheme", ["post", "dynamic"])
def test_a_graph_comes_back_from_its_file(scheme: str) -> None:
    torch.manual_seed(0)
    x = torch.randint(9, (16, 7))
    module = Reads(nn.LSTM(5, 6, 2, batch_first=True), lambda steps, states: steps[:, 1:-1], tokens=9)
    graph = lower(module.eval(), [x], scheme)
    assert torch.equal(run(Graph.from_tensors(*graph.to_tensors()), x), run(graph, x))


# --- what is refused -------------------------------------------------------------------------------------------------


class Starts(nn.Module):
    """Starts a layer from what `start` makes of the input."""

    def __init__(self, start: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rnn, self.start = nn.GRU(5, 6, batch_first=True), start

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, self.start(x))[0]


REFUSED = {
    "time first": (
        Reads(nn.LSTM(5, 6), lambda steps, states: steps),
        r"lstm .* set batch_first=True \(in module 'rnn'\)",
    ),
    "projection": (lstm(lambda steps, states: steps, proj_size=2), r"lstm with proj_size .*\(in module 'rnn'\)"),
    "cell": (lstm(lambda steps, states: states[1][-1]), r"h_n\[-1\]; c_n is not"),
    "all states": (
        gru(lambda steps, states: states.transpose(0, 1).flatten(1), num_layers=2),
        r"h_n\[-1\]; c_n is not",
    ),
    "a part of the states": (gru(lambda steps, states: states[:, :, 1:][-1]), r"h_n\[-1\]; c_n is not"),
    "start": (Starts(lambda x: x[:, 0, :1].expand(-1, 6)[None]), "'expand' cannot be costed"),
    "one direction": (
        gru(lambda steps, states: states[0], bidirectional=True),
        r"computes 'rnn.l0_reverse' and does not use it",
    ),
    "every second step": (gru(lambda steps, states: steps[:, ::2]), "without steps between its elements"),
    "every second sample": (gru(lambda steps, states: steps[:1]), "a part of the batch cannot be costed"),
    "plain layer": (Reads(nn.RNN(5, 6, batch_first=True), lambda steps, states: steps), "operator 'rnn_tanh' cannot"),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("module", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_costed_is_named(module: nn.Module, message: str, device: str) -> None:
    with pytest.raises(InputError, match=message):
        trace(copy.deepcopy(module).to(device), (7, 5))


def test_initial_states_are_refused() -> None:
    trace(Starts(lambda x: torch.zeros(1, len(x), 6)), (7, 5))
    with pytest.raises(InputError, match=r"gru is supported from zero on; call it without initial states .*'rnn'"):
        trace(Starts(lambda x: torch.ones(1, len(x), 6)), (7, 5))


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(5, 6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            lengths = torch.full((len(x),), 7)
            return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, True))[1][-1]

    with pytest.raises(InputError, match="cannot be costed"):
        trace(Packed(), (7, 5))


def test_more_tokens_than_eight_bits_are_refused_unless_float() -> None:
    module = nn.Sequential(nn.Embedding(257, 2), nn.Flatten(), nn.Linear(6, 2))
    message = "an embedding of 257 tokens; eight bits tell 256 apart: make one of the rare tokens, or .*'0'"
    with pytest.raises(InputError, match=message):
        trace(module, (3,))
    assert trace(module, (3,), "none").operators[0].kind == "embedding"


def test_input_of_another_size_is_infeasible() -> None:
    with pytest.raises(Infeasible, match="cannot process an input of 7 x 4"):
        trace(lstm(lambda steps, states: steps), (7, 4))
