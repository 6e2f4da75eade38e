from dataclasses import replace

import torch

from sparsemod.cost.sparse import input_and_output_bytes, input_and_weights_bytes
from sparsemod.graph import Activation, Graph, Operator


def linear(name: str, source: int, weight: torch.Tensor, bias: int = 0, itemsize: int = 1) -> Operator:
    zeros_and_ones = torch.tensor([1] * bias + [0], dtype=torch.int32)
    return Operator(
        *("linear", name, (source,), source + 1),
        weight=weight,
        weight_itemsize=itemsize,
        bias=zeros_and_ones if bias else None,
    )


def ones(outputs: int, inputs: int, zeros: int = 0) -> torch.Tensor:
    weight = torch.ones(outputs * inputs, dtype=torch.int8)
    weight[:zeros] = 0
    return weight.reshape(outputs, inputs)


def network(*operators: Operator, sizes: tuple[int, ...] = (20, 8, 3), itemsize: int = 1) -> Graph:
    return Graph(operators, [Activation((size,), itemsize) for size in sizes])


def test_weights_of_the_largest_layer_beside_its_input() -> None:
    """20 -> 8 -> 3: 20 + 160 and 8 + 24 bytes."""
    assert input_and_weights_bytes(network(linear("a", 0, ones(8, 20)), linear("b", 1, ones(3, 8)))) == 180


def test_zero_weights_and_biases_do_not_count() -> None:
    """20 + 160 - 150 + 2 biases are less than 8 + 24 + 1."""
    layers = (linear("a", 0, ones(8, 20, zeros=150), bias=2), linear("b", 1, ones(3, 8), bias=1))
    assert input_and_weights_bytes(network(*layers)) == 33
    assert input_and_weights_bytes(network(layers[0], sizes=(20, 8))) == 32


def test_input_beside_output_takes_no_weights() -> None:
    assert input_and_output_bytes(network(linear("a", 0, ones(8, 20)), linear("b", 1, ones(3, 8)))) == 28


def test_float_networks_take_four_bytes() -> None:
    graph = network(linear("a", 0, ones(8, 20).float(), itemsize=4), sizes=(20, 8), itemsize=4)
    assert input_and_weights_bytes(graph) == 4 * 180
    assert input_and_output_bytes(graph) == 4 * 28


def test_addition_has_two_inputs_and_a_reshape_is_no_layer() -> None:
    steps = (Operator("reshape", "flat", (0,), 1), Operator("add", "sum", (1, 2), 3))
    graph = network(steps[0], linear("a", 1, ones(20, 20, zeros=399)), steps[1], sizes=(20, 20, 20, 20))
    assert input_and_output_bytes(graph) == 60
    assert input_and_weights_bytes(graph) == 40
    assert input_and_output_bytes(network(steps[0], sizes=(20, 20))) == 20


def test_without_values_any_layer_may_keep_its_weights() -> None:
    """184 weights of which half are pruned: at most 92 are left in the first layer and 24 in the second."""
    meta = [weight.to("meta") for weight in (ones(8, 20), ones(3, 8))]
    dense = network(linear("a", 0, meta[0]), linear("b", 1, meta[1]))
    assert input_and_weights_bytes(dense) == 180
    assert input_and_weights_bytes(replace(dense, sparsity=0.5)) == 20 + 92
    assert input_and_output_bytes(replace(dense, sparsity=0.5)) == 28


def test_network_without_operators_holds_its_input() -> None:
    assert input_and_weights_bytes(network(sizes=(20,))) == input_and_output_bytes(network(sizes=(20,))) == 20
