"""`Graph`: operators in execution order and the activations that flow between them.

The arithmetic of an integer operator, and the one rounding rule of the whole project:

    acc = sum (x - zero_point_x) * w + bias                                      exact, 32 bits
    y   = clamp(zero_point_y + floor((acc * multiplier + 2^(shift-1)) / 2^shift), low, high)

A function of one element is a table of its 256 values; see `functions`. A softmax over x, with the table e of
`exponentials` and S the sum of its terms, is

    y   = -128 + min(255, floor((512 * e[max(x) - x] + S) / (2 * S)))              in steps of 1/256

A layer normalization takes its sum from `normalization`; a recurrent layer is in `recurrence`. An embedding reads one
row of its int8 table for each token, a number from 0 on; beyond the table it reads the last row.

A multiplier has at most 22 bits, so that `acc * multiplier` stays below 2^53: a float64 holds it exactly, and so does
the 64-bit product that a Cortex-M computes in one instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsemod.graph.recurrence import GATES, STATE_SCALE
from sparsemod.locate import locate

if TYPE_CHECKING:
    from sparsemod.frontend import FrontEnd

MULTIPLIER_BITS = 22
MAX_SHIFT = 44


@dataclass(frozen=True)
class Activation:
    """A tensor that exists while the network runs.

    Attributes:
        shape: Without the batch: (C, H, W) or (C,); (T, F) of a sequence.
        itemsize: Bytes per element: 1 for int8, 4 for float32.
        scale: Real value of one step; 1 for float32.
        zero_point: The integer that stands for the real value 0.
    """

    shape: tuple[int, ...]
    itemsize: int
    scale: float = 1.0
    zero_point: int = 0

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of one sample."""
        return self.numel * self.itemsize


