"""Bytes of flash that the weights and constants of a network take.

The weights of an operator are stored in the smallest encoding that `cost.encoding` knows. SpArSe counts one byte per
non-zero weight and no index [Fedorov2019]; that figure is `Graph.nnz`.

[Fedorov2019] SpArSe, NeurIPS 2019, arXiv 1905.12107.
"""

from sparsemod.cost.encoding import largest, smallest
from sparsemod.graph import Graph, Operator
from sparsemod.graph.recurrence import GATES

_BIAS = 4
_MULTIPLIER = 4
_SHIFT = 1
_SCALE = 4
_TABLE = 256
_CURVE = 2 * 257
"""Of tanh, which all integer recurrent layers read."""
ENDS = 10
"""Scale and zero point of the input and of the output."""


def model_size_bytes(graph: Graph) -> int:
    """Flash for weights, biases, requantization constants and scales, and for the tables of a front end.

    Exact for a graph with values. Without values `graph.sparsity` says how many weights will be zero but not where:
    the result is then the largest that any place can lead to, and the exact size for a network that is not pruned.
    """
    shared = shared_bytes(graph) + (0 if graph.frontend is None else graph.frontend.flash_bytes)
    if not graph.pruned:
        return shared + sum(operator_bytes(graph, operator) for operator in graph.operators)
    layers = [operator for operator in graph.operators if operator.weight is not None and operator.prunable]
    others = sum(operator_bytes(graph, operator) for operator in graph.operators if operator not in layers)
    return shared + others + sum(_constants(graph, operator) for operator in layers) + largest(layers, graph.pruned)


def shared_bytes(graph: Graph) -> int:
    """Flash that belongs to no operator: scales of input and output, and one table for all integer recurrent layers."""
    kinds = {operator.kind for operator in graph.operators if graph.integer(operator)}
    return ENDS + (_CURVE if kinds & set(GATES) else 0)


def operator_bytes(graph: Graph, operator: Operator) -> int:
    """Flash for the weights and constants of one operator; all weights count where there are no values."""
    weights = 0 if operator.weight is None else smallest(operator).nbytes
    return weights + _constants(graph, operator)


def _constants(graph: Graph, operator: Operator) -> int:
    """Biases, and what brings a sum of products back to eight bits, or its weights to real numbers."""
    integer = graph.integer(operator)
    if operator.kind == "embedding":
        return 0  # its rows are in steps of the output
    if operator.weight is not None:
        bias = 0 if operator.bias is None else _BIAS * operator.bias.numel()
        scale = _MULTIPLIER + _SHIFT if integer else _SCALE if operator.weight_itemsize == 1 else 0
        scales = operator.weight.shape[0] * (2 if operator.kind in GATES else 1)  # of input and state
        return bias + scales * scale
    if not integer:
        return 0
    match operator.kind:
        case "add" | "concat":
            return _MULTIPLIER * len(operator.inputs) + _SHIFT  # the inputs share one shift
        case "avg_pool" | "relu" | "mul":
            return _MULTIPLIER + _SHIFT
        case "function":
            return _TABLE
        case "softmax":
            return 2 * _TABLE
        case _:
            return 0
