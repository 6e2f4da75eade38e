"""Magnitude pruning while training: the sparsity rises along a cubic ramp and is reached exactly [Zhu2017].

Under an N:M pattern the zeros are those of the pattern, and their number rises along the same ramp.

[Zhu2017] To prune, or not to prune, arXiv 1710.01878.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparsemod.graph.pattern import Pattern

_RAMP = 0.75
"""Share of the steps over which the sparsity rises; the rest trains with the final mask."""
_UPDATES = 50
"""Times that the mask is chosen anew on the way."""


class PruningRamp:
    """After-step hook that keeps the smallest weights of all layers together at zero.

    Every weight of two or more axes can be pruned, the classifier's too; biases, norms and embeddings cannot.

    Args:
        network: Trained elsewhere; its weights are changed in place.
        sparsity: Share of the weights that are zero in the end, at least 0 and below 1; says nothing with a pattern.
        pattern: Which weights are zero in the end; any if not given.
    """

    def __init__(self, network: nn.Module, sparsity: float, pattern: Pattern | None = None) -> None:
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity {sparsity} must be at least 0 and below 1")
        self.sparsity, self.pattern = sparsity, pattern
        self._weights = prunable(network)
        self._masks: list[Tensor] = []

    def __call__(self, step: int, steps: int) -> None:
        """Prunes after step `step` of `steps`."""
        if (self.sparsity == 0 and self.pattern is None) or not self._weights:
            return
        ramp = max(1, round(_RAMP * steps))
        if step <= ramp and (step % max(1, ramp // _UPDATES) == 0 or step == ramp):
            self._choose(1 - (1 - step / ramp) ** 3)
        with torch.no_grad():
            for weight, mask in zip(self._weights, self._masks, strict=False):
                weight.mul_(mask)

    def _choose(self, progress: float) -> None:
        with torch.no_grad():
            magnitude = torch.cat([weight.abs().flatten() for weight in self._weights])
            count = self.sparsity * progress * len(magnitude)
            if self.pattern is not None:
                small = torch.cat([self.pattern.smallest(weight).flatten() for weight in self._weights])
                magnitude[~small] = math.inf
                count = progress * int(small.sum())
            flat = torch.ones_like(magnitude)
            flat[magnitude.argsort(stable=True)[: round(count)]] = 0
            parts = flat.split([weight.numel() for weight in self._weights])
            self._masks = [part.view_as(weight) for part, weight in zip(parts, self._weights, strict=True)]


def keeping_zeros(network: nn.Module) -> Callable[[int, int], None]:
    """After-step hook that keeps at zero what is zero now, for training after the ramp.

    Args:
        network: Trained elsewhere; its weights are changed in place.
    """
    masks = [(weight, weight.detach() != 0) for weight in prunable(network)]

    def keep(step: int, steps: int) -> None:
        with torch.no_grad():
            for weight, mask in masks:
                weight.mul_(mask)

    return keep


def prunable(network: nn.Module) -> list[Tensor]:
    """The weights that can be pruned."""
    kept = (part for part in network.modules() if isinstance(part, nn.LayerNorm | nn.Embedding))
    kept_weights = {id(own) for part in kept for own in part.parameters()}
    return [weight for weight in network.parameters() if weight.dim() >= 2 and id(weight) not in kept_weights]
