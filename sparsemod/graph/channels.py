"""Whole channels of a network removed: which of them go together, how many go, and the layers cut to size.

How many go follows from the share and the widths alone, never from the weights, so that what a network will cost is
known before it is trained. A *group* is a set of channels of which the same ones go everywhere: the filters of a layer,
their batch norm and the columns of whoever reads them, on both sides of an addition. Channels that one layer reads side
by side but that come from two, behind a concatenation, are two groups: each layer loses its own share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsemod.errors import InputError
from sparsemod.graph.label_rules import RULES, unknown
from sparsemod.graph.labels import STAYS, Axis, Labels, Walk
from sparsemod.graph.record import Call
from sparsemod.graph.trace import recorded


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a network.

    Attributes:
        group: Of each channel, (channels,); -1 of those that stay, such as the network's inputs and outputs.
        axes: Where they lie in the parameters and buffers: `Axis.labels` are positions in `group`.
    """

    group: Labels
    axes: Sequence[Axis]

    def removed(self, share: float, importance: NDArray[np.float64] | None = None) -> NDArray[np.bool_]:
        """Which channels go, (channels,).

        Args:
            share: Of the channels of each group, rounded; one channel of each stays. Where the groups of a convolution
                would lose different numbers of channels, they lose none.
            importance: Of each channel, (channels,): the least important go, of equal ones the first.
        """
        rank = np.zeros(len(self.group)) if importance is None else importance
        width = np.bincount(self.group[self.group >= 0])
        count = np.minimum(np.round(share * width).astype(np.int64), width - 1)
        order = np.lexsort((rank, self.group))
        order = order[self.group[order] >= 0]
        place = np.arange(len(order)) - np.repeat(np.cumsum(width) - width, width)
        while True:
            gone = np.zeros(len(self.group), np.bool_)
            gone[order] = place < np.repeat(count, width)
            uneven = [axis for axis in self.axes if len(set(gone[axis.labels].reshape(axis.groups, -1).sum(1))) > 1]
            if not uneven:
                return gone
            touched = np.unique(np.concatenate([self.group[axis.labels] for axis in uneven]))
            count[touched[touched >= 0]] = 0


def channels(network: nn.Module, input_shape: Sequence[int]) -> Channels:
    """The channels of a network and their groups.

    Args:
        network: With or without values; left as it was.
        input_shape: Without the batch.

    Raises:
        Infeasible: The network cannot process an input of this shape.
    """
    calls, example, output = recorded(network, input_shape)
    state = _walk(calls, example, output, {id(tensor) for tensor in (*network.parameters(), *network.buffers())})
    root = state.roots()
    axes = [replace(axis, labels=root[axis.labels]) for axis in state.axes.values()]
    group, movable = np.zeros(state.count, np.int64), np.zeros(state.count, np.bool_)
    for axis in axes:
        movable[axis.labels] = True
        for part in axis.labels.reshape(axis.groups, -1):  # channels of a group hold as many positions everywhere
            held = np.bincount(part, minlength=state.count)
            group = np.unique(group * (held.max() + 1) + held, return_inverse=True)[1].reshape(-1)
    movable[0] = False
    found = np.full(state.count, -1)
    found[movable] = np.unique(group[movable], return_inverse=True)[1].reshape(-1)
    return Channels(found, axes)


def _walk(calls: Sequence[Call], example: Tensor, output: Tensor, parameters: set[int]) -> Walk:
    """The labels of every axis of every parameter.

    Args:
        calls: In execution order.
        example: The input of the recording, (N, *input shape).
        output: Its output.
        parameters: Identities of the parameters and buffers of the network.
    """
    state = Walk(len(example))
    state.write(example, STAYS)
    for call in calls:
        rule = RULES.get(call.name)
        if call.name in ("t", "transpose", "alias", "detach") and id(call.args[0]) in parameters:
            if call.name == "t":
                state.weights[id(call.output)] = call.args[0]
        elif rule is None or not rule(state, call):
            unknown(state, call)
    state.keep(output)
    for axis in state.axes.values():
        if id(axis.tensor) in state.fixed or id(axis.tensor) not in parameters:
            state.unite(axis.labels, STAYS)
    return state


@torch.no_grad()
def remove(network: nn.Module, found: Channels, gone: NDArray[np.bool_]) -> None:
    """Cuts the parameters and buffers of a network in place, and tells its layers their new sizes.

    Args:
        network: That the channels are of.
        found: Its channels.
        gone: As `Channels.removed` gives them.
    """
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv1d | nn.Conv2d)]
    depthwise = [part for part in convolutions if part.groups == part.in_channels > 1]
    for axis in sorted(found.axes, key=lambda axis: -axis.axis):  # columns first: rows tell the groups apart
        kept = ~gone[axis.labels]
        if not kept.all():
            axis.tensor.data = _cut(axis, kept)
            axis.tensor.grad = None
    for part in depthwise:
        part.groups = len(part.weight) * part.groups // part.out_channels
    for layer in network.modules():
        _tell_size(layer)


def no_longer_works(share: float, error: Exception) -> InputError:
    """What to say of a network that cannot be run without a share of its channels."""
    return InputError(
        f"prune_channels = {share:g} removes channels, and the forward of the network does not work with those that "
        f"are left: {str(error).rstrip('.')}. Let it read sizes off its tensors, as x.flatten(1) does, or leave out "
        "prune_channels"
    )


def _cut(axis: Axis, kept: NDArray[np.bool_]) -> Tensor:
    tensor = axis.tensor.data
    if tensor.is_meta:
        shape = list(tensor.shape)
        shape[axis.axis] = int(kept.sum()) // (axis.groups if axis.axis else 1)
        return torch.empty(shape, dtype=tensor.dtype, device="meta")
    if axis.axis == 0:
        return tensor[torch.from_numpy(kept).to(tensor.device)]
    parts = zip(tensor.chunk(axis.groups), kept.reshape(axis.groups, -1), strict=True)
    return torch.cat([rows[:, torch.from_numpy(columns).to(tensor.device)] for rows, columns in parts])


def _tell_size(part: nn.Module) -> None:
    """What a layer knows of its size beside its weights."""
    if isinstance(part, nn.Conv1d | nn.Conv2d):
        part.out_channels, part.in_channels = len(part.weight), part.weight.shape[1] * part.groups
    elif isinstance(part, nn.Linear):
        part.out_features, part.in_features = part.weight.shape
    elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
        sized = part.weight if part.weight is not None else part.running_mean
        part.num_features = part.num_features if sized is None else len(sized)
    elif isinstance(part, nn.LSTM | nn.GRU):
        of_input, of_state = part.all_weights[0][:2]
        part.input_size, part.hidden_size = of_input.shape[1], of_state.shape[1]
    elif isinstance(part, nn.Embedding):
        part.embedding_dim = part.weight.shape[1]
    elif isinstance(part, nn.LayerNorm) and part.weight is not None:
        part.normalized_shape = tuple(part.weight.shape)
