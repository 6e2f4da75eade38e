"""Which channel of the parent each channel of the child is.

Channels that the same layers write stay in order while there are enough of them; where the child has fewer, the most
important ones are kept [Li2017].

[Li2017] Pruning filters for efficient ConvNets, ICLR 2017, arXiv 1608.08710.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsemod.inherit.channels import Channels, Tag
from sparsemod.inherit.marks import PLACE, channel_of


@dataclass(frozen=True, eq=False)
class Match:
    """Who is who.

    Attributes:
        origins: Channels of the parent, by channel of the child; more than one where the parent kept apart what the
            child adds together. A new channel has none.
        passed: The mark that a channel of the child hands on, if a layer that the parent lacks writes it as a copy.
        passed_before: The same of the parent, and of layers that the child lacks.
        importance: Of the channels of the parent.
        common: Layers of both.
    """

    origins: Mapping[int, Sequence[int]]
    passed: dict[int, int]
    passed_before: dict[int, int]
    importance: Mapping[int, float]
    common: Sequence[str]

    def index(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """The position on an axis of the parent of each entry of the child's, (n,); -1 for new ones.

        Each position is taken once: a copy of a channel beside the channel itself is new.

        Args:
            ours: Marks of the child's axis, (n,).
            theirs: Marks of the parent's.
        """
        waiting: dict[int, deque[int]] = defaultdict(deque)
        for position, mark in enumerate(resolved(theirs, self.passed_before).tolist()):
            waiting[mark].append(position)
        found = [-1] * len(ours)
        for marks in (ours, resolved(ours, self.passed)):
            for position, mark in enumerate(marks.tolist()):
                sources = (waiting[origin] for origin in self.before(mark) if waiting.get(origin))
                if found[position] < 0:
                    found[position] = next((source.popleft() for source in sources), -1)
        return torch.tensor(found, dtype=torch.int64)

    def before(self, mark: int) -> list[int]:
        """What a mark of the child is among the parent's."""
        if mark < 0:
            return [-1]
        channel, place = divmod(mark, 2**PLACE)
        return [(origin << PLACE) + place for origin in self.origins.get(channel, ())]

    def worth(self, mark: int) -> float:
        """How important a mark of the child is; nothing if it is new."""
        return sum(self.importance.get(origin >> PLACE, 0.0) for origin in self.before(_resolved(mark, self.passed)))


def _resolved(mark: int, passed: Mapping[int, int]) -> int:
    source = passed.get(mark >> PLACE) if mark >= 0 else None
    return mark if source is None else source + mark % 2**PLACE


def resolved(marks: Tensor, passed: Mapping[int, int]) -> Tensor:
    """What marks are copies of, or the marks themselves."""
    return torch.tensor([_resolved(mark, passed) for mark in marks.tolist()], dtype=torch.int64) if passed else marks


def match(child: Channels, parent: Channels, weights: Mapping[str, Tensor]) -> Match:
    """Who is who in two networks of one family.

    Args:
        child: Its channels.
        parent: Its channels.
        weights: The parent's `state_dict`.
    """
    importance = _importance(parent, weights)
    origins: dict[int, list[int]] = defaultdict(list)

    def pair(ours: Sequence[int], theirs: Sequence[int]) -> None:
        kept = theirs
        if len(ours) < len(theirs) and parent.fixed.isdisjoint(theirs) and child.fixed.isdisjoint(ours):
            ranked = sorted(theirs, key=lambda channel: -importance[channel])
            kept = [channel for channel in theirs if channel in ranked[: len(ours)]]
        for channel, origin in zip(ours, kept, strict=False):
            origins[channel].append(origin)

    common = [name for name in child.writers if name in parent.writers]
    known = _by_tags(parent, common)
    for tags, ours in _by_tags(child, common).items():
        pair(ours, known.get(tags, ()))
    for name in common:  # whose channels other layers write or read as well: one layer at a time
        ours, theirs = _channels(child.writers[name]), _channels(parent.writers[name])
        taken = {origin for channel in ours for origin in origins[channel]}
        left = [channel for channel in ours if not set(theirs).intersection(origins[channel])]
        pair(left, [channel for channel in theirs if channel not in taken])

    found = Match(origins, {}, {}, importance, common)
    _pass(parent, common, found.passed_before)
    _pass(child, common, found.passed, found.worth)
    return found


def _by_tags(channels: Channels, common: Sequence[str]) -> dict[frozenset[Tag], list[int]]:
    """Channels in order, by what the layers of both networks do with them."""
    found: dict[frozenset[Tag], list[int]] = defaultdict(list)
    for channel in channels.tags:
        tags = known_tags(channels, channel, common)
        if tags:
            found[tags].append(channel)
    return found


