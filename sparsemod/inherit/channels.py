"""Who writes and who reads each channel of a network.

A forward pass is recorded and walked through once more, now with marks in the place of numbers. A mark says of one
element which channel it belongs to and where in that channel it lies. Whatever only moves elements (flatten, permute,
concatenate, slice) moves the marks by the very same operation; a layer writes new marks and notes which ones it read.
Channels that are added or multiplied element by element are one channel: they can only be kept or dropped together.

A mark is one integer, channel * 2^40 + place, or -1 where nothing is known. A place is row * 2^20 + column, or the
gate of a recurrent layer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.graph.record import Call, evaluating, record
from sparsemod.graph.trace import reads_tokens

PLACE = 40
_ROW = 20

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


def channels(module: nn.Module, input_shape: Sequence[int]) -> Channels:
    """The channels of a module.

    Args:
        module: Of one input and one output; left as it was.
        input_shape: Without the batch.

    Raises:
        RuntimeError: The module cannot process an input of this shape.
    """
    parameter = next(module.parameters(), None)
    dtype = torch.int64 if reads_tokens(module) else torch.float32
    example = torch.zeros(1, *input_shape, dtype=dtype, device=None if parameter is None else parameter.device)
    with evaluating(module):
        calls, output = record(module, example)
    walk = _Walk({id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())})
    walk.enter(example, 1 if _first_layer(calls) == "convolution" else -1)
    for call in calls:
        walk.step(call)
    walk.fix(output)
    return walk.found()


def _first_layer(calls: Sequence[Call]) -> str:
    return next((call.name for call in calls if call.name in ("convolution", "mm", "addmm", "lstm", "gru")), "")


# --- marks -----------------------------------------------------------------------------------------------------------


def channel_of(marks: Tensor) -> Tensor:
    """The channel of each mark; -1 where nothing is known."""
    return marks >> PLACE


def place_of(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each mark."""
    return (marks >> _ROW) & (2**_ROW - 1), marks & (2**_ROW - 1)


def grid(rows: int, columns: int) -> Tensor:
    """Places of a plane, (rows * columns)."""
    return ((torch.arange(rows) << _ROW)[:, None] + torch.arange(columns)).flatten()


def _spread(marks: Tensor, shape: Sequence[int], axis: int) -> Tensor:
    """Marks of a tensor of this shape whose channels lie along one axis."""
    axis %= len(shape)
    rest = [size for other, size in enumerate(shape) if other != axis]
    places = grid(math.prod(rest[:-1]), rest[-1] if rest else 1)
    first = (marks >> PLACE << PLACE)[:, None]
    return torch.where(first < 0, -1, first + places).reshape(-1, *rest).movedim(0, axis)


def _along(marks: Tensor, axis: int) -> Tensor | None:
    """One mark for each entry along an axis, without a place where there are several; None if channels differ there."""
    rows = marks.movedim(axis, 0).flatten(1)
    if rows.shape[1] == 1:
        return rows[:, 0]
    found = channel_of(rows)
    highest = found.amax(1)
    if ((found != highest[:, None]) & (found >= 0)).any():
        return None
    return torch.where(highest < 0, -1, highest << PLACE)


