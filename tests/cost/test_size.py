from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.cost import cost, model_size_bytes
from sparsemod.device import DEVICES
from sparsemod.graph import Activation, Graph, Operator

ENDS = 10


def conv(weights: list[int], channels: int = 1, bias: bool = True, itemsize: int = 1) -> Operator:
    """`channels` outputs that share out the weights."""
    weight = torch.tensor(weights, dtype=torch.int8).reshape(channels, -1, 1, 1)
    return Operator(
        *("conv", "conv_0", (0,), 1),
        weight=weight if itemsize == 1 else weight.float(),
        weight_itemsize=itemsize,
        bias=torch.zeros(channels, dtype=torch.int32) if bias else None,
    )


def graph(*operators: Operator, itemsize: int = 1) -> Graph:
    return Graph(operators, (Activation((2, 4, 4), itemsize), Activation((2, 4, 4), itemsize)))


def meta(
    *shapes: tuple[int, ...], itemsizes: tuple[int, ...] = (), bits: tuple[int, ...] = (), sparsity: float = 0.0
) -> Graph:
    """Linear layers without values and without bias."""
    sizes = zip(itemsizes or (1,) * len(shapes), bits or (8,) * len(shapes), strict=True)
    operators = [
        Operator("linear", "fc", (0,), 1, weight=torch.empty(shape, device="meta"), weight_itemsize=item, weight_bits=b)
        for shape, (item, b) in zip(shapes, sizes, strict=True)
    ]
    return Graph(operators, (Activation((1,), 1), Activation((1,), 1)), sparsity)


def test_dense_weights_take_a_byte_each() -> None:
    """18 weights; 2 channels with a 4-byte bias, a 4-byte multiplier and a 1-byte shift."""
    assert model_size_bytes(graph(conv([1] * 18, 2))) == ENDS + 18 + 2 * (4 + 5)
    assert model_size_bytes(graph(conv([1] * 18, 2, bias=False))) == ENDS + 18 + 2 * 5


def test_sparse_weights_take_a_bit_each_and_a_byte_for_the_others() -> None:
    """A bitmap of 18 bits needs 3 bytes, and 6 weights are not zero."""
    assert model_size_bytes(graph(conv([0, 0, 1] * 6, 2))) == ENDS + 3 + 6 + 2 * 9


@pytest.mark.parametrize(("zeros", "stored"), [(0, 16), (1, 16), (2, 16), (3, 15), (14, 3), (15, 2), (16, 1)])
def test_the_smallest_encoding_is_stored(zeros: int, stored: int) -> None:
    """A bitmap takes 2 bytes; 15 zeros and the weight behind them are two runs of 4 bits, 16 zeros one of 8."""
    assert model_size_bytes(graph(conv([0] * zeros + [1] * (16 - zeros)))) == ENDS + stored + 9


def test_each_layer_chooses_its_own_form() -> None:
    dense, sparse = conv([1] * 16), conv([0] * 16)
    assert model_size_bytes(graph(dense, sparse)) == ENDS + 16 + 1 + 2 * 9


def test_float_weights_and_biases_take_four_bytes() -> None:
    assert model_size_bytes(graph(conv([1] * 18, 2, itemsize=4), itemsize=4)) == ENDS + 4 * 18 + 4 * 2
    assert model_size_bytes(graph(conv([0, 0, 1] * 6, 2, itemsize=4), itemsize=4)) == ENDS + 3 + 4 * 6 + 4 * 2


def test_int8_weights_on_float_activations_need_a_scale_per_channel() -> None:
    assert model_size_bytes(graph(conv([1] * 18, 2), itemsize=4)) == ENDS + 18 + 2 * (4 + 4)


@pytest.mark.parametrize(
    ("kind", "inputs", "constants"),
    [("add", (0, 0), 9), ("avg_pool", (0,), 5), ("relu", (0,), 5), ("max_pool", (0,), 0), ("reshape", (0,), 0)],
)
def test_constants_of_operators_without_weights(kind: str, inputs: tuple[int, ...], constants: int) -> None:
    assert model_size_bytes(graph(Operator(kind, kind, inputs, 1))) == ENDS + constants
    assert model_size_bytes(graph(Operator(kind, kind, inputs, 1), itemsize=4)) == ENDS


