"""Reads a `Graph` off any `nn.Module`: what it computes, not how its classes are called.

`record` runs the module once and writes down every ATen call; `assemble` turns the calls into operators, folding
batch norm, padding and activations into the operator before or after them. The same two functions read a float module
on the meta device (shapes only, milliseconds), a float module with its weights, and a quantized module.

To support another layer: one entry in `_RULES` and, if it computes, one case in `run`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph.network import Activation, Graph, Operator

_POINTWISE = ("relu", "relu_", "hardtanh", "hardtanh_", "native_batch_norm", "add")
"""Calls whose output looks like their first input; knowing that is ten times faster than asking the meta device."""


@dataclass(frozen=True, eq=False)
class Call:
    """One ATen call: `name` without namespace and overload, tensors as they went in and came out."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.split("::")[1]
        first = args[0] if args and isinstance(args[0], Tensor) else None
        result: Any
        if first is not None and first.is_meta and name in _POINTWISE and _same_shapes(name, args):
            out = torch.empty(first.shape, device="meta")
            result = (out, *_statistics(args)) if name == "native_batch_norm" else out
        elif first is not None and first.is_meta and name == "addmm":
            result = torch.empty(args[1].shape[0], args[2].shape[1], device="meta")
        else:
            result = func(*args, **(kwargs or {}))
        output = result[0] if isinstance(result, (tuple, list)) else result
        if isinstance(output, Tensor):
            self.calls.append(Call(name, args, kwargs or {}, output))
        return result


def _same_shapes(name: str, args: tuple[Any, ...]) -> bool:
    return name != "add" or (isinstance(args[1], Tensor) and args[0].shape == args[1].shape)


