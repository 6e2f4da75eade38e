"""A LiteRT model in the making: tensors, constants and operators.

LiteRT keeps channels last. An activation (C, H, W) is stored as (1, H, W, C), a signal (C, L) as (1, 1, L, C) and a
vector (C,) as (1, C).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsemod.graph import Activation, Graph

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Orders of axes that put channels last, and back behind the batch."""


def stored(activation: Activation) -> tuple[int, ...]:
    """The shape in which an activation is stored."""
    channels, *spatial = activation.shape
    return (1, *((1,) if len(spatial) == 1 else ()), *spatial, channels)


@dataclass(frozen=True)
class Value:
    """A tensor of the model.

    Attributes:
        index: Of the tensor.
        shape: With the batch.
        steps: Scale and zero point.
    """

    index: int
    shape: tuple[int, ...]
    steps: tuple[float, int]


@dataclass(eq=False)
class Draft:
    """A model in the making.

    Attributes:
        graph: What is written.
        schema: `ai_edge_litert.schema_py_generated`.
        tensors: Of the model.
        buffers: Bytes of the constants; the first is empty.
        operators: In execution order.
        codes: Kinds of operators that are used.
    """

    graph: Graph
    schema: Any
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def tensor(self, name: str, shape: Sequence[int], steps: tuple[float, int], kind: str = "INT8") -> Value:
        """Adds a tensor that is computed."""
        quantization = self.schema.QuantizationParametersT(scale=[steps[0]], zeroPoint=[steps[1]])
        return self._add(name, shape, steps, kind, 0, quantization if kind == "INT8" else None)

    def constant(
        self, name: str, values: Tensor, scale: Tensor | None = None, axis: int = 0, steps: tuple[float, int] = (1.0, 0)
    ) -> Value:
        """Adds a constant, int8 or int32.

        Args:
            name: Of the tensor.
            values: In the order of axes in which they are stored.
            scale: Of each slice along an axis; `steps` holds for all if not given.
            axis: Of those slices.
            steps: Scale and zero point.
        """
        kind = {torch.int8: "INT8", torch.int32: "INT32"}[values.dtype]
        content = values.contiguous().numpy().astype(values.numpy().dtype.newbyteorder("<"))
        self.buffers.append(self.schema.BufferT(data=np.frombuffer(content.tobytes(), np.uint8)))
        scales, zeros = [steps[0]], [steps[1]]
        if scale is not None:
            scales, zeros = scale.float().tolist(), [0] * len(scale)
        quantization = self.schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)
        plain = scale is None and kind == "INT32"
        return self._add(name, values.shape, steps, kind, len(self.buffers) - 1, None if plain else quantization)

    def _add(
        self, name: str, shape: Sequence[int], steps: tuple[float, int], kind: str, buffer: int, quantization: Any
    ) -> Value:
        self.tensors.append(
            self.schema.TensorT(
                shape=list(shape), type=getattr(self.schema.TensorType, kind), buffer=buffer, name=name.encode(),
                quantization=quantization, hasRank=True,
            )
        )  # fmt: skip
        return Value(len(self.tensors) - 1, tuple(shape), steps)

    def call(self, kind: str, inputs: Sequence[Value], output: Value, options: str = "", **values: Any) -> Value:
        """Adds an operator with its options, and returns its output."""
        code = getattr(self.schema.BuiltinOperator, kind)
        if code not in self.codes:
            self.codes.append(code)
        made = getattr(self.schema, f"{options}T")(**values) if options else None
        self.operators.append(
            self.schema.OperatorT(
                opcodeIndex=self.codes.index(code), inputs=[value.index for value in inputs], outputs=[output.index],
                builtinOptionsType=getattr(self.schema.BuiltinOptions, options or "NONE"), builtinOptions=made,
            )
        )  # fmt: skip
        return output

    def reshaped(self, name: str, x: Value, shape: Sequence[int]) -> Value:
        """The same numbers in the same order, in another shape."""
        if tuple(shape) == x.shape:
            return x
        target = self.constant(f"{name}/shape", torch.tensor(shape, dtype=torch.int32))
        output = self.tensor(name, shape, x.steps)
        return self.call("RESHAPE", [x, target], output, "ReshapeOptions", newShape=list(shape))

    def transposed(self, name: str, x: Value, order: Sequence[int]) -> Value:
        """Axes in another order; a reshape where no number moves."""
        shape = [x.shape[axis] for axis in order]
        moved = [axis for axis in order if x.shape[axis] > 1]
        if moved == sorted(moved):
            return self.reshaped(name, x, shape)
        axes = self.constant(f"{name}/axes", torch.tensor(order, dtype=torch.int32))
        return self.call("TRANSPOSE", [x, axes], self.tensor(name, shape, x.steps), "TransposeOptions")

    def rescaled(self, name: str, x: Value, steps: tuple[float, int]) -> Value:
        """The same real values in other steps."""
        if x.steps == steps:
            return x
        return self.call("QUANTIZE", [x], self.tensor(name, x.shape, steps), "QuantizeOptions")

    def padded(self, name: str, x: Value, before: Sequence[int], after: Sequence[int], fill: int) -> Value:
        """Around the axes H and W of (1, H, W, C).

        Args:
            name: Of the tensor.
            x: To pad.
            before: Rows and columns.
            after: The same at the other ends.
            fill: The integer to pad with; operators take the zero point for granted.
        """
        if not any((*before, *after)):
            return x
        pads = [[0, 0], *([one, other] for one, other in zip(before, after, strict=True)), [0, 0]]
        shape = [size + sum(pair) for size, pair in zip(x.shape, pads, strict=True)]
        inputs = [x, self.constant(f"{name}/pads", torch.tensor(pads, dtype=torch.int32))]
        output = self.tensor(name, shape, x.steps)
        if fill == x.steps[1]:
            return self.call("PAD", inputs, output, "PadOptions")
        value = self.constant(f"{name}/fill", torch.tensor([fill], dtype=torch.int8), steps=x.steps)
        return self.call("PADV2", [*inputs, value], output, "PadV2Options")