def test_size_before_training_is_dense() -> None:
    assert model_size_bytes(meta((3, 10), (2, 3))) == ENDS + 30 + 6 + 5 * 5


def test_size_before_training_with_sparsity_by_hand() -> None:
    """90 of 100 weights become zero: at most 10 + 90 / 15 runs of 4 bits, and 10 weights.

    Of 70, a bitmap of 13 bytes takes less than 30 + 70 / 15 runs; of 100, one run of 8 bits is enough.
    """
    assert model_size_bytes(meta((1, 100), sparsity=0.9)) == ENDS + 8 + 10 + 5
    assert model_size_bytes(meta((1, 100), sparsity=0.7)) == ENDS + 13 + 30 + 5
    assert model_size_bytes(meta((1, 100), sparsity=0.1)) == ENDS + 100 + 5
    assert model_size_bytes(meta((1, 100), sparsity=1.0)) == ENDS + 1 + 0 + 5


def test_pruned_weights_may_all_be_of_the_smaller_kind() -> None:
    """8 float and 80 int8 weights of which 44 become zero: at worst the 44 are int8."""
    assert model_size_bytes(meta((1, 8), (1, 80), itemsizes=(4, 1), sparsity=0.5)) == ENDS + (1 + 32) + (10 + 36) + 5


def test_sparsity_says_nothing_once_there_are_values() -> None:
    dense = graph(conv([1] * 16))
    assert model_size_bytes(replace(dense, sparsity=0.9)) == model_size_bytes(dense)


def test_network_without_weights_has_its_ends_only() -> None:
    assert model_size_bytes(Graph((), (Activation((4,), 1),))) == ENDS


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_sparsity_is_never_larger(one: float, other: float) -> None:
    less, more = sorted((one, other))
    shapes = ((3, 10), (5, 40), (2, 7))
    assert model_size_bytes(meta(*shapes, sparsity=more)) <= model_size_bytes(meta(*shapes, sparsity=less))


@given(st.data())
def test_no_place_of_the_zeros_needs_more_than_predicted(data: st.DataObject) -> None:
    """Zeros are dealt out unevenly: each layer has its own share of what is left."""
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 40)), min_size=1, max_size=4))
    itemsizes = tuple(data.draw(st.sampled_from([1, 4])) for _ in shapes)
    bits = tuple(data.draw(st.sampled_from([8, 4, 2])) for _ in shapes)
    total = sum(rows * columns for rows, columns in shapes)
    predicted = meta(*shapes, itemsizes=itemsizes, bits=bits, sparsity=data.draw(st.floats(0, 1)))
    left, operators = predicted.pruned, []
    for number, (operator, (rows, columns)) in enumerate(zip(predicted.operators, shapes, strict=True)):
        count = rows * columns
        later = sum(r * c for r, c in shapes[number + 1 :])
        zeros = data.draw(st.integers(max(left - later, 0), min(left, count)))
        left -= zeros
        weight = torch.ones(count)
        weight[data.draw(st.permutations(range(count)))[:zeros]] = 0
        operators.append(replace(operator, weight=weight.reshape(rows, columns)))
    found = Graph(operators, predicted.activations)
    assert found.params == total
    assert found.nnz == predicted.nnz
    assert model_size_bytes(found) <= model_size_bytes(predicted)


def test_cost_names_every_figure() -> None:
    found = cost(graph(conv([0, 0, 1] * 6, 2)), DEVICES["microbit-v2"])
    assert {name: found[name] for name in ("model_size", "working_memory", "macs", "params", "nnz")} == {
        "model_size": ENDS + 3 + 6 + 2 * 9,
        "working_memory": 64,
        "macs": 0,
        "params": 20,
        "nnz": 6,
    }
    assert found["latency"] > 0
    assert len(found) == 6  # no energy: the power is not known
    powered = cost(graph(conv([0, 0, 1] * 6, 2)), DEVICES["nano-33-ble"])
    assert powered["energy"] == pytest.approx(powered["latency"] * 9.9 / 1000)
    assert powered.keys() - found.keys() == {"energy"}