def known_tags(channels: Channels, channel: int, common: Container[str]) -> frozenset[Tag]:
    """What layers of both networks do with a channel."""
    return frozenset(tag for tag in channels.tags[channel] if tag[0] in common)


def _channels(marks: Tensor) -> list[int]:
    return list(dict.fromkeys(channel_of(marks).tolist()))


def _importance(channels: Channels, weights: Mapping[str, Tensor]) -> dict[int, float]:
    """The L1 norm of a channel's filter [Li2017], times the scale of its batch norm.

    Filters whose outputs are added count together; a depthwise filter multiplies what it reads.
    """
    added: dict[int, float] = dict.fromkeys(channels.tags, 0.0)
    factor: dict[int, float] = dict.fromkeys(channels.tags, 1.0)
    for name in (*channels.writers, *channels.depthwise):
        if name not in weights:
            continue
        layout = channels.layouts[name]
        sizes = weights[name].abs().movedim(layout.outputs[0], 0).flatten(1).sum(1)
        if name in channels.norms:
            sizes = sizes * weights[channels.norms[name]].abs()
        marks = layout.axes[layout.outputs[0]]
        assert marks is not None, "what a layer writes is marked"
        for channel, size in zip(channel_of(marks).tolist(), sizes.tolist(), strict=True):
            if name in channels.depthwise:
                factor[channel] *= size
            else:
                added[channel] += size
    return {channel: size * factor[channel] for channel, size in added.items()}


# --- layers that only one of the two has -----------------------------------------------------------------------------


def copied(outputs: Tensor, inputs: Tensor, worth: Callable[[int], float] | None = None) -> list[int]:
    """Which input each output of a layer is a copy of, for as many outputs as there are; the inputs of most worth.

    Args:
        outputs: Marks, (O,).
        inputs: Marks, (I,).
        worth: Of an input; without it, a layer with another number of outputs copies nothing.
    """
    if worth is None and len(outputs) != len(inputs):
        return []
    if worth is None or len(outputs) >= len(inputs):
        return list(range(len(inputs)))
    values = [worth(mark) for mark in inputs.tolist()]
    ranked = sorted(range(len(inputs)), key=lambda position: -values[position])
    return sorted(ranked[: len(outputs)])


def _pass(
    channels: Channels, common: Sequence[str], passed: dict[int, int], worth: Callable[[int], float] | None = None
) -> None:
    """Adds what each channel is a copy of that a layer writes which the other network lacks."""
    for name, outputs in channels.writers.items():
        inputs = inputs_of(channels, name)
        if name in common or inputs is None or any(known_tags(channels, c, common) for c in _channels(outputs)):
            continue
        for mark, position in zip(outputs.tolist(), copied(outputs, inputs, worth), strict=False):
            source = _resolved(int(inputs[position]), passed)
            if source >= 0 and source >> PLACE != mark >> PLACE:
                passed.setdefault(mark >> PLACE, source)


def beginning(child: Channels, match: Match, name: str) -> tuple[list[tuple[int, int]], list[int]]:
    """What a layer that the parent lacks starts as: (output, input) of its copies, and outputs that add nothing yet.

    On its own, it hands on its inputs. What is added to old channels is a copy of the inputs that the parent added to
    them, through a skip that was the identity; and nothing if there are none.

    Args:
        child: Its channels.
        match: Who is who.
        name: Of the layer's weight.
    """
    outputs, inputs = child.writers[name], inputs_of(child, name)
    if inputs is None:
        return [], []
    if not any(known_tags(child, channel, match.common) for channel in _channels(outputs)):
        return list(enumerate(copied(outputs, inputs, match.worth))), []
    sources: dict[int, tuple[int, int]] = {}
    for position, mark in enumerate(inputs.tolist()):
        mark = _resolved(mark, match.passed)
        sources.update({} if mark < 0 else {origin: (position, mark >> PLACE) for origin in match.before(mark)})
    copies, silent = [], []
    for row, mark in enumerate(outputs.tolist()):
        origins = match.before(mark)
        found = next((sources[origin] for origin in origins if origin in sources), None)
        if found is not None and found[1] != mark >> PLACE:  # else a skip of the child alone leads around the layer
            copies.append((row, found[0]))
        elif origins:
            silent.append(row)
    return copies, silent


def inputs_of(channels: Channels, name: str) -> Tensor | None:
    """Marks of what a convolution or linear layer reads; None of anything else."""
    layout = channels.layouts.get(name)
    if layout is None or len(layout.axes) < 2 or len(layout.outputs) != 1:
        return None
    written = layout.axes[layout.outputs[0]]
    gated = written is None or name not in channels.writers or len(written) != len(channels.writers[name])
    return None if gated else layout.axes[1 - layout.outputs[0]]
