"""The training loop, and the error of anything that predicts.

[Hinton2015] Distilling the knowledge in a neural network, arXiv 1503.02531.
[Smith2018] Super-convergence: very fast training of neural networks using large learning rates, arXiv 1708.07120.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from sparsemod.data import Collate, Split
from sparsemod.errors import InputError
from sparsemod.kernels import faster
from sparsemod.metrics import Error, comparable
from sparsemod.problem import TRAINING_DEFAULTS
from sparsemod.space import Parameters

AfterStep = Callable[[int, int], None]
"""Called after each optimizer step with the number of steps done and the number of all steps."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, y) -> what training makes small."""

_EVALUATION_BATCH = 512
_TEMPERATURE = 4.0
"""Of distillation: scores are divided by it, so that wrong classes tell something, too [Hinton2015]."""


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
    teacher: nn.Module | None = None,
    loss: Loss | None = None,
) -> None:
    """Trains a network in place with Adam on the cross entropy, or on a loss of one's own.

    Args:
        network: (N, *input shape) -> logits (N, K), or what the loss takes.
        split: Training samples.
        parameters: `batch_size`, `learning_rate`, and how it falls, `learning_schedule`: `step` multiplies it by
            `learning_gamma` every `learning_step` epochs, `cosine` and `one-cycle` [Smith2018] lead it to zero over all
            steps; `label_smoothing`; `distillation`, the weight of the teacher. Those left out have
            `TRAINING_DEFAULTS`.
        epochs: Passes over the split.
        rng: Shuffles the samples, and augments them.
        after_step: Hook, such as a pruning ramp.
        collate: Joins samples to a batch.
        teacher: A trained network, whose scores are learned as well [Hinton2015].
        loss: Replaces the cross entropy, `label_smoothing` and the teacher; see `Problem.loss`.

    Raises:
        Diverged: The loss is not finite.
        InputError: There is nothing to train on, no such schedule, or the teacher has other classes.
    """
    parameters = {**TRAINING_DEFAULTS, **parameters}
    size = int(parameters["batch_size"])
    if len(split) == 0:
        raise InputError("the training split is empty")
    if teacher is not None:
        teacher.to(next(network.parameters()).device)
    per_epoch = split.batch_count(size)
    steps, step = epochs * per_epoch, 0
    optimizer = torch.optim.Adam(network.parameters(), lr=float(parameters["learning_rate"]), fused=True)
    schedule = _schedule(optimizer, parameters, per_epoch, steps)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]
    # A fifth faster than channels first, where batches are large.
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    with faster(network):
        for epoch in range(epochs):
            for x, y in split.batches(size, rng, collate):
                for norm in norms:
                    norm.train(len(x) > 1)  # there is no variance of a single sample
                x = _channels_last(x)
                outputs = network(x)
                lost = _loss(outputs, x, y, parameters, teacher) if loss is None else _own_loss(loss, outputs, y)
                optimizer.zero_grad(set_to_none=True)
                lost.backward()
                optimizer.step()
                schedule.step()
                step += 1
                if after_step is not None:
                    after_step(step, steps)
            if not math.isfinite(lost.item()):
                raise Diverged(f"the loss became {lost.item()} in epoch {epoch + 1}; a smaller learning rate may help")
    network.eval()


def _schedule(optimizer: torch.optim.Optimizer, parameters: Parameters, per_epoch: int, steps: int) -> LRScheduler:
    """Sets the learning rate anew after each of all steps."""
    match parameters["learning_schedule"]:
        case "step":
            length = int(parameters["learning_step"]) * per_epoch
            return StepLR(optimizer, length, float(parameters["learning_gamma"]))
        case "cosine":
            return CosineAnnealingLR(optimizer, steps)
        case "one-cycle":
            # Adam's corrections count on a momentum that stays.
            return OneCycleLR(optimizer, float(parameters["learning_rate"]), steps, cycle_momentum=False)
        case other:
            raise InputError(f"learning_schedule is {other!r}; it must be step, cosine or one-cycle")


def _loss(scores: Tensor, x: Tensor, y: Tensor, parameters: Parameters, teacher: nn.Module | None) -> Tensor:
    """Cross entropy with the labels, and with what the teacher says.

    Args:
        scores: Of the network, (N, K).
        x: What it was given, (N, *input shape).
        y: Class numbers, (N,).
        parameters: `label_smoothing` and `distillation`.
        teacher: A trained network.
    """
    loss = F.cross_entropy(scores, y, label_smoothing=float(parameters["label_smoothing"]))
    weight = float(parameters["distillation"])
    if teacher is None or weight == 0:
        return loss
    with torch.no_grad():
        taught = teacher(x)
    if taught.shape != scores.shape:
        raise InputError(
            f"the teacher gives scores of shape {tuple(taught.shape)} where the network gives {tuple(scores.shape)}; "
            "it must know the same classes"
        )
    soft, softer = ((each / _TEMPERATURE).log_softmax(1) for each in (scores, taught))
    # Gradients through a temperature T are 1 / T^2 as large [Hinton2015].
    return (1 - weight) * loss + weight * _TEMPERATURE**2 * F.kl_div(
        soft, softer, reduction="batchmean", log_target=True
    )


def _own_loss(loss: Loss, outputs: Tensor, y: Tensor) -> Tensor:
    lost = loss(outputs, comparable(outputs, y))
    if not isinstance(lost, Tensor) or lost.numel() != 1:
        found = f"shape {tuple(lost.shape)}" if isinstance(lost, Tensor) else f"type {type(lost).__name__}"
        raise InputError(f"the loss has {found}; it must be a tensor of one number, such as a mean")
    return lost


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def network_error(network: nn.Module, split: Split, collate: Collate | None = None, own: Error | None = None) -> float:
    """The error of a float network as it stands, by the layout and the kernels that it trains with; see `error`."""
    with faster(network):
        return error(lambda x: network(_channels_last(x)), split, collate, own)


@torch.no_grad()
def error(
    predict: Callable[[Tensor], Tensor], split: Split, collate: Collate | None = None, own: Error | None = None
) -> float:
    """Share of wrong answers over all samples, or an error of one's own.

    Args:
        predict: (N, *input shape) -> scores (N, K), of which the largest is the answer; or what `own` takes.
        split: Samples, read in order.
        collate: Joins samples to a batch.
        own: `Problem.error`: gets the outputs, labels or targets, and inputs of all samples at once, in the memory of
            the processor; of sequences that are read at their own lengths zeros follow the inputs.
    """
    if own is not None:
        parts = [(predict(x).cpu(), y.cpu(), x.cpu()) for x, y in split.batches(_EVALUATION_BATCH, None, collate)]
        outputs, y = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        x = pad_sequence([sample for _, _, batch in parts for sample in batch], batch_first=True)
        return float(own(outputs, comparable(outputs, y), x))
    wrong = total = 0
    for x, y in split.batches(_EVALUATION_BATCH, None, collate):
        wrong += int((predict(x).argmax(1) != y).sum())
        total += len(y)
    return wrong / total
