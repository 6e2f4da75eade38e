"""Working memory as SpArSe estimates it [Fedorov2019], for comparison with the paper.

The paper looks at one layer l at a time, with input x_l, weights w_l and output y_l, and has two formulas for two kinds
of runtime:

    max over l of |x_l| + |w_l|     weights are copied to RAM, the output replaces the input
    max over l of |x_l| + |y_l|     weights stay in flash

Weights that are zero do not count. Neither formula knows skip connections, which live longer than one layer, nor where
in RAM an activation lies: `memory.plan` does, and is what sparsemod minimises.

[Fedorov2019] SpArSe, NeurIPS 2019, arXiv 1905.12107.
"""

import torch

from sparsemod.graph import Graph, Operator


def input_and_weights_bytes(graph: Graph) -> int:
    """Largest sum of a layer's input and its weights and biases that are not zero.

    A parameter takes as many bytes as a weight of its layer. Before there are values, `graph.sparsity` says how many
    weights will be zero but not where: the result is then the largest that any place can lead to.
    """
    weights = sum(operator.weight.numel() for operator in graph.operators if operator.weight is not None)
    kept = weights - graph.pruned
    return max(
        (_input_bytes(graph, operator) + _parameters(operator, kept) * operator.weight_itemsize
         for operator in _layers(graph)),
        default=graph.activations[0].nbytes,
    )  # fmt: skip


def input_and_output_bytes(graph: Graph) -> int:
    """Largest sum of a layer's input and output."""
    return max(
        (_input_bytes(graph, operator) + graph.activations[operator.output].nbytes for operator in _layers(graph)),
        default=graph.activations[0].nbytes,
    )


def _layers(graph: Graph) -> list[Operator]:
    return [operator for operator in graph.operators if operator.kind != "reshape"]


def _input_bytes(graph: Graph, operator: Operator) -> int:
    return sum(graph.activations[position].nbytes for position in set(operator.inputs))


def _parameters(operator: Operator, kept: int) -> int:
    """Weights and biases that are not zero; without values at most `kept` weights."""
    found = 0
    for tensor in (operator.weight, operator.bias):
        if tensor is not None:
            found += min(tensor.numel(), kept) if tensor.is_meta else int(torch.count_nonzero(tensor))
    return found
