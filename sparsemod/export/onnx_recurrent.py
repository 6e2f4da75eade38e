"""LSTM and GRU in ONNX: the operators of that name in real numbers, the formulas of `graph.recurrence` in integers.

The operators of ONNX keep their state in real numbers, and the integer network rounds it at every step. So a layer of
the latter is a Scan over time, whose body is one step in doubles. They hold every number of the formulas exactly, and
each factor that is not whole is one of a power of two, so that any runtime finds the very same states.

Weights are int8 in the file, and other constants as small. They stand in the body, not around it, because tools that
cut a file into parts do not know what a body takes from outside. Names in a body begin with a dot, which no others do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsemod.export.onnx_draft import Draft
from sparsemod.graph import Operator
from sparsemod.graph.recurrence import LARGEST, STATE_SCALE, TANH, row_biases

if TYPE_CHECKING:
    import onnx

_INT8, _INT64, _DOUBLE = 3, 7, 11
"""Types, by their numbers in ONNX."""

_ONNX_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
"""Where PyTorch has the gates of ONNX: of an LSTM input, output, forget and cell; of a GRU update, reset and new."""

_BODY_GATES = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}
"""Where PyTorch has the gates of a body: of an LSTM input, forget, output and cell, with the sigmoids side by side."""


def recurrent(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    """Adds a recurrent layer, and returns the name of its states in real values."""
    return _real(draft, name, operator, inputs) if operator.multiplier is None else _integer(draft, name, operator)


def _gate_by_gate(operator: Operator, gates: Sequence[int]) -> Tensor:
    """Positions of the rows of weights, which stand unit by unit, in this order of gates."""
    assert operator.weight is not None
    units = operator.options["units"][0]
    return torch.arange(len(operator.weight)).reshape(units, -1).t()[list(gates)].flatten()


# --- in real numbers -------------------------------------------------------------------------------------------------


def _real(draft: Draft, name: str, operator: Operator, inputs: Sequence[str]) -> str:
    units, reverse, last = (operator.options[key][0] for key in ("units", "reverse", "last"))
    x = draft.node("Transpose", inputs, f"{name}.steps", perm=(1, 0, 2))
    settings: dict[str, Any] = {"hidden_size": units, "direction": "reverse" if reverse else "forward"}
    settings |= {"linear_before_reset": 1} if operator.kind == "gru" else {}
    states = draft.node(operator.kind.upper(), [x, *_parameters(draft, name, operator)], f"{name}.states", **settings)
    flat = draft.node("Squeeze", [states, draft.constant(f"{name}.one", torch.tensor([1]))], f"{name}.squeezed")
    if not last:
        return draft.node("Transpose", [flat], f"{name}.result", perm=(1, 0, 2))
    step = draft.constant(f"{name}.last", torch.tensor(0 if reverse else -1))
    return draft.node("Gather", [flat, step], f"{name}.result", axis=0)


def _parameters(draft: Draft, name: str, operator: Operator) -> list[str]:
    """Weights of input and state, and biases if there are any, gate by gate; the first axis is that of directions."""
    assert operator.weight is not None
    units, kind, scale = operator.options["units"][0], operator.kind, operator.weight_scale
    order = _gate_by_gate(operator, _ONNX_GATES[kind])
    scales = (None, None) if scale is None else scale[order].unbind(1)
    first, found = draft.constant(f"{name}.first", torch.tensor([0])), []
    parts = operator.weight[order].split([operator.weight.shape[1] - units, units], 1)
    for what, part, one in zip(("input", "state"), parts, scales, strict=True):
        real = draft.parameter(f"{name}.{what}", part, one)
        found.append(draft.node("Unsqueeze", [real, first], f"{name}.{what}.directions"))
    if operator.bias is not None:
        biases = [bias[order] for bias in row_biases(kind, operator.bias)]
        found.append(draft.constant(f"{name}.bias", torch.cat(biases)[None]))
    return found


# --- in integers -----------------------------------------------------------------------------------------------------


def _integer(draft: Draft, name: str, operator: Operator) -> str:
    """From the int8 values of the input, whatever their scale."""
    reverse, last = (operator.options[key][0] for key in ("reverse", "last"))
    x, states, others = draft.kept[operator.inputs[0]], f"{name}.states", [f"{name}.last_kept"]
    settings: dict[str, Any] = {"num_scan_inputs": 1, "scan_input_axes": [1], "scan_input_directions": [reverse]}
    if not last:
        others.append(f"{name}.last_state")
        settings |= {"scan_output_axes": [1], "scan_output_directions": [reverse]}
    given = [*_zeros(draft, name, operator, x), x]
    draft.several("Scan", given, [*others, states], body=_body(draft, name, operator), **settings)
    steps = draft.steps(states, torch.tensor(STATE_SCALE), torch.tensor(0, dtype=torch.int8))
    return draft.node("DequantizeLinear", [states, *steps], f"{name}.result")


def _zeros(draft: Draft, name: str, operator: Operator, x: str) -> list[str]:
    """What the first step finds, (N, H) each: what is kept in 16 bits, as doubles, and the state in int8."""
    from onnx import numpy_helper

    batch = draft.step(name, "Slice", draft.step(name, "Shape", x), torch.tensor([0]), torch.tensor([1]))
    shape = draft.step(name, "Concat", batch, torch.tensor(operator.options["units"]), axis=0)
    zeros = (numpy_helper.from_array(torch.zeros(1, dtype=dtype).numpy()) for dtype in (torch.float64, torch.int8))
    return [draft.step(name, "ConstantOfShape", shape, value=zero) for zero in zeros]


def _body(draft: Draft, name: str, operator: Operator) -> "onnx.GraphProto":
    """One step: what is kept, state and input to what is kept and state, and to the state again if all are written."""
    from onnx import helper

    source = draft.graph.activations[operator.inputs[0]]
    units, last = (operator.options[key][0] for key in ("units", "last"))
    body = _Body(Draft(draft.graph, numbers=torch.float64), operator)
    body.add_tables()
    x, h = (body.step("Cast", name, to=_DOUBLE) for name in (".x", ".h"))
    given, fed_back = body.gates(0, body.step("Sub", x, float(source.zero_point))), body.gates(1, h)
    update = body.lstm if operator.kind == "lstm" else body.gru
    kept, state = update(given, fed_back, ".kept")
    states = [body.step("Cast", state, to=_INT8)]
    states += [] if last else [body.step("Identity", states[0])]

    def value(name: str, kind: int = _INT8, size: int = units) -> "onnx.ValueInfoProto":
        return helper.make_tensor_value_info(name, kind, ["batch", size])

    inputs = [value(".kept", _DOUBLE), value(".h"), value(".x", size=source.shape[1])]
    outputs = [value(kept, _DOUBLE), *map(value, states)]
    return helper.make_graph(body.draft.nodes, f"{name}.step", inputs, outputs, body.draft.constants)


@dataclass(frozen=True)
class _Body:
    """The formulas of `graph.recurrence` as nodes, of values (N, H) or with some gates side by side.

    Attributes:
        draft: What is in the body.
        operator: The layer.
    """

    draft: Draft
    operator: Operator

    def lstm(self, given: str, fed_back: str, cell: str) -> tuple[str, str]:
        """Cell and state after a step."""
        smooth, new = self.split(self.step("Add", given, fed_back), 3, 1)
        i, f, o = self.split(self.sigmoid(smooth), 1, 1, 1)
        kept = self.step("Mul", self.step("Mul", f, cell), 16.0)
        total = self.step("Add", kept, self.step("Mul", i, self.tanh(new)))
        cell = self.step("Clip", self.rounded(total, 19), -(2.0**15), 2.0**15 - 1)
        return cell, self.narrow(self.step("Mul", o, self.curve(cell, 6)), 23)

    def gru(self, given: str, fed_back: str, state: str) -> tuple[str, str]:
        """State in 16 bits and in 8 after a step."""
        (given, given_new), (fed_back, fed_back_new) = (self.split(value, 2, 1) for value in (given, fed_back))
        r, z = self.split(self.sigmoid(self.step("Add", given, fed_back)), 1, 1)
        reset = self.rounded(self.step("Mul", r, fed_back_new), 15)
        n = self.tanh(self.step("Add", given_new, reset))
        change = self.rounded(self.step("Mul", z, self.step("Sub", state, n)), 15)
        state = self.step("Add", n, change)
        return state, self.narrow(state, 8)

    def gates(self, part: int, value: str) -> str:
        """Sums of products in steps of the gates, one behind the other: of the input, part 0, or of the state, 1."""
        operator, what = self.operator, (".input", ".state")[part]
        assert operator.weight is not None and operator.multiplier is not None and operator.shift is not None
        units, order = operator.options["units"][0], _gate_by_gate(operator, _BODY_GATES[operator.kind])
        weight = operator.weight.split([operator.weight.shape[1] - units, units], 1)[part]
        sums = self.step("MatMul", value, self.constant(f"{what}_weight", weight[order].t()))
        if operator.bias is not None:
            bias = row_biases(operator.kind, operator.bias)[part][order]
            sums = self.step("Add", sums, self.constant(f"{what}_bias", bias)) if bias.any() else sums
        factor = operator.multiplier * torch.pow(2.0, -operator.shift.float())  # 22 bits: float32 holds them
        steps = self.nearest(self.step("Mul", sums, self.constant(f"{what}_factor", factor[order, part])))
        return self.step("Clip", steps, -float(LARGEST), float(LARGEST))

    def sigmoid(self, value: str) -> str:
        return self.rounded(self.step("Add", self.curve(value, 8), 2.0**15), 1)

    def tanh(self, value: str) -> str:
        return self.curve(value, 7)

    def curve(self, value: str, bits: int) -> str:
        """From its table; beyond, the last number goes on with a slope of zero."""
        size = self.step("Clip", self.step("Mul", self.step("Abs", value), 2.0**-bits), "", 256.0)
        whole = self.step("Floor", size)
        row = self.step("Cast", whole, to=_INT64)
        low, slope = (self.step("Gather", table, row) for table in (".tanh", ".slope"))
        between = self.nearest(self.step("Mul", slope, self.step("Sub", size, whole)))
        return self.step("Mul", self.step("Add", low, between), self.step("Sign", value))

    def add_tables(self) -> None:
        """What `curve` reads."""
        self.constant(".tanh", TANH.short())
        self.constant(".slope", TANH.diff(append=TANH[-1:]).short())

    def narrow(self, value: str, bits: int) -> str:
        """A state in eight bits, which cannot hold 1."""
        return self.step("Clip", self.rounded(value, bits), "", 127.0)

    def rounded(self, value: str, bits: int) -> str:
        """Divided by a power of two, halves up."""
        return self.nearest(self.step("Mul", value, 2.0**-bits))

    def nearest(self, value: str) -> str:
        return self.step("Floor", self.step("Add", value, 0.5))

    def split(self, value: str, *gates: int) -> list[str]:
        """Parts of so many gates."""
        sizes = torch.tensor(gates) * self.operator.options["units"][0]
        parts = [f"{value}.part_{number}" for number in range(len(gates))]
        return self.draft.several("Split", [value, self.draft.constant(f"{value}.sizes", sizes)], parts, axis=-1)

    def constant(self, name: str, values: Tensor) -> str:
        """Stored in their own type, and used as doubles."""
        return self.draft.node("Cast", [self.draft.constant(f"{name}.stored", values)], name, to=_DOUBLE)

    def step(self, kind: str, *inputs: str | float, **attributes: int) -> str:
        return self.draft.step("", kind, *inputs, **attributes)
