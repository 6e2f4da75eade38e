"""A parent's weights into a child of another shape.

Where the child grew, its function is the parent's as far as shapes allow [Chen2016] [Wei2016]. Where it shrank, its
most important channels stay [Li2017]. In evaluation mode the function is the parent's after any number of these:

- wider: more filters or units of any layer, also of a depthwise, grouped or recurrent one, of a residual branch, and in
  the middle of a concatenation. New outputs start as they were built, and nothing reads them yet.
- larger kernels, of even sizes too, where the padding keeps tap (size - 1) // 2 on the output position.
- deeper: a convolution or linear layer, with or without batch norm, of at least as many outputs as inputs. A ReLU after
  it must find nothing negative: so it is after another ReLU, not after a residual sum with a convolution in it. A
  first hidden layer before the classifier needs as many units as there are features.
- a new branch that is added to an old one, such as a block or a recurrent layer with a skip around it, or a new
  convolution as a skip: it starts at nothing.
- a skip that turns from the identity to a 1 x 1 convolution of stride 1, as its ends are no longer of one width.
- without channels whose filter (or batch norm) is zero and gives zero.
- flattening instead of global average pooling.

It cannot be after these, and what can be kept is kept: a narrower network, a smaller kernel, a layer less, another
stride or pooling, a skip that becomes the identity or appears as one, another type of layer, a recurrent layer more
without a skip around it; and more features of a layer norm, group norm or softmax, or a new factor such as a
squeeze-and-excitation, which change the old ones.

[Chen2016] Net2Net: accelerating learning via knowledge transfer, ICLR 2016, arXiv 1511.05641.
[Wei2016] Network morphism, ICML 2016, arXiv 1603.01670.
[Li2017] Pruning filters for efficient ConvNets, ICLR 2017, arXiv 1608.08710.
"""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsemod.errors import InputError
from sparsemod.inherit.channels import Channels
from sparsemod.inherit.following import follow
from sparsemod.inherit.marks import PLACE, channel_of
from sparsemod.inherit.matching import Match, beginning, match
from sparsemod.inherit.writing import fill, fill_by_channels, neutral, overlap, pass_on, vanish, vanish_states