@dataclass(frozen=True, eq=False)
class Operator:
    """One step of the network.

    Attributes:
        kind: conv, depthwise, linear, lstm, gru, embedding, max_pool, avg_pool, add, mul, relu, layer_norm, function,
            softmax, concat, pad, permute, upsample, slice or reshape.
        name: The module it came from, or its kind and position.
        inputs: Positions in `Graph.activations`.
        output: Position in `Graph.activations`.
        macs: Multiply-accumulates for one sample; pruned weights count too.
        function: Name in `FUNCTIONS`, of a function of one element.
        arguments: Of that function, such as the slope of a leaky ReLU; eps of a layer normalization.
        options: Whole numbers of the layer: stride, padding (before, after per axis), dilation, groups, kernel, axes,
            factor, shape (of what is normalized together), axis, start and count (of a slice), units, reverse and last
            (of a recurrent layer: H, whether the last step comes first, and whether it alone is written).
        weight: (O, I/groups, *kernel) or (O, I), of a layer normalization of O elements (O, 1), of a recurrent layer
            (gates * H, F + H) unit by unit: without values when traced, int8 or float32 when lowered.
        weight_itemsize: Bytes per weight as a tensor: 1 for int8, 4 for float32.
        weight_bits: Bits of an int8 weight: 8, 4 (-7 to 7) or 2 (-1, 0, 1); in tensors a weight always has a byte.
        prunable: Whether its weights may be pruned; those of a norm may not.
        weight_scale: Real value of one step of each output channel, (O,); of a recurrent layer (O, 2), for the input
            and for the state; None for float32.
        bias: (O,); of a recurrent layer (4 * H), four for each unit: without values when traced, int32 or float32
            when lowered.
        multiplier: Requantization, one per output channel or per input, (O, 2) of a recurrent layer; None for float32.
        shift: As multiplier.
        table: Of a function or a softmax, (256,); None for float32.
        low: Smallest output: of a fused activation in real units while tracing, an integer once lowered.
        high: Largest output.
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    output: int
    macs: int = 0
    function: str = ""
    arguments: tuple[float, ...] = ()
    options: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weight: Tensor | None = None
    weight_itemsize: int = 1
    weight_bits: int = 8
    prunable: bool = True
    weight_scale: Tensor | None = None
    bias: Tensor | None = None
    multiplier: Tensor | None = None
    shift: Tensor | None = None
    table: Tensor | None = None
    low: float = -float("inf")
    high: float = float("inf")


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as data. The first activation is the input, that of the last operator the output.

    Attributes:
        operators: In execution order.
        activations: Everything that flows between them.
        sparsity: Share of the weights that pruning will set to zero; says something only before there are values.
        frontend: What makes the input from raw samples, if anything does; it counts in every cost, and is exported.
        steps: T, if this is the network of one step, whose recurrent operators go on where they ended; 0 if it is not.
    """

    operators: Sequence[Operator]
    activations: Sequence[Activation]
    sparsity: float = 0.0
    frontend: "FrontEnd | None" = None
    steps: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Runs the network: real inputs (N, *input_shape) to real outputs (N, *output shape); see `graph.run`."""
        from sparsemod.graph.run import run

        return run(self, x)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a sample, without the batch: the whole sequence, also where the first activation is one step of it."""
        shape = self.activations[0].shape
        return (self.steps, *shape[1:]) if self.steps else shape

    def integer(self, operator: Operator) -> bool:
        """Whether an operator computes in integers: all that it reads, writes and holds is int8.

        A recurrent one also writes its states in the steps in which it keeps them; where it writes others, it is one of
        the scheme `dynamic` between two of int8, and float.
        """
        target = self.activations[operator.output]
        if operator.kind in GATES and (target.scale, target.zero_point) != (STATE_SCALE, 0):
            return False
        flowing = (*operator.inputs, operator.output)
        narrow = all(self.activations[position].itemsize == 1 for position in flowing)
        return narrow and (operator.weight is None or operator.weight_itemsize == 1)

    @property
    def exact(self) -> bool:
        """Whether all operators compute in integers: then the network is the same, bit for bit, wherever it runs."""
        return all(map(self.integer, self.operators))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, pruned weights included."""
        return sum(operator.macs for operator in self.operators)

    @property
    def params(self) -> int:
        """Weights and biases."""
        return sum(_numel(operator.weight) + _numel(operator.bias) for operator in self.operators)

    @property
    def nnz(self) -> int:
        """Weights and biases that are not zero; before there are values, as many as the sparsity leaves."""
        return sum(_nonzero(operator.weight) + _nonzero(operator.bias) for operator in self.operators) - self.pruned

    @property
    def pruned(self) -> int:
        """Weights that are still to become zero."""
        weights = [operator.weight for operator in self.operators if operator.weight is not None and operator.prunable]
        return round(self.sparsity * sum(weight.numel() for weight in weights if weight.is_meta))

    @property
    def output(self) -> int:
        """Position of the output in `activations`."""
        return self.operators[-1].output if self.operators else 0

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Weights as tensors and everything else as plain data, for a file without pickle."""
        tensors: dict[str, Tensor] = {}
        rows: list[dict[str, object]] = []
        for index, operator in enumerate(self.operators):
            row: dict[str, object] = {}
            for key, value in vars(operator).items():
                if isinstance(value, Tensor):
                    tensors[f"{index}.{key}"] = value.contiguous()
                elif key in ("low", "high"):
                    row[key] = str(value)  # JSON has no infinity
                elif value is not None:
                    row[key] = dict(value) if key == "options" else value
            rows.append(row)
        plain: dict[str, object] = {"operators": rows, "activations": [vars(each) for each in self.activations]}
        plain |= {} if self.frontend is None else {"frontend": _taken_apart(self.frontend)}
        return tensors, plain | ({"steps": self.steps} if self.steps else {})

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], plain: Mapping[str, object]) -> "Graph":
        """The graph that `to_tensors` took apart."""
        operators, activations, steps = plain["operators"], plain["activations"], plain.get("steps", 0)
        assert isinstance(operators, list) and isinstance(activations, list) and isinstance(steps, int)
        built = []
        for index, row in enumerate(operators):
            values = {
                key: tensors.get(f"{index}.{key}")
                for key in ("weight", "weight_scale", "bias", "multiplier", "shift", "table")
            }
            options = {key: tuple(value) for key, value in row["options"].items()}
            lists = {key: tuple(row.get(key, ())) for key in ("inputs", "arguments")}
            limits = {"low": float(row["low"]), "high": float(row["high"])}
            built.append(Operator(**{**row, **values, **lists, **limits, "options": options}))
        shaped = tuple(Activation(**{**row, "shape": tuple(row["shape"])}) for row in activations)
        return cls(tuple(built), shaped, frontend=_put_together(plain.get("frontend")), steps=steps)

    def renamed(self, names: Sequence[str]) -> "Graph":
        """The same graph with other operator names."""
        pairs = zip(self.operators, names, strict=True)
        return replace(self, operators=tuple(replace(operator, name=name) for operator, name in pairs))


def _taken_apart(frontend: Any) -> dict[str, object]:
    """A frozen dataclass as the place of its class and its values."""
    made_by = type(frontend)
    values = {field.name: getattr(frontend, field.name) for field in fields(frontend)}
    return {"class": f"{made_by.__module__}:{made_by.__qualname__}", "values": values}


def _put_together(plain: Any) -> "FrontEnd | None":
    if plain is None:
        return None
    made: FrontEnd = locate(plain["class"])(**plain["values"])
    return made


def fixed_point(real: Tensor) -> tuple[Tensor, Tensor]:
    """Positive real factors as (multiplier, shift) with factor = multiplier / 2^shift.

    Args:
        real: Factors, any shape.

    Returns:
        Multiplier below 2^22 and shift from 1 to 44, both int32. The relative error is at most 2^-22 for factors from
        2^-23 to 2^21; larger ones saturate, since they lift everything but zero out of eight bits anyway.
    """
    real = real.double().clamp(max=(2**MULTIPLIER_BITS - 1) / 2)
    exponent = torch.frexp(real).exponent
    shift = (MULTIPLIER_BITS - exponent).clamp(1, MAX_SHIFT)
    multiplier = torch.round(real * torch.pow(2.0, shift.double()))
    overflow = multiplier >= 2**MULTIPLIER_BITS
    shift = torch.where(overflow, shift - 1, shift)
    multiplier = torch.where(overflow, torch.floor(multiplier / 2), multiplier)
    return multiplier.int(), shift.int()


def _numel(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel()


def _nonzero(tensor: Tensor | None) -> int:
    if tensor is None or tensor.is_meta:
        return _numel(tensor)
    return int(torch.count_nonzero(tensor))
