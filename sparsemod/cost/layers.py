"""What each operator contributes to the costs of a network: one row per operator, in order of execution.

If there is a front end, it has the first row. The rows add up to what `cost` says of the whole network; only the bytes
of flash lack those that belong to no operator, `size.shared_bytes`.

[Fedorov2019] SpArSe, NeurIPS 2019, arXiv 1905.12107.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sparsemod.cost import cost
from sparsemod.cost.encoding import bits_per_weight, smallest
from sparsemod.cost.latency import frontend_ms, latency_ms, operator_ms
from sparsemod.cost.liveness import buffers, flow, kept_bytes
from sparsemod.cost.memory import plan
from sparsemod.cost.size import operator_bytes
from sparsemod.cost.sparse import input_and_output_bytes, input_and_weights_bytes
from sparsemod.device import Device
from sparsemod.errors import InputError
from sparsemod.graph import Graph, Operator
from sparsemod.objectives import column


@dataclass(frozen=True)
class LayerCost:
    """The costs of one operator.

    Attributes:
        name: The module it came from, or its kind and position.
        kind: As in `Operator`, or frontend.
        output_shape: Without the batch: (C, H, W) or (C,).
        macs: Multiply-accumulates of one inference, those with zero weights included.
        params: Weights and biases.
        nnz: Weights and biases that are not zero.
        sparsity: Share of the weights that are zero.
        dense_flops: Two per multiply-accumulate.
        sparse_flops: Two per multiply-accumulate with a weight that is not zero.
        weight_bits: Of each weight: 32, 8, 4 or 2; 0 without weights.
        encoding: How they are stored: dense, packed, bitmap, runs4 or runs8; empty without weights.
        flash_bytes: Weights as they are stored, biases and constants.
        alive_bytes: Memory in use while it runs: its inputs, its output, what later operators read, and what a network
            of one step keeps.
        arena_share: Of the planned working memory.
        latency_ms: Its part of the latency.
        latency_share: Of the latency; 0 if nothing takes time.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    macs: int
    params: int
    nnz: int
    sparsity: float
    dense_flops: int
    sparse_flops: int
    weight_bits: int
    encoding: str
    flash_bytes: int
    alive_bytes: int
    arena_share: float
    latency_ms: float
    latency_share: float


def layer_costs(graph: Graph, device: Device) -> list[LayerCost]:
    """One row per operator, after one for a front end if there is one.

    Args:
        graph: Traced or lowered; zeros are counted where there are values.
        device: Where the network will run.

    Raises:
        InputError: The graph has a sparsity but no values: its zeros belong to no operator yet.
    """
    if graph.pruned:
        raise InputError("which weights will be zero is not known yet; trace the network with its weights")
    arena, total_ms = plan(graph), latency_ms(graph, device)
    rows = [] if graph.frontend is None else [_of_frontend(graph, device, arena.size, total_ms)]
    for position, alive in zip(arena.order, alive_bytes(graph, arena.order), strict=True):
        operator = graph.operators[position]
        weights, nonzero = _count(operator.weight)
        biases, nonzero_biases = _count(operator.bias)
        milliseconds = operator_ms(graph, operator, device)
        rows.append(
            LayerCost(
                operator.name,
                operator.kind,
                graph.activations[operator.output].shape,
                operator.macs,
                params=weights + biases,
                nnz=nonzero + nonzero_biases,
                sparsity=1 - nonzero / weights if weights else 0.0,
                dense_flops=2 * operator.macs,
                sparse_flops=_sparse_flops(operator, weights, nonzero),
                weight_bits=0 if operator.weight is None else bits_per_weight(operator),
                encoding="" if operator.weight is None else smallest(operator).name,
                flash_bytes=operator_bytes(graph, operator),
                alive_bytes=alive,
                arena_share=alive / arena.size,
                latency_ms=milliseconds,
                latency_share=milliseconds / total_ms if total_ms else 0.0,
            )
        )
    return rows


def _of_frontend(graph: Graph, device: Device, arena_bytes: int, total_ms: float) -> LayerCost:
    assert graph.frontend is not None
    front, milliseconds = graph.frontend, frontend_ms(graph, device)
    alive = front.ram_bytes + graph.activations[0].nbytes
    return LayerCost(
        type(front).__name__,
        "frontend",
        front.output_shape,
        front.macs,
        params=0,
        nnz=0,
        sparsity=0.0,
        dense_flops=2 * front.macs,
        sparse_flops=2 * front.macs,
        weight_bits=0,
        encoding="",
        flash_bytes=front.flash_bytes,
        alive_bytes=alive,
        arena_share=alive / arena_bytes,
        latency_ms=milliseconds,
        latency_share=milliseconds / total_ms,
    )


def total_costs(graph: Graph, device: Device) -> dict[str, float]:
    """Costs of the whole network, units in the names.

    Returns:
        What `cost` gives; dense_flops and sparse_flops; and what SpArSe counts [Fedorov2019]: nnz_bytes, one byte per
        weight or bias that is not zero and no index, and its two formulas for the working memory.
    """
    rows = layer_costs(graph, device)
    named = {column(name): value for name, value in cost(graph, device).items()}
    flops = {name: sum(getattr(row, name) for row in rows) for name in ("dense_flops", "sparse_flops")}
    sparse = {
        "nnz_bytes": graph.nnz,
        "input_and_weights_bytes": input_and_weights_bytes(graph),
        "input_and_output_bytes": input_and_output_bytes(graph),
    }
    return {**named, **flops, **sparse}


def alive_bytes(graph: Graph, order: Sequence[int]) -> list[int]:
    """Bytes of the arena in use at each step; what is written over an input takes none of its own.

    Args:
        graph: A network.
        order: Its operators in order of execution, as `Plan` gives them.
    """
    needed, kept = buffers(flow(graph), order), sum(kept_bytes(graph).values())
    alive = [sum(buffer.size for buffer in needed if buffer.born <= step <= buffer.dies) for step in range(len(order))]
    return [kept + each for each in alive]


def _count(values: torch.Tensor | None) -> tuple[int, int]:
    """Elements, and those that are not zero; all of them where there are no values."""
    if values is None:
        return 0, 0
    return values.numel(), values.numel() if values.is_meta else int(torch.count_nonzero(values))


def _sparse_flops(operator: Operator, weights: int, nonzero: int) -> int:
    """Each weight of an operator is used equally often: once for every place of its output."""
    return 2 * operator.macs // weights * nonzero if weights else 0
