"""Errors of a network on all samples of a split, each a `Problem.error`: (outputs, y, x) -> what is lost, 0 at best.

Those of classes take the largest of K scores as the answer.

[Brodersen2010] The balanced accuracy and its posterior distribution, ICPR 2010.
[Fawcett2006] An introduction to ROC analysis, Pattern Recognition Letters 27(8), 2006.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sparsemod.errors import InputError

Error = Callable[[Tensor, Tensor, Tensor], float]
"""(outputs, y, x) -> error: outputs in real units, (N, ...); y: class numbers or targets; x: inputs, (N, ...)."""


def error_rate(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """Share of wrong classes.

    Example:
        >>> scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
        >>> error_rate(scores, torch.tensor([0, 1, 1, 0]), scores)
        0.25
    """
    return float((outputs.argmax(1) != y).double().mean())


def balanced_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """Mean over the classes that occur of the share of their samples taken for another [Brodersen2010].

    Example:
        >>> scores = torch.tensor([[0.9, 0.1]]).repeat(4, 1)  # always class 0
        >>> balanced_error(scores, torch.tensor([0, 0, 0, 1]), scores)
        0.5
    """
    wrong = (outputs.argmax(1) != y).double()
    return float(torch.stack([wrong[y == label].mean() for label in y.unique()]).mean())


def f1_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """1 - macro F1: the mean over the classes that occur or are answered; each 2 right / (answers + samples).

    Example:
        >>> scores = torch.tensor([[0.9, 0.1]]).repeat(4, 1)  # always class 0: F1 is 6 / 7 and 0
        >>> round(f1_error(scores, torch.tensor([0, 0, 0, 1]), scores), 4)
        0.5714
    """
    answers = outputs.argmax(1)
    labels = torch.cat([answers, y]).unique()
    right = torch.stack([((answers == label) & (y == label)).sum() for label in labels]).double()
    counts = torch.stack([(answers == label).sum() + (y == label).sum() for label in labels])
    return 1 - float((2 * right / counts).mean())


def mean_squared_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """Mean squared difference of output and target over all numbers of all samples.

    Example:
        >>> mean_squared_error(torch.tensor([[1.0], [5.0]]), torch.tensor([1.0, 2.0]), torch.zeros(2))
        4.5
    """
    return float((outputs.double() - _reshaped(y, outputs)).square().mean())


def mean_absolute_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """Mean absolute difference of output and target over all numbers of all samples.

    Example:
        >>> mean_absolute_error(torch.tensor([[1.0], [5.0]]), torch.tensor([1.0, 2.0]), torch.zeros(2))
        1.5
    """
    return float((outputs.double() - _reshaped(y, outputs)).abs().mean())


def auc_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """1 - the area under the ROC curve of anomaly scores: how often an anomaly scores less than a normal sample.

    Equal scores count half [Fawcett2006]. 0.5 is chance.

    Args:
        outputs: One score per sample, (N,) or (N, 1); anomalies should have the larger ones.
        y: 1 for an anomaly, 0 for a normal sample, (N,).
        x: Not read.

    Raises:
        InputError: There is not one score per sample, y has other labels, or one kind alone.

    Example:
        >>> auc_error(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]), torch.zeros(4))
        0.25
    """
    if outputs.numel() != len(y):
        raise InputError(f"auc_error needs one score per sample, not outputs of shape {tuple(outputs.shape)}")
    found = y.unique().tolist()
    if found != [0, 1]:
        raise InputError(f"auc_error compares anomalies (y = 1) with normal samples (y = 0), but y holds {found}")
    # Sum of the ranks of the anomalies [Fawcett2006]; equal scores share the mean of their ranks.
    _, place, count = outputs.flatten().double().unique(return_inverse=True, return_counts=True)
    ranks = (count.cumsum(0) - (count - 1) / 2)[place]
    anomalies = int((y == 1).sum())
    below = float(ranks[y == 1].sum()) - anomalies * (anomalies + 1) / 2
    return 1 - below / (anomalies * (len(y) - anomalies))


def reconstruction_auc_error(outputs: Tensor, y: Tensor, x: Tensor) -> float:
    """`auc_error` of an autoencoder: the score of a sample is the mean squared difference of output and input.

    Args:
        outputs: As many numbers per sample as the input has, (N, ...).
        y: 1 for an anomaly, 0 for a normal sample, (N,).
        x: Inputs, (N, ...).
    """
    difference = (outputs.flatten(1) - _reshaped(x, outputs).flatten(1)).double()
    return auc_error(difference.square().mean(1), y, x)


def comparable(outputs: Tensor, y: Tensor) -> Tensor:
    """Real targets in the shape of the outputs, where they are as many numbers: (N,) beside (N, 1) would broadcast."""
    return y.reshape(outputs.shape) if y.is_floating_point() and y.numel() == outputs.numel() else y


def _reshaped(targets: Tensor, outputs: Tensor) -> Tensor:
    if targets.numel() != outputs.numel():
        raise InputError(
            f"the network gives outputs of shape {tuple(outputs.shape)} for targets of {tuple(targets.shape)}; they "
            "must be as many numbers"
        )
    return targets.reshape(outputs.shape)
