"""The training loop, and the error of anything that predicts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.data import Collate, Split
from sparsemod.errors import InputError
from sparsemod.space import Parameters

AfterStep = Callable[[int, int], None]
"""Called after each optimizer step with the number of steps done and the number of all steps."""

_EVALUATION_BATCH = 512


class Diverged(ArithmeticError):
    """The loss became NaN or infinite."""


def train(
    network: nn.Module,
    split: Split,
    parameters: Parameters,
    epochs: int,
    rng: torch.Generator,
    after_step: AfterStep | None = None,
    collate: Collate | None = None,
) -> None:
    """Trains a network in place with Adam on the cross entropy.

    Args:
        network: (N, *input shape) -> logits (N, K).
        split: Training samples.
        parameters: `learning_rate`, multiplied by `learning_gamma` every `learning_step` epochs; `batch_size`.
        epochs: Passes over the split.
        rng: Shuffles the samples.
        after_step: Hook, such as a pruning ramp.
        collate: Joins samples to a batch.

    Raises:
        Diverged: The loss is not finite.
        InputError: There is nothing to train on.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=float(parameters["learning_rate"]), fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(
        optimizer, int(parameters["learning_step"]), float(parameters["learning_gamma"])
    )
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]
    size = int(parameters["batch_size"])
    if len(split) == 0:
        raise InputError("the training split is empty")
    steps, step = epochs * math.ceil(len(split) / size), 0
    # A fifth faster than channels first, where batches are large.
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    for epoch in range(epochs):
        for x, y in split.batches(size, rng, collate):
            for norm in norms:
                norm.train(len(x) > 1)  # there is no variance of a single sample
            loss = F.cross_entropy(network(_channels_last(x)), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            if after_step is not None:
                after_step(step, steps)
        if not math.isfinite(loss.item()):
            raise Diverged(f"the loss became {loss.item()} in epoch {epoch + 1}; a smaller learning rate may help")
        schedule.step()
    network.eval()


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@torch.no_grad()
def error(predict: Callable[[Tensor], Tensor], split: Split, collate: Collate | None = None) -> float:
    """Share of wrong answers over all samples.

    Args:
        predict: (N, *input shape) -> scores (N, K); the largest is the answer.
        split: Samples, read in order.
        collate: Joins samples to a batch.
    """
    wrong = total = 0
    for x, y in split.batches(_EVALUATION_BATCH, None, collate):
        wrong += int((predict(x).argmax(1) != y).sum())
        total += len(y)
    return wrong / total