def _statistics(args: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    return torch.empty(0, device="meta"), torch.empty(0, device="meta")


def record(module: Callable[[Tensor], Tensor], example: Tensor) -> tuple[list[Call], Tensor]:
    """Every ATen call of one forward pass, in order, and the output.

    Args:
        module: In evaluation mode.
        example: Some inputs, (N, *input shape).
    """
    with torch.no_grad(), _Recorder() as recorder:
        output = module(example)
    return recorder.calls, output


def trace(module: nn.Module, input_shape: Sequence[int], scheme: str = "post") -> Graph:
    """The graph of a module: with its weights if it has any, with shapes alone on the meta device.

    Args:
        module: Any module of one input and one output; it is traced in evaluation mode and left as it was.
        input_shape: Without the batch, such as (C, H, W).
        scheme: Quantization scheme that sets the bytes per element and weight.

    Raises:
        Infeasible: The module cannot process an input of this shape.
        InputError: The module uses an operator that cannot be costed.
    """
    training = module.training
    module.eval()
    try:
        parameter = next(module.parameters(), None)
        device = "meta" if parameter is None else parameter.device
        example = torch.empty(2, *input_shape, device=device)  # two, so that the batch is never taken for a flat axis
        try:
            calls, output = record(module, example)
        except (RuntimeError, ValueError, IndexError) as error:
            raise Infeasible(f"the network cannot process an input of {_by(input_shape)}: {error}") from error
        try:
            return assemble(calls, example, output, scheme, sources(module, scheme))
        except _Unsupported as error:
            raise InputError(f"{error.reason} (in module {_scope(module, example, error.position)!r})") from None
    finally:
        module.train(training)


@dataclass(frozen=True)
class Source:
    """The module that a parameter belongs to: its path, and how it will be quantized."""

    name: str
    scheme: str


def sources(module: nn.Module, scheme: str) -> dict[int, Source]:
    """The source of every parameter, by the identity of its tensor.

    Under the scheme `both` a module is quantized as its own attribute `quant_scheme` says, or that of the nearest module
    around it, or `post`.
    """
    chosen = {"": getattr(module, "quant_scheme", "post") if scheme == "both" else scheme}
    for name, part in module.named_modules():
        if name:
            around = chosen[name.rpartition(".")[0]]
            chosen[name] = getattr(part, "quant_scheme", around) if scheme == "both" else scheme
    return {
        id(parameter): Source(owner := name.rpartition(".")[0], chosen[owner])
        for name, parameter in module.named_parameters()
    }


class _Unsupported(Exception):
    def __init__(self, reason: str, position: int = -1) -> None:
        super().__init__(reason)
        self.reason, self.position = reason, position


@dataclass(frozen=True, eq=False)
class _Constant:
    """A weight on its way into an operator, with the scale of each output channel if it is quantized."""

    value: Tensor
    scale: Tensor | None
    source: Source


@dataclass(frozen=True, eq=False)
class _Padded:
    """An activation with zeros around it, waiting for the convolution that takes both."""

    activation: int
    padding: tuple[int, ...]


@dataclass
class _Assembly:
    """What is known while walking through the calls."""

    batch: int
    scheme: str
    sources: Mapping[int, Source]
    uses: Counter[int]
    operators: list[Operator] = field(default_factory=list)
    activations: list[Activation] = field(default_factory=list)
    known: dict[int, "int | _Constant | _Padded"] = field(default_factory=dict)
    quantized: set[int] = field(default_factory=set)
    producer: dict[int, int] = field(default_factory=dict)

    def activation(self, tensor: Tensor) -> int:
        found = self.known.get(id(tensor))
        if not isinstance(found, int):
            raise _Unsupported("an operator reads a padded or constant tensor where sparsemod expects an activation")
        return found

    def constant(self, tensor: Tensor) -> _Constant:
        found = self.known.get(id(tensor))
        if isinstance(found, (int, _Padded)):
            raise _Unsupported("the weights of a layer are computed from its input, which sparsemod cannot cost")
        return found or _Constant(tensor, None, self.sources.get(id(tensor), Source("", self.scheme)))

    def new(self, call: Call, kind: str, inputs: Sequence[int], name: str = "", **values: Any) -> None:
        """Adds an operator and the activation it writes, which has the item size of the first input."""
        self.activations.append(Activation(tuple(call.output.shape[1:]), self.activations[inputs[0]].itemsize))
        output = len(self.activations) - 1
        self.known[id(call.output)] = output
        self.producer[output] = len(self.operators)
        self.operators.append(Operator(kind, name or f"{kind}_{len(self.operators)}", tuple(inputs), output, **values))

    def weighted(self, call: Call, kind: str, source: int, weight: _Constant, bias: Tensor | None, **values: Any) -> None:
        """Adds an operator with weights; its MACs are those of one output element times the outputs."""
        scheme = weight.source.scheme
        narrow = weight.scale is not None or scheme == "post" or (scheme == "dynamic" and kind == "linear")
        macs = call.output[0].numel() * weight.value[0].numel()
        self.new(call, kind, [source], weight.source.name, macs=macs, weight=weight.value.detach(),
                 weight_itemsize=1 if narrow else 4, weight_scale=weight.scale,
                 bias=None if bias is None else self.constant(bias).value.detach(), **values)  # fmt: skip
        self.activations[-1] = replace(self.activations[-1], itemsize=1 if scheme == "post" else 4)

    def rewrite(self, position: int, **values: Any) -> None:
        self.operators[position] = replace(self.operators[position], **values)


def assemble(
    calls: Sequence[Call], example: Tensor, output: Tensor, scheme: str, sources: Mapping[int, Source]
) -> Graph:
    """Operators from recorded calls.

    Quantize and dequantize calls leave no operator: they set scale and zero point of the activation they pass.

    Args:
        calls: In execution order.
        example: The input of the recording, (N, *input shape).
        output: Its output.
        scheme: Quantization scheme; `none` for a quantized module, which says everything by its own calls.
        sources: As the function `sources` gives them.
    """
    uses = Counter(id(tensor) for call in calls for tensor in _tensors(call.args))
    state = _Assembly(len(example), scheme, sources, uses)
    first = next((sources[id(tensor)].scheme for call in calls for tensor in _tensors(call.args) if id(tensor) in sources),
                 scheme)  # fmt: skip
    state.activations.append(Activation(tuple(example.shape[1:]), 1 if first == "post" else 4))
    state.known[id(example)] = 0
    for position, call in enumerate(calls):
        rule = _RULES.get(call.name)
        try:
            if rule is not None:
                rule(state, call)
            elif any(isinstance(state.known.get(id(tensor)), (int, _Padded)) for tensor in _tensors(call.args)):
                raise _Unsupported(f"operator {call.name!r} cannot be costed; known: {', '.join(sorted(_RULES))}")
        except _Unsupported as error:
            raise _Unsupported(error.reason, position) from None
    if not isinstance(output, Tensor) or not isinstance(state.known.get(id(output)), int):
        raise _Unsupported("the network must return one tensor computed from its input", len(calls) - 1)
    return Graph(tuple(state.operators), tuple(state.activations))


# --- one rule per ATen call ---------------------------------------------------------------------------------------


def _alias(state: _Assembly, call: Call) -> None:
    source = call.args[0]
    if id(source) in state.known:
        state.known[id(call.output)] = state.known[id(source)]
    elif id(source) in state.sources:
        state.known[id(call.output)] = state.constant(source)


def _transpose(state: _Assembly, call: Call) -> None:
    """A linear layer hands its weight over transposed; the operator keeps it as (O, I)."""
    if isinstance(state.known.get(id(call.args[0])), (int, _Padded)):
        raise _Unsupported("an activation is transposed, which sparsemod cannot cost")
    state.known[id(call.output)] = state.constant(call.args[0])


def _view(state: _Assembly, call: Call) -> None:
    source = state.activation(call.args[0])
    if call.output.dim() < 2 or call.output.shape[0] != state.batch:
        raise _Unsupported("a view mixes the batch with other axes")
    if tuple(call.output.shape[1:]) == state.activations[source].shape:
        state.known[id(call.output)] = source
        return
    state.new(call, "reshape", [source])
    _inherit_scale(state, source)


def _pad(state: _Assembly, call: Call) -> None:
    pads, value = call.args[1], call.args[2] if len(call.args) > 2 else 0
    if value != 0 or min(pads) < 0 or len(pads) != 2 * (call.output.dim() - 2):
        raise _Unsupported("padding is supported with zeros, around the spatial axes, before a convolution")
    pairs = [pads[start : start + 2] for start in range(0, len(pads), 2)][::-1]
    padding = tuple(int(side) for pair in pairs for side in pair)
    state.known[id(call.output)] = _Padded(state.activation(call.args[0]), padding)


def _convolution(state: _Assembly, call: Call) -> None:
    x, weight_tensor, bias, stride, padding, dilation, transposed, _, groups = call.args
    if transposed:
        raise _Unsupported("a transposed convolution cannot be costed")
    found, weight = state.known.get(id(x)), state.constant(weight_tensor)
    pads = tuple(side for size in padding for side in (size, size))
    source = found.activation if isinstance(found, _Padded) else state.activation(x)
    if isinstance(found, _Padded):
        pads = tuple(one + other for one, other in zip(pads, found.padding, strict=True))
    channels = state.activations[source].shape[0]
    kind = "depthwise" if groups == channels and groups > 1 else "conv"
    options = {"stride": tuple(stride), "padding": pads, "dilation": tuple(dilation), "groups": (groups,)}
    state.weighted(call, kind, source, weight, bias, options=options)


def _batch_norm(state: _Assembly, call: Call) -> None:
    """Folded into the layer before it, as y = scale * (x - mean) + shift per channel."""
    x, gamma, beta, mean, variance = call.args[:5]
    eps = call.args[7] if call.name == "native_batch_norm" else call.args[6]
    position = _only_user(state, x)
    if position is None or state.operators[position].weight is None or mean is None:
        raise _Unsupported("batch norm is supported directly behind a convolution or linear layer")
    before = state.operators[position]
    state.known[id(call.output)] = before.output
    assert before.weight is not None
    if before.weight.is_meta:
        state.rewrite(position, bias=torch.empty(before.weight.shape[0], device="meta"))
        return
    factor = torch.rsqrt(variance.detach() + eps) * (1 if gamma is None else gamma.detach())
    bias = (-mean if before.bias is None else before.bias - mean) * factor + (0 if beta is None else beta)
    weight = before.weight * factor.reshape(-1, *[1] * (before.weight.dim() - 1))
    state.rewrite(position, weight=weight.detach(), bias=bias.detach())


def _linear(state: _Assembly, call: Call) -> None:
    bias, x, weight = call.args if call.name == "addmm" else (None, *call.args)
    if call.output.dim() != 2:
        raise _Unsupported("a matrix product is supported as a linear layer on (N, features)")
    state.weighted(call, "linear", state.activation(x), state.constant(weight), bias)


def _clamp(state: _Assembly, call: Call) -> None:
    """ReLU and its bounded kin, fused into the operator that computes their input."""
    low, high = (0.0, float("inf")) if call.name.startswith("relu") else _bounds(call)
    position = _only_user(state, call.args[0])
    if position is not None and state.operators[position].kind in ("conv", "depthwise", "linear", "add"):
        before = state.operators[position]
        state.rewrite(position, low=max(low, before.low), high=min(high, before.high))
        state.known[id(call.output)] = before.output
        return
    state.new(call, "relu", [state.activation(call.args[0])], low=low, high=high)


def _bounds(call: Call) -> tuple[float, float]:
    bounds = (*call.args[1:3], -1.0, 1.0)[: 2 if len(call.args) >= 3 else None]
    return float(bounds[0]), float(bounds[1])


def _max_pool(state: _Assembly, call: Call) -> None:
    x, kernel = call.args[0], tuple(call.args[1])
    rest = (*call.args[2:], *[()] * 3)
    options = {
        "kernel": kernel,
        "stride": tuple(rest[0]) or kernel,
        "padding": tuple(rest[1]) or (0, 0),
        "dilation": tuple(rest[2]) or (1, 1),
        "ceil": (int(len(call.args) > 5 and bool(call.args[5])),),
    }
    source = state.activation(x)
    state.new(call, "max_pool", [source], options=options)
    _inherit_scale(state, source)


def _avg_pool(state: _Assembly, call: Call) -> None:
    """Average pooling, adaptive pooling and the mean over the spatial axes."""
    source = state.activation(call.args[0])
    size = state.activations[source].shape[1:]
    if len(size) != 2:
        raise _Unsupported("average pooling is supported over two spatial axes")
    if call.name == "mean":
        if sorted(axis % call.args[0].dim() for axis in call.args[1]) != [2, 3]:
            raise _Unsupported("a mean is supported over both spatial axes")
        kernel = stride = size
    elif call.name == "_adaptive_avg_pool2d":
        if any(extent % target for extent, target in zip(size, call.args[1], strict=True)):
            raise _Unsupported("adaptive pooling is supported where the output divides the input")
        kernel = stride = tuple(extent // target for extent, target in zip(size, call.args[1], strict=True))
    else:
        kernel = tuple(call.args[1])
        stride = tuple(call.args[2]) if len(call.args) > 2 and call.args[2] else kernel
        if any(any(part) if isinstance(part, (list, tuple)) else part for part in call.args[3:5]):
            raise _Unsupported("average pooling is supported without padding and ceil mode")
    pooled = tuple((extent - k) // s + 1 for extent, k, s in zip(size, kernel, stride, strict=True))
    channels = state.activations[source].shape[0]
    if call.output.dim() == 4:
        state.new(call, "avg_pool", [source], options={"kernel": kernel, "stride": stride})
        return
    whole = replace(call, output=call.output.reshape(state.batch, channels, *pooled))
    state.new(whole, "avg_pool", [source], options={"kernel": kernel, "stride": stride})
    state.new(call, "reshape", [state.activation(whole.output)])


def _add(state: _Assembly, call: Call) -> None:
    first, second = call.args[0], call.args[1]
    if not isinstance(second, Tensor) or call.kwargs.get("alpha", 1) != 1:
        raise _Unsupported("an addition is supported between two activations")
    sources = [state.activation(first), state.activation(second)]
    if state.activations[sources[0]].shape != state.activations[sources[1]].shape:
        raise _Unsupported("an addition is supported between activations of one shape")
    state.new(call, "add", sources)


def _quantize(state: _Assembly, call: Call) -> None:
    x, scale, zero_point = call.args[0], float(call.args[1]), int(call.args[2])
    found = state.known[id(x)]
    position = found.activation if isinstance(found, _Padded) else cast(int, found)
    assert isinstance(position, int), "only activations are quantized while the network runs"
    before = state.activations[position]
    known = before.scale, before.zero_point
    if position in state.quantized and known != (scale, zero_point):
        raise _Unsupported("an activation has two different scales")
    state.activations[position] = replace(before, itemsize=1, scale=scale, zero_point=zero_point)
    state.quantized.add(position)
    state.known[id(call.output)] = found
    made_by = state.producer.get(position)
    if made_by is not None and state.operators[made_by].kind == "reshape":
        source = state.operators[made_by].inputs[0]
        if source not in state.quantized:
            state.activations[source] = replace(state.activations[source], itemsize=1, scale=scale, zero_point=zero_point)
            state.quantized.add(source)


def _dequantize(state: _Assembly, call: Call) -> None:
    x = call.args[0]
    if isinstance(state.known.get(id(x)), (int, _Padded)):
        state.known[id(call.output)] = state.known[id(x)]
        return
    scale = call.args[1] if isinstance(call.args[1], Tensor) else torch.full((x.shape[0],), float(call.args[1]))
    state.known[id(call.output)] = _Constant(x, scale.float(), Source("", state.scheme))


def _inherit_scale(state: _Assembly, source: int) -> None:
    """The newest activation holds the very integers of its source."""
    if source in state.quantized:
        before = state.activations[source]
        state.activations[-1] = replace(state.activations[-1], itemsize=1, scale=before.scale, zero_point=before.zero_point)
        state.quantized.add(len(state.activations) - 1)


def _only_user(state: _Assembly, x: Tensor) -> int | None:
    """The operator that made a tensor, if nothing else reads it."""
    found = state.known.get(id(x))
    if not isinstance(found, int) or state.uses[id(x)] > 1 or found in state.quantized:
        return None
    return state.producer.get(found)


_RULES: Mapping[str, Callable[[_Assembly, Call], None]] = {
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh", "native_dropout"), _alias),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze"), _view),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("addmm", "mm"), _linear),
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_"), _clamp),
    **dict.fromkeys(("avg_pool2d", "_adaptive_avg_pool2d", "mean"), _avg_pool),
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("quantize_per_tensor", "quantize_affine"), _quantize),
    **dict.fromkeys(("dequantize_per_tensor", "dequantize_per_channel", "dequantize_affine"), _dequantize),
    "t": _transpose,
    "constant_pad_nd": _pad,
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
}


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    found = []
    for arg in args:
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [item for item in arg if isinstance(item, Tensor)]
    return found


def _scope(module: nn.Module, example: Tensor, position: int) -> str:
    """Path of the module in which the call at `position` happened: the forward pass again, now with hooks."""
    stack: list[str] = []
    scopes: list[str] = []

    class Watcher(_Recorder):
        def __torch_dispatch__(self, *args: Any, **kwargs: Any) -> Any:
            before = len(self.calls)
            result = super().__torch_dispatch__(*args, **kwargs)
            scopes.extend([stack[-1] if stack else ""] * (len(self.calls) - before))
            return result

    hooks = []
    for name, part in module.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))  # type: ignore[misc]
        hooks.append(part.register_forward_hook(lambda *_: stack.pop() and None))
    try:
        with torch.no_grad(), Watcher():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return scopes[position] if position < len(scopes) else ""


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
