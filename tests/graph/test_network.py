import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.network import fixed_point


def two_layers(device: str = "cpu") -> Graph:
    """conv 1 -> 2 with a 1 x 3 kernel on 1 x 4 pixels, then linear 4 -> 1 without bias."""
    conv = torch.tensor([[1, 0, 0], [0, 2, 3]], dtype=torch.int8).reshape(2, 1, 1, 3).to(device)
    linear = torch.tensor([[0, 0, 0, 4]], dtype=torch.int8).to(device)
    bias = torch.tensor([0, 5], dtype=torch.int32).to(device)
    return Graph(
        (
            Operator("conv", "a", (0,), 1, macs=12, options={"stride": (1, 1)}, weight=conv, bias=bias, low=0.0),
            Operator("reshape", "reshape_1", (1,), 2),
            Operator("linear", "b", (2,), 3, macs=4, weight=linear, weight_scale=torch.tensor([0.1])),
        ),
        (Activation((1, 1, 4), 1, 0.1, -3), Activation((2, 1, 2), 1), Activation((4,), 1), Activation((1,), 4)),
    )


def test_activation_counts_elements_and_bytes() -> None:
    assert Activation((3, 8, 8), 1).nbytes == 192
    assert Activation((3, 8, 8), 4).nbytes == 768
    assert Activation((10,), 4).numel == 10


def test_graph_counts_macs_params_and_nonzeros() -> None:
    graph = two_layers()
    assert graph.macs == 16
    assert graph.params == 6 + 2 + 4
    assert graph.nnz == 3 + 1 + 1
    assert graph.output == 3


def test_sparsity_counts_only_before_there_are_values() -> None:
    graph = two_layers()
    assert Graph(graph.operators, graph.activations, sparsity=0.5).nnz == 5
    traced = two_layers("meta")
    assert traced.nnz == 12
    assert Graph(traced.operators, traced.activations, sparsity=0.5).nnz == 12 - 5


def test_graph_without_operators_hands_its_input_on() -> None:
    graph = Graph((), (Activation((4,), 1),))
    assert (graph.macs, graph.params, graph.nnz, graph.output) == (0, 0, 0, 0)


def test_renamed_changes_names_only() -> None:
    graph = two_layers()
    other = graph.renamed(["x", "y", "z"])
    assert [operator.name for operator in other.operators] == ["x", "y", "z"]
    assert [operator.kind for operator in other.operators] == ["conv", "reshape", "linear"]
    assert [operator.name for operator in graph.operators] == ["a", "reshape_1", "b"]
    with pytest.raises(ValueError, match="shorter"):
        graph.renamed(["x"])


def test_tensors_and_json_hold_the_whole_graph() -> None:
    graph = two_layers()
    tensors, plain = graph.to_tensors()
    assert sorted(tensors) == ["0.bias", "0.weight", "2.weight", "2.weight_scale"]
    again = Graph.from_tensors(tensors, json.loads(json.dumps(plain, allow_nan=False)))
    assert again.activations == graph.activations
    for before, after in zip(graph.operators, again.operators, strict=True):
        assert vars(after).keys() == vars(before).keys()
        for key, value in vars(before).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(after, key), value)
            else:
                assert getattr(after, key) == value


@pytest.mark.parametrize(
    ("real", "multiplier", "shift"),
    [
        (1.0, 2**21, 21),
        (0.5, 2**21, 22),
        (3.0, 3 * 2**20, 20),
        (1 - 2**-30, 2**21, 21),  # rounds up to a power of two
        (2.0**-23, 2**21, 44),
        (2.0**-24, 2**20, 44),  # the largest shift: precision ends here
        (2.0**-44, 1, 44),
        (1e-20, 0, 44),
        (2.0**30, 2**22 - 1, 1),  # saturates
    ],
)
def test_fixed_point_by_hand(real: float, multiplier: int, shift: int) -> None:
    found = fixed_point(torch.tensor([real], dtype=torch.float64))
    assert [int(value) for value in found] == [multiplier, shift]
    assert found[0].dtype == found[1].dtype == torch.int32


@given(st.lists(st.floats(math.log(1e-6), math.log(1e3)).map(math.exp), min_size=1, max_size=8))
def test_fixed_point_is_accurate_from_a_millionth_to_a_thousand(real: list[float]) -> None:
    multiplier, shift = fixed_point(torch.tensor(real, dtype=torch.float64))
    for wanted, m, s in zip(real, multiplier.tolist(), shift.tolist(), strict=True):
        assert m < 2**22
        assert 1 <= s <= 44
        assert abs(m / 2**s - wanted) <= wanted * 2**-22