def _repeats(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a tensor of this shape can be repeated to the whole."""
    ends = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(size in (1, target) for size, target in ends)


# --- one pass --------------------------------------------------------------------------------------------------------

_MOVES = {
    *("reshape", "view", "_unsafe_view", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "expand"),
    *("slice", "select", "split", "split_with_sizes", "unbind", "cat", "stack", "flip", "roll", "repeat"),
}
_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


class _Walk:
    """What is known while walking through the calls.

    Args:
        names: Of parameters and buffers, by the identity of their tensor.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = dict(names)
        self._turned: set[int] = set()
        self._marks: dict[int, Tensor] = {}
        self._layouts: dict[str, Layout] = {}
        self._writers: dict[str, Tensor] = {}
        self._writes: dict[int, str] = {}
        self._depthwise: set[str] = set()
        self._norms: dict[str, str] = {}
        self._parent: list[int] = []  # of each channel, in a forest whose trees are channels that are one
        self._tags: list[tuple[int, Tag]] = []
        self._fixed: set[int] = set()

    def enter(self, example: Tensor, axis: int) -> None:
        """The input: its channels are never reordered."""
        self._marks[id(example)] = _spread(self._new("", example.shape[axis]), example.shape, axis)
        self.fix(example)

    def fix(self, tensor: Tensor) -> None:
        """From here on it is not known what happens to the channels of a tensor, so they stay in order."""
        if id(tensor) in self._marks:
            self._fixed.update(channel_of(self._marks[id(tensor)]).unique().tolist())

    def step(self, call: Call) -> None:
        """Follows one call."""
        name = call.name
        if name in ("t", "alias", "detach") and id(call.args[0]) in self._names:
            self._names[id(call.output)] = self._names[id(call.args[0])]
            self._turned.update({id(call.output)} if name == "t" else ())
        elif name in self._RULES:
            self._RULES[name](self, call)
        elif name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            self._recurrent(call)
        elif name in _MOVES:
            self._move(call)
        elif "pool" in name or "upsample" in name:
            self._spatial(call)
        elif "mm" in name.split("_")[0] or name in ("matmul", "dot"):
            self._lose(call)
        else:
            self._each(call)

    def found(self) -> Channels:
        """Everything, with one number for all channels that are one."""
        roots = torch.tensor([self._root(channel) for channel in range(len(self._parent))], dtype=torch.int64)

        def one(marks: Tensor) -> Tensor:
            known = marks.clamp_min(0)
            return torch.where(marks < 0, -1, (roots[known >> PLACE] << PLACE) + known % 2**PLACE)

        tags: dict[int, set[Tag]] = {channel: set() for channel in sorted(set(roots.tolist()))}
        for channel, tag in self._tags:
            tags[self._root(channel)].add(tag)
        layouts = {
            name: replace(layout, axes=tuple(None if axis is None else one(axis) for axis in layout.axes))
            for name, layout in self._layouts.items()
        }
        return Channels(
            layouts,
            {name: one(marks) for name, marks in self._writers.items()},
            frozenset(self._depthwise),
            self._norms,
            {channel: frozenset(found) for channel, found in tags.items()},
            frozenset(self._root(channel) for channel in self._fixed if channel >= 0),
        )

    # --- channels ---

    def _new(self, name: str, count: int, groups: int = 1) -> Tensor:
        """Marks of what a layer writes; the same ones each time it is called."""
        if name not in self._writers:
            first = len(self._parent)
            self._parent += range(first, first + count)
            self._tags += [(first + i, (name, "writes", i * groups // count)) for i in range(count)]
            self._writers[name] = torch.arange(first, first + count) << PLACE
        return self._writers[name]

    def _root(self, channel: int) -> int:
        while self._parent[channel] != channel:
            channel = self._parent[channel]
        return channel

    def _unite(self, one: Tensor, other: Tensor) -> None:
        """Channels that meet element by element are one; the earlier one gives its number."""
        pairs = torch.stack([channel_of(one).flatten(), channel_of(other).flatten()], 1).unique(dim=0)
        for a, b in pairs.tolist():
            if a >= 0 and b >= 0:
                low, high = sorted((self._root(a), self._root(b)))
                self._parent[high] = low

    def _note(self, tensor: Any, layout: Layout) -> None:
        """What a parameter belongs to; a second use of it must agree with the first."""
        name = self._names.get(id(tensor))
        if name is None:
            return
        before = self._layouts.setdefault(name, layout)
        if before is layout:
            return
        for one, other in zip(before.axes, layout.axes, strict=True):
            if one is not None and other is not None and len(one) == len(other):
                self._unite(one, other)

    def _read(self, tensor: Tensor, axis: int) -> Tensor | None:
        """The marks that a layer reads along an axis; None, and in order for ever, where they cannot be told."""
        marks = self._marks.get(id(tensor))
        found = None if marks is None else _along(marks, axis)
        if found is None:
            self.fix(tensor)
        return found

    # --- layers ---

    def _convolution(self, call: Call) -> None:
        x, weight, bias, *_, transposed, _, groups = call.args
        name = self._names.get(id(weight))
        if name is None or transposed:
            return self._lose(call)
        inputs, outputs, kernel = self._read(x, 1), len(weight), (None,) * (weight.dim() - 2)
        if inputs is not None and groups == outputs == len(inputs) > 1:
            self._depthwise.add(name)
            written = inputs
        else:
            written = self._new(name, outputs, groups)
            if groups > 1 and inputs is not None:
                found = enumerate(channel_of(inputs).tolist())
                self._tags += [(c, (name, "reads", i * groups // len(inputs))) for i, c in found if c >= 0]
        self._note(weight, Layout((written, inputs, *kernel), groups=groups))
        self._note(bias, Layout((written,)))
        self._write(call, name, _spread(written, call.output.shape, 1))

    def _linear(self, call: Call) -> None:
        bias, x, weight = call.args[:3] if call.name == "addmm" else (None, *call.args[:2])
        name = self._names.get(id(weight))
        if name is None:
            return self._lose(call)
        inputs, written = self._read(x, 1), self._new(name, weight.shape[1])
        turned = id(weight) in self._turned  # as nn.Linear does it: its weight is (O, I)
        self._note(weight, Layout((written, inputs)) if turned else Layout((inputs, written), outputs=(1,)))
        self._note(bias, Layout((written,)))
        self._write(call, name, _spread(written, call.output.shape, 1))

    def _write(self, call: Call, name: str, marks: Tensor) -> None:
        self._marks[id(call.output)] = marks
        self._writes[id(call.output)] = name

    def _embedding(self, call: Call) -> None:
        table = call.args[0]
        name = self._names.get(id(table))
        if name is None:
            return self._lose(call)
        written = self._new(name, table.shape[1])
        self._note(table, Layout((None, written), outputs=(1,)))
        self._write(call, name, _spread(written, call.output.shape, -1))

    def _norm(self, call: Call) -> None:
        """Batch, group and instance norm: one parameter each for a channel."""
        x, *parameters = call.args[:5] if "batch_norm" in call.name else call.args[:3]
        inputs = self._read(x, 1)
        if inputs is not None:
            for parameter in parameters:
                self._note(parameter, Layout((inputs,)))
            if id(x) in self._writes and id(parameters[0]) in self._names:
                self._norms[self._writes[id(x)]] = self._names[id(parameters[0])]
        self._follow(x, call)

    def _layer_norm(self, call: Call) -> None:
        x, shape, *parameters = call.args[:4]
        axes = [self._read(x, axis - len(shape)) for axis in range(len(shape))]
        for parameter in parameters:
            self._note(parameter, Layout(tuple(axes), outputs=tuple(range(len(shape)))))
        self._follow(x, call)

    def _follow(self, x: Tensor, call: Call) -> None:
        if id(x) in self._marks:
            self._marks[id(call.output)] = self._marks[id(x)]

    def _recurrent(self, call: Call) -> None:
        """All layers and directions; a place says which gate of a unit a row belongs to."""
        x, _, parameters, biased, layers, _, _, both, _ = call.args
        each, directions, gates = 4 if biased else 2, 2 if both else 1, _GATES[call.name]
        named = all(id(parameter) in self._names for parameter in parameters)
        if not named or not isinstance(biased, bool) or len(parameters) != each * layers * directions:
            return self._lose(call)  # a packed sequence, or a projection
        inputs, states = self._read(x, -1), []
        for layer in range(layers):
            for direction in range(directions):
                start = (layer * directions + direction) * each
                of_input, of_state, *biases = parameters[start : start + each]
                units = self._new(self._names[id(of_input)], of_state.shape[1])
                rows = torch.cat([units + gate for gate in range(gates)])
                self._note(of_input, Layout((rows, inputs)))
                self._note(of_state, Layout((rows, units)))
                for bias in biases:
                    self._note(bias, Layout((rows,)))
                states.append(units)
            inputs = torch.cat(states[-directions:])
        self._marks[id(call.output)] = _spread(torch.cat(states[-directions:]), call.output.shape, -1)
        for other in call.others:  # the last states, (layers * directions, N, H)
            self._marks[id(other)] = torch.stack(states)[:, None].expand(other.shape)

    # --- everything else ---

    def _move(self, call: Call) -> None:
        """The same operation on marks."""
        parts = call.args[0] if call.name in ("cat", "stack") else [call.args[0]]
        if not any(id(part) in self._marks for part in parts):
            return
        marks = [self._marks.get(id(part), torch.full(part.shape, -1)) for part in parts]
        move = getattr(torch.ops.aten, "reshape" if "view" in call.name else call.name)
        moved = move(marks[0] if parts is not call.args[0] else marks, *call.args[1:])
        outputs = [call.output, *call.others]
        for output, found in zip(outputs, moved if isinstance(moved, (tuple, list)) else [moved], strict=True):
            self._marks[id(output)] = found

    def _pad(self, call: Call) -> None:
        if id(call.args[0]) in self._marks:
            self._marks[id(call.output)] = F.pad(self._marks[id(call.args[0])], call.args[1], value=-1)

    def _spatial(self, call: Call) -> None:
        """Poolings and upsampling: channels stay, places are those of the result."""
        inputs = self._read(call.args[0], 1)
        if inputs is not None:
            self._marks[id(call.output)] = _spread(inputs, call.output.shape, 1)

    def _reduce(self, call: Call) -> None:
        """A mean or sum over axes along which channels do not change."""
        x = call.args[0]
        axes = sorted({axis % x.dim() for axis in call.args[1]}) if call.args[1:] and call.args[1] else []
        kept = [axis for axis in range(1, x.dim()) if axis not in axes]
        inputs = self._read(x, kept[0]) if len(kept) == 1 else None
        if inputs is None:
            return self._lose(call)
        axis = kept[0] if len(call.output.shape) == x.dim() else sum(other not in axes for other in range(kept[0]))
        self._marks[id(call.output)] = _spread(inputs, call.output.shape, axis)

    def _each(self, call: Call) -> None:
        """Element by element, with one operand or several; a parameter among them belongs to the channels it meets."""
        operands = [arg for arg in call.args if isinstance(arg, Tensor)]
        marked = [operand for operand in operands if id(operand) in self._marks]
        if not marked:
            return
        shape = call.output.shape
        if not all(_repeats(operand.shape, shape) for operand in operands):
            return self._lose(call)
        first, *others = sorted((self._marks[id(operand)] for operand in marked), key=lambda marks: -marks.numel())
        first = first.expand(shape)
        for other in others:
            self._unite(first, other.expand(shape))
            self._fixed.update(channel_of(other.expand(shape)[first < 0]).unique().tolist())
            first = torch.where(first < 0, other.expand(shape), first)
        self._marks[id(call.output)] = first
        for operand in operands:
            if id(operand) not in self._marks and operand.numel() > 1:
                self._meet(operand, first, call)

    def _meet(self, operand: Tensor, marks: Tensor, call: Call) -> None:
        """A parameter that is added to channels or scales them; anything else keeps them in order."""
        axes = [None if size == 1 else _along(marks, axis - operand.dim()) for axis, size in enumerate(operand.shape)]
        if id(operand) not in self._names or id(operand) in self._turned or all(axis is None for axis in axes):
            return self.fix(call.output)
        self._note(operand, Layout(tuple(axes), outputs=tuple(range(len(axes)))))

    def _lose(self, call: Call) -> None:
        for arg in call.args:
            for tensor in arg if isinstance(arg, (tuple, list)) else (arg,):
                if isinstance(tensor, Tensor):
                    self.fix(tensor)

    _RULES: Mapping[str, Callable[["_Walk", Call], None]] = {
        "convolution": _convolution,
        **dict.fromkeys(("addmm", "mm"), _linear),
        "embedding": _embedding,
        **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _norm),
        **dict.fromkeys(("cudnn_batch_norm", "native_group_norm"), _norm),
        "native_layer_norm": _layer_norm,
        **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
        "constant_pad_nd": _pad,
    }
