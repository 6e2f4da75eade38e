"""The channels of a network: which layers write them, which parameters belong to them, and which of them are one.

Channels that are added or multiplied element by element are one channel: they can only be kept or dropped together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sparsemod.inherit.marks import PLACE, along, channel_of, spread

Tag = tuple[str, str, int]
"""(layer, "writes" or "reads", group): channels of equal tags are told apart by nothing but their order."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What the entries of a parameter belong to.

    Attributes:
        axes: Marks of each axis; None where an axis is no channels, such as that of a kernel.
        outputs: Axes along which a new entry is a new output, which nobody reads yet.
        groups: Of a convolution; its second axis has the marks of all inputs then, not those of one group.
    """

    axes: tuple[Tensor | None, ...]
    outputs: tuple[int, ...] = (0,)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a network.

    Attributes:
        layouts: By name of a parameter or buffer, in order of execution.
        writers: Marks of what each layer writes, by the name of its weight; "" is the input of the network.
        depthwise: Weights that change each channel on its own.
        norms: The scale of the batch norm that reads what a weight wrote, by the name of that weight.
        tags: Of each channel.
        fixed: Channels whose order says something, such as the outputs of the network.
    """

    layouts: Mapping[str, Layout]
    writers: Mapping[str, Tensor]
    depthwise: frozenset[str]
    norms: Mapping[str, str]
    tags: Mapping[int, frozenset[Tag]]
    fixed: frozenset[int]


@dataclass
class Walk:
    """What is known while walking through the calls; the rules read and write it.

    Attributes:
        names: Of parameters and buffers, by the identity of their tensor.
        turned: Parameters that are transposed, as `nn.Linear` does it.
        marks: Of each tensor.
        layouts: Of each parameter.
        writers: Marks of what each layer writes.
        written_by: The weight behind each tensor that a layer writes.
        depthwise: As `Channels.depthwise`.
        norms: As `Channels.norms`.
        tags: Pairs of channel and tag.
        fixed: As `Channels.fixed`.
    """

    names: dict[int, str]
    turned: set[int] = field(default_factory=set)
    marks: dict[int, Tensor] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    writers: dict[str, Tensor] = field(default_factory=dict)
    written_by: dict[int, str] = field(default_factory=dict)
    depthwise: set[str] = field(default_factory=set)
    norms: dict[str, str] = field(default_factory=dict)
    tags: list[tuple[int, Tag]] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    _forest: list[int] = field(default_factory=list)  # the parent of each channel; trees are channels that are one

    def new(self, name: str, count: int, groups: int = 1) -> Tensor:
        """Marks of what a layer writes; the same ones each time it is called."""
        if name not in self.writers:
            first = len(self._forest)
            self._forest += range(first, first + count)
            self.tags += [(first + i, (name, "writes", i * groups // count)) for i in range(count)]
            self.writers[name] = torch.arange(first, first + count) << PLACE
        return self.writers[name]

    def _root(self, channel: int) -> int:
        while self._forest[channel] != channel:
            channel = self._forest[channel]
        return channel

    def unite(self, one: Tensor, other: Tensor) -> None:
        """Channels that meet element by element are one; the earlier one gives its number."""
        pairs = torch.stack([channel_of(one).flatten(), channel_of(other).flatten()], 1).unique(dim=0)
        for a, b in pairs.tolist():
            if a >= 0 and b >= 0:
                low, high = sorted((self._root(a), self._root(b)))
                self._forest[high] = low

    def note(self, tensor: Any, layout: Layout) -> None:
        """What a parameter belongs to; a second use of it must agree with the first."""
        name = self.names.get(id(tensor))
        if name is None:
            return
        before = self.layouts.setdefault(name, layout)
        if before is layout:
            return
        for one, other in zip(before.axes, layout.axes, strict=True):
            if one is not None and other is not None and len(one) == len(other):
                self.unite(one, other)

    def read(self, tensor: Tensor, axis: int) -> Tensor | None:
        """The marks that a layer reads along an axis; None, and in order for ever, where they cannot be told."""
        marks = self.marks.get(id(tensor))
        found = None if marks is None else along(marks, axis)
        if found is None:
            self.fix(tensor)
        return found

    def write(self, tensor: Tensor, name: str, marks: Tensor, axis: int) -> None:
        """A layer writes a tensor with channels along an axis."""
        self.marks[id(tensor)] = spread(marks, tensor.shape, axis)
        self.written_by[id(tensor)] = name

    def follow(self, source: Tensor, target: Tensor) -> None:
        """A tensor has the channels of another, element by element."""
        if id(source) in self.marks:
            self.marks[id(target)] = self.marks[id(source)]

    def lose(self, args: Sequence[Any]) -> None:
        """Arguments of a call that cannot be followed."""
        for arg in args:
            for tensor in arg if isinstance(arg, (tuple, list)) else (arg,):
                if isinstance(tensor, Tensor):
                    self.fix(tensor)

    def fix(self, tensor: Tensor) -> None:
        """From here on it is not known what happens to the channels of a tensor, so they stay in order."""
        if id(tensor) in self.marks:
            self.fixed.update(channel_of(self.marks[id(tensor)]).unique().tolist())

    def found(self) -> Channels:
        """Everything, with one number for all channels that are one."""
        roots = torch.tensor([self._root(channel) for channel in range(len(self._forest))], dtype=torch.int64)

        def one(marks: Tensor) -> Tensor:
            known = marks.clamp_min(0)
            return torch.where(marks < 0, -1, (roots[known >> PLACE] << PLACE) + known % 2**PLACE)

        tags: dict[int, set[Tag]] = {channel: set() for channel in sorted(set(roots.tolist()))}
        for channel, tag in self.tags:
            tags[self._root(channel)].add(tag)
        layouts = {
            name: replace(layout, axes=tuple(None if axis is None else one(axis) for axis in layout.axes))
            for name, layout in self.layouts.items()
        }
        return Channels(
            layouts,
            {name: one(marks) for name, marks in self.writers.items()},
            frozenset(self.depthwise),
            self.norms,
            {channel: frozenset(found) for channel, found in tags.items()},
            frozenset(self._root(channel) for channel in self.fixed if channel >= 0),
        )
