"""What is known while recorded calls are turned into operators; the rules read and write it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from sparsemod.errors import InputError
from sparsemod.graph.network import Activation, Operator
from sparsemod.graph.record import Call

SHARING = ("reshape", "max_pool", "pad", "permute", "upsample", "slice")
"""Kinds that hand on numbers without computing new ones: input and output have one scale."""


@dataclass(frozen=True)
class Source:
    """The module that a parameter belongs to: its path, how it will be quantized, and the bits of its weights."""

    name: str
    scheme: str
    bits: int = 8


DYNAMIC = ("linear", "lstm", "gru")
"""Kinds whose weights are int8 under the scheme `dynamic`."""

LOST = "of the states of a recurrent layer h_n is supported, one layer and direction at a time: h_n[-1]; c_n is not"


class Unsupported(InputError):
    """What cannot be costed, and the position of the call that asks for it if it is one call."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.position = reason, position


@dataclass(frozen=True, eq=False)
class Constant:
    """A weight on its way into an operator, with the scale of each output channel if it is quantized."""

    value: Tensor
    scale: Tensor | None
    source: Source


@dataclass(frozen=True, eq=False)
class Padded:
    """An activation with zeros around it, waiting for the convolution that takes both.

    Attributes:
        activation: Without the zeros.
        padding: Before and after, for each axis.
        call: That pads, for a reader that cannot.
    """

    activation: int
    padding: tuple[int, ...]
    call: Call


@dataclass(frozen=True)
class States:
    """The last states of a recurrent layer, one after the other, as (activation, step); none of those that are lost."""

    steps: tuple[tuple[int, int], ...]


@dataclass
class Assembly:
    """What is known while walking through the calls.

    Attributes:
        batch: N of the recording.
        scheme: Of parameters without a source.
        sources: By the identity of a parameter.
        uses: How often each tensor is read.
        rounded: Scale and zero point of the tensors that are quantized as soon as they are there.
        known: What each tensor is.
        static: Activations that the quantization scheme makes int8.
        quantized: Activations whose scale has been seen.
        producer: Position of the operator that writes an activation.
        norms: Positions of operators that are a norm alone.
    """

    batch: int
    scheme: str
    sources: Mapping[int, Source]
    uses: Counter[int]
    rounded: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    activations: list[Activation] = field(default_factory=list)
    known: dict[int, "int | Constant | Padded | States"] = field(default_factory=dict)
    static: set[int] = field(default_factory=set)
    quantized: set[int] = field(default_factory=set)
    producer: dict[int, int] = field(default_factory=dict)
    norms: set[int] = field(default_factory=set)

    def activation(self, tensor: Tensor) -> int:
        """Position of the activation that a tensor is."""
        found = self.known.get(id(tensor))
        if isinstance(found, Padded):
            if isinstance(self.known[id(found.call.output)], Padded):  # the first reader that cannot pad by itself
                self.new(found.call, "pad", [found.activation], options={"padding": found.padding})
            found = self.known[id(tensor)] = self.known[id(found.call.output)]
        if isinstance(found, States):
            raise Unsupported(LOST)
        if not isinstance(found, int):
            raise Unsupported("an operator reads a constant tensor where sparsemod expects an activation")
        return found

    def popped(self, tensor: Tensor) -> int:
        """Position of the activation of a tensor that nobody keeps: its identity may come again."""
        position = self.activation(tensor)
        del self.known[id(tensor)]
        return position

    def constant(self, tensor: Tensor) -> Constant:
        """The weight that a tensor is."""
        found = self.known.get(id(tensor))
        if isinstance(found, (int, Padded, States)):
            raise Unsupported("the weights of a layer are computed from its input, which sparsemod cannot cost")
        return found or Constant(tensor, None, self.sources.get(id(tensor), Source("", self.scheme)))

    def new(self, call: Call, kind: str, inputs: Sequence[int], name: str = "", **values: Any) -> None:
        """Adds an operator and the activation it writes, which is int8 if all inputs are."""
        output, shape = len(self.activations), tuple(call.output.shape[1:])
        if all(position in self.static for position in inputs):
            self.static.add(output)
        if kind in SHARING:
            self.activations.append(replace(self.activations[inputs[0]], shape=shape))
            self.quantized.update({output} if inputs[0] in self.quantized else ())
        else:
            self.activations.append(Activation(shape, 1 if output in self.static else 4))
        self.known[id(call.output)] = output
        self.producer[output] = len(self.operators)
        name = name or f"{values.get('function', kind)}_{len(self.operators)}"
        self.operators.append(Operator(kind, name, tuple(inputs), output, **values))

    def weighted(
        self, call: Call, kind: str, source: int, weight: Constant, bias: Tensor | None, macs: int = 0, **values: Any
    ) -> None:
        """Adds an operator with weights; its MACs are those of one output element times the outputs unless given."""
        scheme = weight.source.scheme
        narrow = weight.scale is not None or scheme == "post" or (scheme == "dynamic" and kind in DYNAMIC)
        macs = macs or call.output[0].numel() * weight.value[0].numel()
        self.new(call, kind, [source], weight.source.name, macs=macs, weight=weight.value.detach().clone(),
                 weight_itemsize=1 if narrow else 4, weight_bits=weight.source.bits if narrow else 8,
                 weight_scale=weight.scale,
                 bias=None if bias is None else self.constant(bias).value.detach().clone(), **values)  # fmt: skip
        output = len(self.activations) - 1
        self.static.discard(output)
        self.activations[output] = replace(self.activations[output], itemsize=4)
        if scheme == "post":
            self.static.add(output)
            self.narrow([*self.sharing(source), output])

    def sharing(self, position: int) -> set[int]:
        """The activations that hold the very numbers of this one: reshaped or max-pooled from it, or it from them."""
        links = [(operator.inputs[0], operator.output) for operator in self.operators if operator.kind in SHARING]
        group = {position}
        for source, output in reversed(links):
            if output in group:
                group.add(source)
        for source, output in links:
            if source in group:
                group.add(output)
        return group

    def narrow(self, positions: Iterable[int], **values: Any) -> None:
        """Makes activations int8."""
        for position in positions:
            self.activations[position] = replace(self.activations[position], itemsize=1, **values)

    def rewrite(self, position: int, **values: Any) -> None:
        """Changes an operator that is there already."""
        self.operators[position] = replace(self.operators[position], **values)

    def only_user(self, x: Tensor) -> int | None:
        """The operator that made a tensor, if nothing else reads it."""
        found = self.known.get(id(x))
        if not isinstance(found, int) or self.uses[id(x)] > 1 or found in self.quantized:
            return None
        return self.producer.get(found)
