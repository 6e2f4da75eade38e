"""Which channel each element of each tensor belongs to: labels walk through the recorded calls of a network.

A layer gives its output channels new labels; what hands elements on hands on their labels; what needs two elements to
stay or go together, such as an addition or the batch norm of a channel, makes one label of theirs. That finds the
dependency groups of [Fang2023] through whatever a network is made of, by element and so through concatenation and
flattening too. Elements of the label 0 stay: inputs, outputs, and whatever passes a call that is not known here, such
as a sum along the channels.

Why not Torch-Pruning, the library of that paper: its release 1.6.1 took 5 to 1000 ms for a network of our space, where
this takes 3 and a screen asks thousands of times; and it left networks that do not run where a depthwise layer reads
the network's input, and failed where something is added to a concatenation.

[Fang2023] DepGraph: towards any structural pruning, CVPR 2023, arXiv 2301.12900.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Labels = NDArray[np.int64]

STAYS = np.zeros((), np.int64)
"""The label of what stays, for as many elements as it is held against."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a parameter or buffer of a layer.

    Attributes:
        tensor: The parameter.
        axis: 0, or 1 of the inputs of a weight.
        labels: Of its positions; of all inputs of a grouped convolution, group behind group.
        groups: Of a convolution, each of which has to lose as many channels; else 1.
        ranked: Whether its magnitude says how much a channel matters: of weights, and of the factors of a norm.
    """

    tensor: Tensor
    axis: int
    labels: Labels
    groups: int = 1
    ranked: bool = False


@dataclass
class Walk:
    """What is known while walking through the calls.

    Attributes:
        batch: N of the recording.
        known: Labels of each activation without its batch, by the identity of its tensor; where a channel has many
            elements, they are one in memory.
        weights: The parameter that each transposed tensor is a view of.
        states: The units of each tensor of last states of a recurrent layer, (layers and directions, N, H).
        fixed: Tensors that a call reads in a way that is not known here.
        axes: By parameter and axis.
        equal: Labels that are one, in pairs.
        count: Of labels so far.
    """

    batch: int
    known: dict[int, Labels] = field(default_factory=dict)
    weights: dict[int, Tensor] = field(default_factory=dict)
    states: dict[int, Labels] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)
    axes: dict[tuple[int, int], Axis] = field(default_factory=dict)
    equal: list[tuple[Labels, Labels]] = field(default_factory=list)
    count: int = 1

    def write(self, tensor: Tensor, labels: Labels) -> None:
        """Says what an activation is; labels are repeated along axes of one element."""
        self.known[id(tensor)] = np.broadcast_to(labels, tuple(tensor.shape[1:]))

    def unite(self, one: Labels, other: Labels) -> None:
        """Makes the labels of two shapes that fit together one, element by element."""
        one, other = np.broadcast_arrays(one, other)
        thin = tuple(slice(None) if any(steps) else slice(1) for steps in zip(one.strides, other.strides, strict=True))
        self.equal.append((one[thin].ravel(), other[thin].ravel()))

    def along(self, labels: Labels, axes: Sequence[int]) -> Labels:
        """One label for all elements along some axes, which become 1."""
        first = labels[tuple(slice(1) if axis in axes else slice(None) for axis in range(labels.ndim))]
        if any(labels.strides[axis] and labels.shape[axis] > 1 for axis in axes):
            self.unite(labels, first)
        return first

    def by_channel(self, labels: Labels) -> Labels:
        """One label for each position of the first axis, (C,)."""
        return self.along(labels, range(1, labels.ndim)).ravel()

    def reads(self, tensor: Tensor, axis: int, labels: Labels, groups: int = 1, ranked: bool = False) -> None:
        """A call reads an axis of a parameter for these channels."""
        found = self.axes.setdefault((id(tensor), axis), Axis(tensor, axis, labels, groups, ranked))
        if found.labels is not labels:
            self.unite(found.labels, labels)

    def made(self, weight: Tensor, axis: int = 0, groups: int = 1) -> Labels:
        """The labels of what an axis of a weight makes: new ones, unless the layer was called before."""
        if (id(weight), axis) not in self.axes:
            self.count += weight.shape[axis]
            self.reads(weight, axis, np.arange(self.count - weight.shape[axis], self.count), groups, ranked=True)
        return self.axes[id(weight), axis].labels

    def keep(self, tensor: Tensor) -> None:
        """All that a tensor holds stays."""
        self.fixed.add(id(tensor))
        for known in (self.known, self.states):
            if id(tensor) in known:
                self.unite(known[id(tensor)], STAYS)

    def roots(self) -> Labels:
        """The smallest of all labels that are one with each, (count,)."""
        root = np.arange(self.count)
        if not self.equal:
            return root
        one, other = (np.concatenate(side) for side in zip(*self.equal, strict=True))
        while True:
            low = np.minimum(root[one], root[other])
            before = root.copy()
            for side in (one, other):
                np.minimum.at(root, before[side], low)
            root = root[root]
            if np.array_equal(root, before):
                return root
