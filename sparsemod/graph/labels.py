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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.record import Call

Labels = NDArray[np.int64]

_STAYS = np.zeros((), np.int64)


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
                self.unite(known[id(tensor)], _STAYS)

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


def walk(calls: Sequence[Call], example: Tensor, output: Tensor, parameters: set[int]) -> Walk:
    """The labels of every axis of every parameter.

    Args:
        calls: In execution order.
        example: The input of the recording, (N, *input shape).
        output: Its output.
        parameters: Identities of the parameters and buffers of the network.
    """
    state = Walk(len(example))
    state.write(example, _STAYS)
    for call in calls:
        rule = _RULES.get(call.name)
        if call.name in ("t", "transpose", "alias", "detach") and id(call.args[0]) in parameters:
            if call.name == "t":
                state.weights[id(call.output)] = call.args[0]
        elif rule is None or not rule(state, call):
            _unknown(state, call)
    state.keep(output)
    for axis in state.axes.values():
        if id(axis.tensor) in state.fixed or id(axis.tensor) not in parameters:
            state.unite(axis.labels, _STAYS)
    return state


def _unknown(state: Walk, call: Call) -> None:
    """Everything that the call reads and writes stays."""
    for tensor in _tensors((call.args, tuple(call.kwargs.values()))):
        state.keep(tensor)
    for tensor in _tensors((call.output, call.others)):
        if tensor.dim() > 0:
            state.write(tensor, _STAYS)


def _tensors(args: object) -> list[Tensor]:
    if isinstance(args, Tensor):
        return [args]
    return [tensor for arg in args for tensor in _tensors(arg)] if isinstance(args, (list, tuple)) else []


# --- one rule per call: False where it does not apply -----------------------------------------------------------------


def _same(state: Walk, call: Call) -> bool:
    """Element by element."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.shape[1:] != labels.shape:
        return False
    state.known[id(call.output)] = labels
    return True


def _view(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.shape[:1] != (state.batch,) or math.prod(call.output.shape[1:]) != labels.size:
        return False
    state.write(call.output, labels.reshape(tuple(call.output.shape[1:])))
    return True


def _convolution(state: Walk, call: Call) -> bool:
    x, weight, bias, *_, transposed, _, groups = call.args
    labels = state.known.get(id(x))
    if labels is None or transposed:
        return False
    inputs = state.by_channel(labels)
    depthwise = groups == len(inputs) > 1
    made = state.made(weight, groups=1 if depthwise else groups)
    if depthwise:  # a channel goes with its input
        state.unite(made, np.repeat(inputs, len(made) // groups))
    else:
        state.reads(weight, 1, inputs, groups, ranked=True)
    if bias is not None:
        state.reads(bias, 0, made)
    state.write(call.output, made.reshape(-1, *[1] * (call.output.dim() - 2)))
    return True


def _linear(state: Walk, call: Call) -> bool:
    bias, x, transposed = call.args if call.name == "addmm" else (None, *call.args)
    labels, weight = state.known.get(id(x)), state.weights.get(id(transposed))
    if labels is None or weight is None or labels.ndim != 1:
        return False
    made = state.made(weight)
    state.reads(weight, 1, labels, ranked=True)
    if bias is not None:
        state.reads(bias, 0, made)
    state.write(call.output, made)
    return True


def _batch_norm(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    if labels is None:
        return False
    channels = state.by_channel(labels)
    for position, tensor in enumerate(call.args[1:5]):
        if tensor is not None:
            state.reads(tensor, 0, channels, ranked=position == 0)
    state.known[id(call.output)] = labels
    return True


def _layer_norm(state: Walk, call: Call) -> bool:
    x, shape, *affine = call.args[:4]
    labels = state.known.get(id(x))
    if labels is None or len(shape) != 1 or affine[0] is None:
        return False
    channels = state.along(labels, range(labels.ndim - 1)).ravel()
    for position, tensor in enumerate(affine):
        if tensor is not None:
            state.reads(tensor, 0, channels, ranked=position == 0)
    state.known[id(call.output)] = labels
    return True


def _spatial(state: Walk, call: Call) -> bool:
    """Poolings, zeros around an image, and upsampling: channels stay apart."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or call.output.dim() != labels.ndim + 1 or call.output.shape[1] != len(labels):
        return False
    state.write(call.output, state.by_channel(labels).reshape(-1, *[1] * (labels.ndim - 1)))
    return True


