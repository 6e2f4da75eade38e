"""Compares what another runtime makes of a network, from input to output, with the network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsemod.errors import InputError, SparsemodError
from sparsemod.graph import Graph, run

VECTORS = 64
"""Inputs that are compared, at most."""

AGREEMENT = 0.95
"""Share of inputs that must get the same largest output; a file with less is not written."""

_NEAR = 1e-3
"""Of the largest value: outputs in float32 that are no further off are the same."""


@dataclass(frozen=True)
class Whole:
    """How far a runtime is from the network.

    Attributes:
        largest: Largest difference of an output: in steps if it is int8, else relative to the largest value.
        same: Share of outputs without any difference.
        agreement: Share of inputs whose largest output is also a largest one of the network, or whose outputs are all
            within a step (or a thousandth) of the network's; of a single output this alone counts.
        vectors: How many inputs were compared.
        integer: Whether the output is int8.
    """

    largest: float
    same: float
    agreement: float
    vectors: int
    integer: bool

    def __str__(self) -> str:
        steps = (
            f"{self.largest:.0f} step{'s' * (self.largest != 1)}" if self.integer else f"{self.largest:.1e} relative"
        )
        return f"largest difference {steps}, {self.same:.2%} of the outputs the same, same class {self.agreement:.2%}"


def require_whole(graph: Graph) -> None:
    """Refuses a network that keeps states from one inference to the next.

    Raises:
        InputError: It is a network of one step.
    """
    if graph.steps:
        raise InputError(
            "the network takes one step at a time and keeps its states, which only exported C does: --to c. ONNX files "
            "hold networks of whole sequences, as [TRAIN] streaming = false finds them"
        )


def inputs_of(graph: Graph) -> Tensor:
    """Inputs in real units, always the same: of int8 zero, smallest, largest and the whole range; else normal ones."""
    source, generator = graph.activations[0], torch.Generator().manual_seed(0)
    if source.itemsize == 4:
        return torch.randn(VECTORS, *source.shape, generator=generator)
    steps = torch.randint(-128, 128, (VECTORS, *source.shape), generator=generator)
    for row, value in enumerate((source.zero_point, -128, 127)):
        steps[row] = value
    return (steps - source.zero_point) * source.scale


def compare(graph: Graph, execute: Callable[[Tensor], Tensor], vectors: int = VECTORS) -> Whole:
    """Runs a network elsewhere.

    Args:
        graph: The network.
        execute: Real inputs of one sample, (1, *input shape), to real outputs.
        vectors: How many inputs; fewer where it is slow.

    Raises:
        SparsemodError: Less than `AGREEMENT` of the inputs get the same largest output.
    """
    x = inputs_of(graph)[:vectors]
    expected, found = run(graph, x).flatten(1), torch.cat([execute(sample[None]) for sample in x]).flatten(1)
    target = graph.activations[graph.output]
    integer = target.itemsize == 1
    difference = (found - expected).abs() / (target.scale if integer else float(expected.abs().max()) or 1.0)
    difference = difference.round() if integer else difference
    near = difference.amax(1) <= (1 if integer else _NEAR)  # what is no score of a class is right if it is close
    same_class = expected.gather(1, found.argmax(1, keepdim=True))[:, 0] == expected.amax(1)
    agrees = near | same_class if expected.shape[1] > 1 else near
    same, agreement = (values.float().mean().item() for values in (difference == 0, agrees))
    whole = Whole(difference.max().item(), same, agreement, len(x), integer)
    if not whole.agreement >= AGREEMENT:
        raise SparsemodError(
            f"the exported network computes something else for {len(x)} inputs: {whole}. At least {AGREEMENT:.0%} must "
            "be of the same class; nothing was written"
        )
    return whole
