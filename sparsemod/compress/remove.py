"""Whole channels removed while training: the least important of each group, for smaller activations and less time.

A channel is as important as the magnitudes of all that goes with it add up to: the weights that make it, the factor of
its batch norm, and the weights that read it, each in units of its tensor's mean [Li2017], [Fang2023].

[Li2017] Pruning filters for efficient convnets, ICLR 2017, arXiv 1608.08710.
[Fang2023] DepGraph: towards any structural pruning, CVPR 2023, arXiv 2301.12900.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsemod.graph.channels import Channels, channels, no_longer_works, remove
from sparsemod.graph.labels import Axis
from sparsemod.graph.trace import recorded


def remove_channels(network: nn.Module, input_shape: Sequence[int], share: float) -> None:
    """Removes the least important channels of a network in place.

    Args:
        network: Trained for a while, so that its weights say what matters.
        input_shape: Without the batch.
        share: Of the channels of each dependency group.

    Raises:
        InputError: The network does not work without them.
    """
    found = channels(network, input_shape)
    remove(network, found, found.removed(share, importance(found)))
    try:
        recorded(network, input_shape)
    except Exception as error:  # whatever the forward raises
        raise no_longer_works(share, error) from error


def epochs_before_removal(epochs: int) -> int:
    """How many of the epochs come before channels are removed: a third, none of one."""
    return round(epochs / 3)


def importance(found: Channels) -> NDArray[np.float64]:
    """Of each channel, (channels,); 1 on average for each tensor that holds a part of it."""
    total = np.zeros(len(found.group))
    for axis in found.axes:
        if axis.ranked:
            held = np.bincount(axis.labels, _magnitudes(axis), len(total))
            total += held / max(held[np.unique(axis.labels)].mean(), np.finfo(float).tiny)
    return total


def _magnitudes(axis: Axis) -> NDArray[np.float64]:
    """Sum of the magnitudes at each position of an axis; of a grouped convolution group by group."""
    weight = axis.tensor.detach().double().abs().cpu()
    if axis.axis == 1:
        weight = weight.unflatten(0, (axis.groups, -1)).transpose(1, 2).flatten(0, 1)
    result: NDArray[np.float64] = weight.reshape(len(weight), -1).sum(1).numpy()
    return result
