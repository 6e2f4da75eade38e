"""Weights of the parent at their places in the child."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.inherit.channels import Layout
from sparsemod.inherit.marks import PLACE, channel_of, grid, place_of
from sparsemod.inherit.matching import Match, resolved

_VANISHING = 1e-8
"""Of a new branch beside an old one: too little to change the sum, and enough to let gradients through a ReLU."""

_LEAST = 1e-3
"""Variance of a channel that is all but constant; smaller ones would be blown up where they vary after all."""


def overlap(module: nn.Module, tensor: Tensor, source: Tensor) -> list[Tensor]:
    """The position in the parent's tensor of each entry along each axis, -1 for new ones, by shapes alone.

    Kernels share the tap that sits on the output position; recurrent layers share units, gate by gate.
    """
    gates = 4 if isinstance(module, nn.LSTM | nn.LSTMCell) else 3 if isinstance(module, nn.GRU | nn.GRUCell) else 1
    index = []
    for axis, (size, old) in enumerate(zip(tensor.shape, source.shape, strict=True)):
        if axis == 0 and gates > 1:
            unit = _shifted(size // gates, old // gates, 0)
            parts = [torch.where(unit < 0, -1, unit + gate * (old // gates)) for gate in range(gates)]
            index.append(torch.cat(parts))
        else:
            index.append(_shifted(size, old, (size - 1) // 2 - (old - 1) // 2 if axis >= 2 else 0))
    return index


def _shifted(size: int, old: int, shift: int) -> Tensor:
    position = torch.arange(size) - shift
    return torch.where((position < 0) | (position >= old), -1, position)


def fill(tensor: Tensor, source: Tensor, index: Sequence[Tensor], outputs: Sequence[int]) -> None:
    """Writes old entries to their places; new inputs of old outputs get zero, new outputs stay as they are.

    Args:
        tensor: Of the child; changed in place.
        source: Of the parent.
        index: Position in the source of each entry along each axis, -1 for new ones.
        outputs: The axes of outputs; the others are read.
    """
    picked, fresh = source.to(tensor), torch.zeros((), dtype=torch.bool)
    old = torch.ones((), dtype=torch.bool)
    for axis, positions in enumerate(index):
        picked = picked.index_select(axis, positions.clamp_min(0).to(picked.device))
        known = (positions >= 0).reshape(-1, *[1] * (tensor.dim() - axis - 1)).to(tensor.device)
        old = old.to(known.device) & known
        fresh = fresh.to(known.device) | ~known if axis in outputs else fresh
    tensor.copy_(torch.where(fresh, tensor, torch.where(old, picked, torch.zeros_like(picked))))


def fill_by_channels(
    module: nn.Module, tensor: Tensor, source: Tensor, layouts: tuple[Layout, Layout], match: Match
) -> None:
    """As `fill`, with every channel where the network has it.

    Args:
        module: That the tensor belongs to.
        tensor: Of the child; changed in place.
        source: Of the parent.
        layouts: Of the child's tensor and of the parent's.
        match: Who is who.
    """
    ours, theirs = layouts
    whole, source = _dense(tensor, ours.groups), _dense(source, theirs.groups)
    index = overlap(module, whole, source)
    for axis, (new, old) in enumerate(zip(ours.axes, theirs.axes, strict=True)):
        if new is None or old is None:
            continue
        fitted = source
        if axis not in ours.outputs:
            fitted, old = _resized(source, axis, resolved(old, match.passed_before), resolved(new, match.passed))
        found = match.index(new, old)
        if (found >= 0).any():
            source, index[axis] = fitted, found
    fill(whole, source, index, ours.outputs)
    if ours.groups > 1:
        tensor.copy_(_blocks(whole, ours.groups))


def _dense(weight: Tensor, groups: int) -> Tensor:
    """A grouped convolution as one over all channels: (O, I / groups, *kernel) -> (O, I, *kernel)."""
    if groups == 1:
        return weight
    dense = weight.new_zeros(len(weight), groups, *weight.shape[1:])
    rows = torch.arange(len(weight))
    dense[rows, rows * groups // len(weight)] = weight
    return dense.flatten(1, 2)


def _blocks(dense: Tensor, groups: int) -> Tensor:
    """The inverse of `_dense`."""
    rows = torch.arange(len(dense))
    by_group: Tensor = dense.unflatten(1, (groups, -1))
    return by_group[rows, rows * groups // len(dense)]


def _resized(source: Tensor, axis: int, old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs that are planes of another size in the child: its cells get the mean weight of the cells they cover.

    The sum over a plane stays what it was, so that a plane of one value does the same as before.
    """
    planes, size, target = _planes(old), _extent(old), _extent(new)
    if size == target or planes is None or _planes(new) is None:
        return source, old
    order = old.argsort()  # channel by channel, row by row
    values = source.index_select(axis, order).movedim(axis, -1)
    shape = values.shape[:-1]
    resized = F.adaptive_avg_pool2d(values.reshape(1, -1, *size), target) * math.prod(size) / math.prod(target)
    first = channel_of(old)[order].reshape(planes, -1)[:, :1] << PLACE
    return resized.reshape(*shape, -1).movedim(-1, axis), (first + grid(*target)).flatten()