__all__ = ["inherit"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Kinship:
    """The channels of child and parent, and who is who."""

    child: Channels
    parent: Channels
    match: Match


@torch.no_grad()
def inherit(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    parent: nn.Module | None = None,
    input_shape: Sequence[int] = (),
    parent_shape: Sequence[int] | None = None,
) -> None:
    """Overwrites the weights of a freshly built network with those of its parent, layer by layer by name.

    Args:
        network: The child; changed in place.
        weights: The parent's `state_dict`.
        parent: The parent as it was built, which says who reads what; its own weights are not read. Without it, or
            where a network cannot be followed, what overlaps by position is copied.
        input_shape: Of one sample.
        parent_shape: Of one sample of the parent, if it was another.
    """
    shapes = input_shape, parent_shape or input_shape
    kinship = None if parent is None else _kinship(network, parent, weights, *shapes)
    known = {name.rpartition(".")[0] for name in weights}
    modules = dict(network.named_modules())
    new = [name for name in modules if name not in known]
    for name, module in modules.items():
        if name in known:
            _copy(module, name, weights, kinship)
    for name in new:
        module = modules[name]
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            neutral(module, _norms_before(name, modules, known, kinship))
    for name in new:
        module = modules[name]
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            _begin(module, name, modules, known, kinship)
        elif isinstance(module, nn.LSTM | nn.GRU) and kinship is not None:
            _begin_recurrent(module, name, kinship)


def _kinship(
    network: nn.Module,
    parent: nn.Module,
    weights: Mapping[str, Tensor],
    input_shape: Sequence[int],
    parent_shape: Sequence[int],
) -> _Kinship | None:
    shapes = {name: tensor.shape for name, tensor in parent.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        _log.debug("the parent was trained in another shape than it was built in: weights are inherited by position")
        return None
    try:
        ours, theirs = follow(network, input_shape), follow(parent, parent_shape)
    except (RuntimeError, ValueError, IndexError, InputError) as error:
        _log.debug("weights are inherited by position: %s", error)
        return None
    return _Kinship(ours, theirs, match(ours, theirs, weights))


def _copy(module: nn.Module, name: str, weights: Mapping[str, Tensor], kinship: _Kinship | None) -> None:
    """Old weights of a layer that the parent has, too."""
    own = (*module.named_parameters(name, recurse=False), *module.named_buffers(name, recurse=False))
    for name, tensor in own:
        source = weights.get(name)
        if source is None or source.dim() != tensor.dim():
            continue
        if kinship is not None and name in kinship.child.layouts and name in kinship.parent.layouts:
            layouts = kinship.child.layouts[name], kinship.parent.layouts[name]
            fill_by_channels(module, tensor, source, layouts, kinship.match)
        else:
            looked_up = isinstance(module, nn.Embedding)  # new features are zero where they are read
            outputs = (0,) if tensor.dim() >= 2 and not looked_up else range(tensor.dim())
            fill(tensor, source, overlap(module, tensor, source), tuple(outputs))


def _norms_before(
    name: str, modules: Mapping[str, nn.Module], known: Container[str], kinship: _Kinship | None
) -> list[tuple[float, float] | None]:
    """Scale and shift of the batch norm of the parent that each channel of a new one has behind it."""
    layout = None if kinship is None else kinship.child.layouts.get(f"{name}.weight")
    if kinship is None or layout is None or layout.axes[0] is None:
        return []
    found: dict[int, tuple[float, float]] = {}
    for scale in kinship.child.norms.values():
        owner, marks = scale.rpartition(".")[0], kinship.child.layouts[scale].axes[0]
        gamma, beta = modules[owner].weight, modules[owner].bias
        if owner in known and marks is not None and isinstance(gamma, Tensor) and isinstance(beta, Tensor):
            values = zip(gamma.tolist(), beta.tolist(), strict=True)
            found.update(zip(channel_of(marks).tolist(), values, strict=True))
    passed = [kinship.match.passed.get(channel, -1) for channel in channel_of(layout.axes[0]).tolist()]
    return [found.get(mark >> PLACE) for mark in passed]


def _begin(
    module: nn.Conv1d | nn.Conv2d | nn.Linear,
    name: str,
    modules: Mapping[str, nn.Module],
    known: Container[str],
    kinship: _Kinship | None,
) -> None:
    """First weights of a layer that the parent lacks: it passes on what it can, and adds nothing to old sums."""
    weight, groups = f"{name}.weight".lstrip("."), getattr(module, "groups", 1)
    outputs, inputs = module.weight.shape[0], module.weight.shape[1] * groups
    if kinship is None or weight in kinship.child.depthwise:
        if outputs == inputs and set(getattr(module, "stride", (1,))) == {1}:
            pass_on(module, [(position, position) for position in range(outputs)])
    elif weight in kinship.child.writers and (groups == 1 or outputs == inputs):
        copies, silent = beginning(kinship.child, kinship.match, weight)
        inside = [(row, column) for row, column in copies if row * groups // outputs == column * groups // inputs]
        pass_on(module, inside)
        norm = kinship.child.norms.get(weight, "").rpartition(".")[0]
        vanish(modules[norm] if norm and norm not in known else module, silent)


def _begin_recurrent(module: nn.LSTM | nn.GRU, name: str, kinship: _Kinship) -> None:
    """First weights of a recurrent layer that the parent lacks: it adds nothing to old sums."""
    for parameter in dict(module.named_parameters()):
        marks = kinship.child.writers.get(f"{name}.{parameter}".lstrip("."))
        if marks is not None:
            old = [unit for unit, mark in enumerate(marks.tolist()) if kinship.match.before(mark)]
            vanish_states(module, parameter.removeprefix("weight_ih"), old)
