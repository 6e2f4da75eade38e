"""What an integer network takes for what."""

import torch
from torch import Tensor

from sparsemod.data import Collate, Split, Tokens
from sparsemod.graph import Graph, run

_BATCH = 512


def readable(split: Split, graph: Graph) -> Split:
    """Samples as a network reads them: as whole numbers if it looks them up."""
    return Tokens(split) if any(operator.kind == "embedding" for operator in graph.operators) else split


@torch.no_grad()
def confusion(graph: Graph, split: Split, num_classes: int, collate: Collate | None) -> Tensor:
    """How often each class (row) was taken for which (column), (K, K), int64.

    Args:
        graph: The integer network.
        split: Samples, read once and in order; as whole numbers if the network looks them up.
        num_classes: K.
        collate: Joins samples to a batch.
    """
    counts = torch.zeros(num_classes**2, dtype=torch.int64)
    for x, y in readable(split, graph).batches(_BATCH, None, collate):
        pairs = y.long() * num_classes + run(graph, x).argmax(1)
        counts += torch.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)