def _extent(marks: Tensor) -> tuple[int, int]:
    rows, columns = place_of(marks)
    return int(rows.max()) + 1, int(columns.max()) + 1


def _planes(marks: Tensor) -> int | None:
    """How many channels there are, if all of them are whole planes of one size, each once."""
    rows, columns = _extent(marks)
    count = len(channel_of(marks).unique())
    return count if int(marks.min()) >= 0 and len(marks.unique()) == len(marks) == count * rows * columns else None


# --- layers that the parent lacks ------------------------------------------------------------------------------------


def pass_on(module: nn.Module, copies: Sequence[tuple[int, int]]) -> None:
    """Lets outputs of a convolution or linear layer be copies of its inputs.

    Args:
        module: Changed in place.
        copies: (output, input) for each such output.
    """
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    middle = [(size - 1) // 2 for size in weight.shape[2:]]
    for output, position in copies:
        weight[output] = 0
        weight[(output, position % weight.shape[1], *middle)] = 1
        if isinstance(bias, Tensor):
            bias[output] = 0


def vanish(module: nn.Module, outputs: Sequence[int]) -> None:
    """Lets outputs of a layer be all but zero."""
    for output in outputs:
        for parameter, factor in ((module.weight, _VANISHING), (module.bias, 0.0)):
            if isinstance(parameter, Tensor):
                parameter[output] *= factor


def vanish_states(module: nn.LSTM | nn.GRU, suffix: str, units: Sequence[int]) -> None:
    """Lets states of a recurrent layer be all but zero, by what is to become part of them.

    Args:
        module: Changed in place.
        suffix: Of the names of its parameters, for one layer and direction.
        units: Whose states.
    """
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        parameter = getattr(module, f"{kind}{suffix}", None)
        if parameter is not None:
            parameter[[2 * module.hidden_size + unit for unit in units]] *= _VANISHING  # the third gate of either kind


def neutral(norm: nn.BatchNorm1d | nn.BatchNorm2d, before: Sequence[tuple[float, float] | None] = ()) -> None:
    """Lets a batch norm as it was built hand on what it gets.

    With the statistics of what it gets it does so in training, too. They are those of a standard normal that was
    scaled, shifted and rectified, which is what an earlier batch norm and a ReLU leave.

    Args:
        norm: Changed in place.
        before: Scale and shift of the earlier batch norm, for each channel; None where there is none.
    """
    if norm.running_var is None or norm.running_mean is None:
        return
    norm.running_var.fill_(1 - norm.eps)
    for channel, found in enumerate(before):
        if found is None or not norm.affine:
            continue
        mean, variance = _rectified(*found)
        norm.running_mean[channel], norm.running_var[channel] = mean, variance - norm.eps
        norm.weight[channel], norm.bias[channel] = math.sqrt(variance), mean


def _rectified(scale: float, shift: float) -> tuple[float, float]:
    """Mean and variance of max(0, scale * z + shift) for a standard normal z; at least `_LEAST` of variance."""
    scale = max(abs(scale), 1e-6)
    positive = 0.5 * (1 + math.erf(shift / scale / math.sqrt(2)))
    density = math.exp(-0.5 * (shift / scale) ** 2) / math.sqrt(2 * math.pi)
    mean = shift * positive + scale * density
    square = (shift**2 + scale**2) * positive + shift * scale * density
    return mean, max(square - mean**2, _LEAST)
