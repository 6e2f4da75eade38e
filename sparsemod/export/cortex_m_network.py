"""A `Graph` as a module of PyTorch of which ExecuTorch's passes make integer operators for a Cortex-M.

As `qdq`, with int8 between the operators, but biases are int32, and bounds are the range of what is quantized. Images
have channels last in memory. For kernels that assume the order of the network there is a copy before, and one after.
"""

import torch
from torch import Tensor, nn

from sparsemod.export.qdq import Layer, require_known, through
from sparsemod.graph import Activation, Graph, Operator

_IN_ORDER = ("reshape", "permute", "slice", "concat", "softmax", "layer_norm")
"""Kinds whose kernels take their input in the order of the network."""


class Network(nn.Module):
    """Real values (1, *input shape) to real values (1, *output shape), images with channels last.

    Args:
        graph: As `cmsis_nn.rewritten` makes it.

    Raises:
        InputError: An operator is not known.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        require_known(graph)
        self.graph = graph
        self.layers = nn.ModuleList(_Layer(graph, operator) for operator in graph.operators)

    def forward(self, x: Tensor) -> Tensor:
        """Each activation goes through its integers."""
        values = {0: through(x, self.graph.activations[0])}
        for operator, layer in zip(self.graph.operators, self.layers, strict=True):
            values[operator.output] = layer(*(values[position] for position in operator.inputs))
        return values[self.graph.output]


class _Layer(Layer):
    """One operator between int8: its bias is int32, and its bounds are the range of what it writes."""

    integers: Tensor | None
    unit: Tensor | None

    def __init__(self, graph: Graph, operator: Operator) -> None:
        super().__init__(graph, operator)
        self.sources = [graph.activations[position] for position in operator.inputs]
        self.register_buffer("integers", None)
        self.register_buffer("unit", None)
        if self.weight is None or self.scale is None:
            return
        if operator.kind == "layer_norm":  # in float: its weights are no integers that a kernel takes
            self.weight, self.scale = self.weight * self.scale[:, None], None
            return
        bias = torch.zeros(len(self.scale)) if operator.bias is None else operator.bias
        self.integers, self.unit = bias.int(), self.scale * self.sources[0].scale
        # Its strides say so even if there is one channel: those of the output follow them.
        self.weight = self.weight.clone(memory_format=torch.channels_last)

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.operator.kind in _IN_ORDER:
            inputs = tuple(_in_order(*pair) for pair in zip(inputs, self.sources, strict=True))
        fixed = self.operator.multiplier is not None
        bounds = (int(self.operator.low), int(self.operator.high)) if fixed else (-128, 127)
        x = through(self.unbounded(*inputs), self.target, *bounds)
        last = channels_last(x)
        return x if last is x else through(last, self.target)

    def unbounded(self, *inputs: Tensor) -> Tensor:
        """A function is traced as a sigmoid, which has a table; `cortex_m` fills in that of the function."""
        return inputs[0].sigmoid() if self.operator.kind == "function" else super().unbounded(*inputs)

    def real_bias(self) -> Tensor | None:
        if self.integers is None:
            return self.bias
        dequantize = torch.ops.quantized_decomposed.dequantize_per_channel
        bias: Tensor = dequantize(self.integers, self.unit, self.zero, 0, -(2**31), 2**31 - 1, torch.int32)
        return bias


def channels_last(x: Tensor) -> Tensor:
    """An image with channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _in_order(x: Tensor, activation: Activation) -> Tensor:
    """A copy unless its strides are those of its shape, also of axes with one element."""
    if x.stride() == torch.empty(x.shape, device="meta").stride():
        return x
    return through(x.clone(memory_format=torch.contiguous_format), activation)
