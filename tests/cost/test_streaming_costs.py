"""Costs of networks of one step: what they keep lies beside all else, in every plan."""

from itertools import combinations

import pytest
import torch
from problems.streams import FEATURES, STEPS, Stacked
from torch import Tensor, nn

from sparsemod.config import from_keywords
from sparsemod.cost import plan
from sparsemod.cost.layers import alive_bytes, layer_costs, total_costs
from sparsemod.cost.liveness import kept_bytes
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Tensors
from sparsemod.device import DEVICES
from sparsemod.errors import InputError
from sparsemod.frontend import FilterBank
from sparsemod.graph import Graph, trace
from sparsemod.graph.streaming import streamed
from sparsemod.problem import Problem
from sparsemod.report.networks import memory_map
from sparsemod.spaces import rnn


class Two(nn.Module):
    """Recurrent layers of 7 and 6 units on 5 features, and a linear layer of the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(5, 7, batch_first=True), nn.GRU(7, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)[0])[0][:, -1])


def test_working_memory_by_hand() -> None:
    """In words of four bytes: input 8, first states 8, last state 8, output 4; at most two of them at once.

    Each unit keeps two bytes of cell or exact state and one of its state: 7 x 3 and 6 x 3 are 24 and 20 in words. Of
    ten steps the input takes 52 and the first states 72; while the first layer runs, it needs 7 x 2 bytes itself.
    """
    graph = trace(Two(), (10, 5))
    found = plan(streamed(graph))
    assert found.size == found.lower_bound == 16 + 24 + 20
    assert found.scratch == {0: 16, 1: 40}
    assert plan(graph).size == 52 + 72 + 16


def test_float_states_take_four_bytes_each() -> None:
    """Input 20, first states 28, last state 24, output 12: 52 at most; 7 cells and states and 6 states are kept."""
    assert plan(streamed(trace(Two(), (10, 5), "none"))).size == 52 + 56 + 24


def test_more_steps_cost_nothing() -> None:
    short, long = (streamed(trace(Two(), (steps, 5))) for steps in (2, 500))
    assert (plan(short), short.macs) == (plan(long), long.macs)
    device = DEVICES["microbit-v2"]
    assert total_costs(short, device) == total_costs(long, device)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_lies_beside_all_else(seed: int) -> None:
    graph = streamed(trace(Stacked(seed), (STEPS,) if seed % 5 == 0 else (STEPS, FEATURES)))
    found, kept = plan(graph), kept_bytes(graph)
    assert list(kept) == [number for number, operator in enumerate(graph.operators) if operator.kind in ("lstm", "gru")]
    places = [range(found.scratch[number], found.scratch[number] + size) for number, size in kept.items()]
    for activation, start in zip(
        graph.activations, (found.offsets[n] for n in range(len(graph.activations))), strict=True
    ):
        assert start + activation.nbytes <= found.size - sum(kept.values())
    for one, other in combinations(places, 2):
        assert set(one).isdisjoint(other)
    assert max(place.stop for place in places) == found.size
    assert max(alive_bytes(graph, found.order)) == found.lower_bound == found.size


def test_layers_and_memory_map_say_what_is_kept() -> None:
    graph = streamed(trace(Two(), (10, 5)))
    rows = layer_costs(graph, DEVICES["microbit-v2"])
    assert [row.alive_bytes for row in rows] == [16 + 44, 16 + 44, 12 + 44]
    found = memory_map(graph)
    states = [buffer for buffer in found["buffers"] if "state of" in buffer["holds"][0]]
    assert [(*state["holds"], state["start"], state["size"], state["born"], state["dies"]) for state in states] == [
        ("state of first", 16, 24, 0, 2),
        ("state of second", 40, 20, 0, 2),
    ]


# --- the screen ------------------------------------------------------------------------------------------------------

SPACE = rnn.space(rnn_layers=1, rnn_units=(7, 7), fc_layers=0)
PARAMETERS = {
    **{"cell": "lstm", "rnn_layers": 1, "rnn1_units": 7, "bidirectional": False, "rnn_skip": False, "readout": "last"},
    **{"fc_layers": 0, "dropout": 0.0, "learning_rate": 0.01, "batch_size": 16, "prune_threshold": 0.0},
}


def screen(problem: Problem, shape: tuple[int, ...], **settings: object) -> Screen:
    one = Tensors(torch.zeros(1, *shape, dtype=torch.int16), torch.zeros(1, dtype=torch.int64))
    config = from_keywords(problem=problem, device="microbit-v2", streaming=True, **settings)
    return Screen(problem, config, Data(one, one, None, shape, 3))


def load_data() -> Data:
    raise AssertionError("a screen reads shapes alone")


def test_screen_costs_one_step() -> None:
    """Input 8 and state 8, and 24 that are kept; 4 x 7 x (5 + 7) products and 7 x 3."""
    costs = screen(Problem(SPACE, rnn.build, load_data), (10, 5)).costs(PARAMETERS)
    assert (costs["working_memory"], costs["macs"]) == (16 + 24, 336 + 21)


@pytest.mark.parametrize("changes", [{"bidirectional": True}, {"readout": "mean"}])
def test_members_that_cannot_be_streamed_do_not_fit(changes: dict[str, object]) -> None:
    found = screen(Problem(SPACE, rnn.build, load_data), (10, 5))
    assert "cannot be streamed" in str(found.misfit({**PARAMETERS, **changes}))
    assert found.misfit(PARAMETERS) is None


def test_a_front_end_and_streaming_are_refused_together() -> None:
    front = FilterBank(8_000, 8_000, layout="T F")
    problem = Problem(SPACE, rnn.build, load_data, frontend=lambda parameters: front)
    with pytest.raises(InputError, match="the front end of this problem gives all steps at once"):
        screen(problem, (8_000,)).misfit(PARAMETERS)


def test_graphs_of_whole_sequences_keep_nothing() -> None:
    assert kept_bytes(trace(Two(), (10, 5))) == {}
    assert Graph((), ()).steps == 0