def _mean(state: Walk, call: Call) -> bool:
    labels = state.known.get(id(call.args[0]))
    axes = [axis % call.args[0].dim() for axis in call.args[1]] if len(call.args) > 1 else []
    if labels is None or not axes or 0 in axes:
        return False
    state.write(call.output, state.along(labels, [axis - 1 for axis in axes]).reshape(tuple(call.output.shape[1:])))
    return True


def _pair(state: Walk, call: Call) -> bool:
    """A sum or a product of two activations."""
    one, other = (state.known.get(id(part)) for part in call.args[:2])
    if one is None or other is None or one.ndim != other.ndim:
        return False
    state.unite(one, other)
    state.write(call.output, one if one.shape == call.output.shape[1:] else other)
    return True


def _concat(state: Walk, call: Call) -> bool:
    parts = [state.known.get(id(part)) for part in call.args[0]]
    axis = (call.args[1] if len(call.args) > 1 else 0) % call.output.dim()
    if axis == 0 or any(part is None for part in parts):
        return False
    if axis > 1 or call.output.dim() == 2:
        state.write(call.output, np.concatenate(parts, axis - 1))  # type: ignore[arg-type]  # none is None
    else:
        channels = np.concatenate([state.by_channel(part) for part in parts if part is not None])
        state.write(call.output, channels.reshape(-1, *[1] * (call.output.dim() - 2)))
    return True


def _permute(state: Walk, call: Call) -> bool:
    labels, dims = state.known.get(id(call.args[0])), call.output.dim()
    if call.name == "permute":
        order = [axis % dims for axis in call.args[1]]
    else:
        order = list(range(dims))
        one, other = (axis % dims for axis in call.args[1:3])
        order[one], order[other] = other, one
    if labels is None or order[0] != 0:
        return False
    state.known[id(call.output)] = labels.transpose([axis - 1 for axis in order[1:]])
    return True


def _recurrent(state: Walk, call: Call) -> bool:
    """All layers and directions of a module have one size, so that their units go together."""
    labels = state.known.get(id(call.args[0]))
    if labels is None or len(call.args) != 9 or not call.args[8]:
        return False
    _, _, parameters, biased, layers, _, _, both, _ = call.args
    directions = 2 if both else 1
    each = len(parameters) // (layers * directions)
    if each != (4 if biased else 2):
        return False
    units, inputs = state.made(parameters[1], axis=1), state.along(labels, [0]).ravel()
    for layer in range(layers):
        for start in range(layer * directions * each, (layer + 1) * directions * each, each):
            gates = np.tile(units, len(parameters[start]) // len(units))
            state.reads(parameters[start], 1, inputs, ranked=True)
            state.reads(parameters[start + 1], 1, units, ranked=True)
            for position, parameter in enumerate(parameters[start : start + each]):
                state.reads(parameter, 0, gates, ranked=position < 2)
        inputs = np.tile(units, directions)
    state.write(call.output, inputs)
    state.states.update((id(last), units) for last in call.others)
    return True


def _embedding(state: Walk, call: Call) -> bool:
    if id(call.args[1]) not in state.known:
        return False
    state.write(call.output, state.made(call.args[0], axis=1))
    return True


def _select(state: Walk, call: Call) -> bool:
    units = state.states.get(id(call.args[0]))
    if units is None or call.args[1] != 0:
        return _part(state, call)
    state.write(call.output, units)
    return True


def _part(state: Walk, call: Call) -> bool:
    """Some positions of an axis: not where channels lie along it, as these positions are numbers in the program."""
    labels = state.known.get(id(call.args[0]))
    axis = call.args[1] % call.args[0].dim() - 1 if len(call.args) > 1 else -1
    if labels is None or axis < 0 or labels.strides[axis]:
        return False
    one = np.expand_dims(labels.take(0, axis), axis)
    state.write(call.output, one if call.name == "slice" else one.squeeze(axis))
    return True


_RULES: Mapping[str, Callable[[Walk, Call], bool]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh", "native_dropout"), _same),
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_", "_softmax"), _same),
    **dict.fromkeys((*FUNCTIONS, *(f"{name}_" for name in FUNCTIONS)), _same),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "as_strided_"), _view),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"), _spatial),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "constant_pad_nd"), _spatial),
    **dict.fromkeys(("addmm", "mm"), _linear),
    **dict.fromkeys(("add", "add_", "mul", "mul_"), _pair),
    **dict.fromkeys(("permute", "transpose"), _permute),
    **dict.fromkeys(("lstm", "gru"), _recurrent),
    "select": _select,
    "slice": _part,
    "embedding": _embedding,
    "cat": _concat,
    "convolution": _convolution,
    "mean": _mean,
    "native_layer_norm": _layer_norm,
}
