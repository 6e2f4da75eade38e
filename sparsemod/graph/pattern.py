"""N:M sparsity: of each M weights in a row at most N are not zero [Zhou2021].

A row runs along the inputs of a layer: for each output and each tap of its kernel, the weights of all input channels. A
row whose length M does not divide ends with a shorter group, as if zeros were added to it; so every layer has the
pattern, but a row of at most N weights, such as each of a depthwise layer, loses none.

[Zhou2021] Learning N:M fine-grained structured sparse neural networks from scratch, ICLR 2021, arXiv 2102.04010.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sparsemod.errors import InputError
from sparsemod.graph.network import Graph, Operator
from sparsemod.graph.recurrence import GATES


@dataclass(frozen=True)
class Pattern:
    """At most `most` of each `of` weights are not zero."""

    most: int
    of: int

    def zeros(self, shape: Sequence[int]) -> int:
        """How many weights of a layer become zero.

        Args:
            shape: Of its weights, (O, I, ...).

        Example:
            >>> Pattern(2, 4).zeros((1, 7))  # of seven weights in a row 2 + 2 stay
            3
        """
        groups, rest = divmod(shape[1], self.of)
        return (shape[1] - groups * self.most - min(rest, self.most)) * shape[0] * math.prod(shape[2:])

    def share(self, graph: Graph) -> float:
        """The share of a network's weights that becomes zero, of those that may be pruned."""
        shapes = [shape for operator in graph.operators for shape in _shapes(operator)]
        count = sum(map(math.prod, shapes))
        return sum(self.zeros(shape) for shape in shapes) / count if count else 0.0

    def smallest(self, weight: Tensor) -> Tensor:
        """Which weights have to become zero: all but the largest of each group; booleans, shaped as the weights."""
        rows = weight.detach().abs().movedim(1, -1)
        filled = F.pad(rows, (0, -rows.shape[-1] % self.of), value=-1)
        groups = filled.unflatten(-1, (-1, self.of))
        order = groups.argsort(dim=-1, descending=True, stable=True)
        small = torch.ones_like(groups, dtype=torch.bool).scatter_(-1, order[..., : self.most], False)
        return small.flatten(-2)[..., : rows.shape[-1]].movedim(-1, 1)


def pattern(name: object) -> Pattern | None:
    """The pattern of a name such as `2:4`; None for `element`, any weights.

    Raises:
        InputError: It is neither.
    """
    if name == "element":
        return None
    most, colon, of = str(name).partition(":")
    if colon and most.isdecimal() and of.isdecimal() and 0 < int(most) < int(of):
        return Pattern(int(most), int(of))
    raise InputError(f"prune_pattern is {name!r}; it must be 'element', or N:M with 0 < N < M, such as '2:4'")


def _shapes(operator: Operator) -> Iterator[tuple[int, ...]]:
    """Of the weights of an operator that may be pruned; a recurrent layer has one for the input, one for the state."""
    if operator.weight is None or not operator.prunable:
        return
    if operator.kind not in GATES:
        yield tuple(operator.weight.shape)
        return
    rows, columns = operator.weight.shape
    units = operator.options["units"][0]
    yield from ((rows, columns - units), (rows, units))
