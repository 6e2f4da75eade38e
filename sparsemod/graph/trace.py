"""Reads a `Graph` off any `nn.Module`: what it computes, not how its classes are called.

`record` runs the module once and writes down every ATen call; `assemble` turns the calls into operators, folding
batch norm, padding and activations into the operator before or after them. The same two functions read a float module
on the meta device (shapes only, milliseconds), a float module with its weights, and a quantized module.

To support another layer: one entry in `_RULES` and, if it computes, one case in `run`; `shapes` only makes it fast.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph.network import Activation, Graph, Operator
from sparsemod.graph.shapes import meta_result

_SHARING = ("reshape", "max_pool")
"""Kinds that hand on numbers without computing new ones: input and output have one scale."""

_SUPPORTED = (
    "convolutions over one or two axes, linear layers, batch norm behind them, ReLU and hardtanh, max, average and "
    "adaptive average pooling, additions, dropout, zero padding and reshaping"
)


@dataclass(frozen=True, eq=False)
class Call:
    """One ATen call: `name` without namespace and overload, tensors as they went in and came out."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor


class _Recorder(TorchDispatchMode):
    """Writes down calls. One in place leaves a new value in an old tensor; later calls then read the new one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self._overwritten: dict[int, tuple[Tensor, Tensor]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this PyTorch imports its compiler at the first call, which takes two seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.split("::")[1]
        read = tuple(self.newest(arg) for arg in args)
        result = None if kwargs else meta_result(name, args)
        if result is None:
            result = func(*args, **(kwargs or {}))
        output = result[0] if isinstance(result, (tuple, list)) else result
        if isinstance(output, Tensor):
            if args and output is args[0]:
                self._overwritten[id(output)] = (output, output.detach())
            self.calls.append(Call(name, read, kwargs or {}, self.newest(output)))
        return result

    def newest(self, value: Any) -> Any:
        """What stands for the present content of a tensor; anything else as it is."""
        return self._overwritten[id(value)][1] if id(value) in self._overwritten else value


def record(module: Callable[[Tensor], Tensor], example: Tensor) -> tuple[list[Call], Tensor]:
    """Every ATen call of one forward pass, in order, and the output.

    Args:
        module: In evaluation mode.
        example: Some inputs, (N, *input shape).
    """
    with torch.no_grad(), _Recorder() as recorder:
        output = module(example)
    return recorder.calls, recorder.newest(output)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards every part of it is in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


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
    parameter = next(module.parameters(), None)
    device = "meta" if parameter is None else parameter.device
    example = torch.empty(2, *input_shape, device=device)  # two, so that the batch is never taken for a flat axis
    with evaluating(module):
        try:
            calls, output = record(module, example)
        except (RuntimeError, ValueError, IndexError) as error:
            raise Infeasible(f"the network cannot process an input of {_by(input_shape)}: {error}") from error
        try:
            return assemble(calls, example, output, scheme, sources(module, scheme))
        except _Unsupported as error:
            raise InputError(error.reason + _where(module, example, error.position)) from None


@dataclass(frozen=True)
class Source:
    """The module that a parameter belongs to: its path, and how it will be quantized."""

    name: str
    scheme: str


def sources(module: nn.Module, scheme: str) -> dict[int, Source]:
    """The source of every parameter, by the identity of its tensor.

    A parameter that several modules share belongs to the first. Under the scheme `both` a module is quantized as its
    own attribute `quant_scheme` says, or that of the nearest module around it, or `post`.
    """
    chosen: dict[str, str] = {}
    for name, part in module.named_modules():
        around = chosen[name.rpartition(".")[0]] if name else "post"
        chosen[name] = getattr(part, "quant_scheme", around) if scheme == "both" else scheme
        if scheme == "both" and chosen[name] not in ("post", "dynamic", "none"):
            raise InputError(f"module {name!r}: quant_scheme is {chosen[name]!r}; it must be post, dynamic or none")
    return {
        id(parameter): Source(owner := name.rpartition(".")[0], chosen[owner])
        for name, parameter in module.named_parameters()
    }


class _Unsupported(InputError):
    """What cannot be costed, and the position of the call that asks for it if it is one call."""

    def __init__(self, reason: str, position: int | None = None) -> None:
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
    """What is known while walking through the calls.

    Attributes:
        batch: N of the recording.
        scheme: Of parameters without a source.
        sources: By the identity of a parameter.
        uses: How often each tensor is read.
        known: What each tensor is.
        static: Activations that the quantization scheme makes int8.
        quantized: Activations whose scale has been seen.
        producer: Position of the operator that writes an activation.
    """

    batch: int
    scheme: str
    sources: Mapping[int, Source]
    uses: Counter[int]
    operators: list[Operator] = field(default_factory=list)
    activations: list[Activation] = field(default_factory=list)
    known: dict[int, "int | _Constant | _Padded"] = field(default_factory=dict)
    static: set[int] = field(default_factory=set)
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
        """Adds an operator and the activation it writes, which is int8 if all inputs are."""
        output, shape = len(self.activations), tuple(call.output.shape[1:])
        if all(position in self.static for position in inputs):
            self.static.add(output)
        if kind in _SHARING:
            self.activations.append(replace(self.activations[inputs[0]], shape=shape))
            self.quantized.update({output} if inputs[0] in self.quantized else ())
        else:
            self.activations.append(Activation(shape, 1 if output in self.static else 4))
        self.known[id(call.output)] = output
        self.producer[output] = len(self.operators)
        self.operators.append(Operator(kind, name or f"{kind}_{len(self.operators)}", tuple(inputs), output, **values))

    def weighted(
        self, call: Call, kind: str, source: int, weight: _Constant, bias: Tensor | None, **values: Any
    ) -> None:
        """Adds an operator with weights; its MACs are those of one output element times the outputs."""
        scheme = weight.source.scheme
        narrow = weight.scale is not None or scheme == "post" or (scheme == "dynamic" and kind == "linear")
        macs = call.output[0].numel() * weight.value[0].numel()
        self.new(call, kind, [source], weight.source.name, macs=macs, weight=weight.value.detach().clone(),
                 weight_itemsize=1 if narrow else 4, weight_scale=weight.scale,
                 bias=None if bias is None else self.constant(bias).value.detach().clone(), **values)  # fmt: skip
        output = len(self.activations) - 1
        self.static.discard(output)
        self.activations[output] = replace(self.activations[output], itemsize=4)
        if scheme == "post":
            self.static.add(output)
            self.narrow([*self.sharing(source), output])

    def sharing(self, position: int) -> set[int]:
        """The activations that hold the very numbers of this one: reshaped or max-pooled from it, or it from them."""
        links = [(operator.inputs[0], operator.output) for operator in self.operators if operator.kind in _SHARING]
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
    uses[id(output)] += 1
    state = _Assembly(len(example), scheme, sources, uses)
    parameters = (sources[id(tensor)] for call in calls for tensor in _tensors(call.args) if id(tensor) in sources)
    first = next((source.scheme for source in parameters), scheme)
    state.activations.append(Activation(tuple(example.shape[1:]), 1 if first == "post" else 4))
    state.static.update({0} if first == "post" else ())
    state.known[id(example)] = 0
    for position, call in enumerate(calls):
        rule = _RULES.get(call.name)
        try:
            if rule is not None:
                rule(state, call)
            elif any(isinstance(state.known.get(id(tensor)), (int, _Padded)) for tensor in _tensors(call.args)):
                raise _Unsupported(f"operator {call.name!r} cannot be costed; supported are {_SUPPORTED}")
        except _Unsupported as error:
            raise _Unsupported(error.reason, position) from None
    if not isinstance(output, Tensor) or not isinstance(state.known.get(id(output)), int):
        raise _Unsupported("the network must return one tensor computed from its input")
    read = {position for operator in state.operators for position in operator.inputs} | {state.known[id(output)]}
    for operator in state.operators:
        if operator.output not in read:
            raise _Unsupported(f"the network computes {operator.name!r} and does not use it")
    return Graph(tuple(state.operators), tuple(state.activations))


# --- one rule per ATen call ---------------------------------------------------------------------------------------


def _alias(state: _Assembly, call: Call) -> None:
    source = call.args[0]
    state.uses[id(call.output)] += state.uses[id(source)] - 1  # other readers of the source read this very value
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
    if id(call.args[0]) not in state.known:
        return  # of a parameter, or of the indices of a max pool
    source = state.activation(call.args[0])
    if call.output.dim() < 2 or call.output.shape[0] != state.batch:
        raise _Unsupported("a view mixes the batch with other axes")
    if tuple(call.output.shape[1:]) == state.activations[source].shape:
        _alias(state, call)
        return
    state.new(call, "reshape", [source])


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
    if call.output.dim() > 4:
        raise _Unsupported("a convolution is supported over one or two axes")
    found, weight = state.known.get(id(x)), state.constant(weight_tensor)
    axes = call.output.dim() - 2
    stride, padding, dilation = (tuple(values) * (axes // len(values)) for values in (stride, padding, dilation))
    pads = tuple(side for size in padding for side in (size, size))
    source = found.activation if isinstance(found, _Padded) else state.activation(x)
    if isinstance(found, _Padded):
        pads = tuple(one + other for one, other in zip(pads, found.padding, strict=True))
    channels = state.activations[source].shape[0]
    kind = "depthwise" if groups == channels and groups > 1 else "conv"
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": (groups,)}
    state.weighted(call, kind, source, weight, bias, options=options)


def _batch_norm(state: _Assembly, call: Call) -> None:
    """Folded into the layer before it, as y = scale * (x - mean) + shift per channel."""
    x, gamma, beta, mean, variance = call.args[:5]
    eps = call.args[6] if call.name.endswith("no_training") else call.args[7]
    if mean is None:
        raise _Unsupported("batch norm needs running statistics")
    position = _only_user(state, x)
    before = None if position is None else state.operators[position]
    if position is None or before is None or before.weight is None or _bounded(before):
        raise _Unsupported("batch norm is supported directly behind a convolution or linear layer")
    state.known[id(call.output)] = before.output
    if before.weight.is_meta:
        state.rewrite(position, bias=torch.empty(before.weight.shape[0], device="meta"))
        return
    factor = torch.rsqrt(variance.detach() + eps) * (1 if gamma is None else gamma.detach())
    bias = (-mean if before.bias is None else before.bias - mean) * factor + (0 if beta is None else beta)
    weight = before.weight * factor.reshape(-1, *[1] * (before.weight.dim() - 1))
    state.rewrite(position, weight=weight.detach(), bias=bias.detach())


def _linear(state: _Assembly, call: Call) -> None:
    bias, x, weight = call.args if call.name == "addmm" else (None, *call.args)
    if call.output.dim() != 2 or not isinstance(state.known.get(id(weight)), _Constant):
        raise _Unsupported("a matrix product is supported as a linear layer on (N, features)")
    state.weighted(call, "linear", state.activation(x), state.constant(weight), bias)


_FUSING = ("conv", "depthwise", "linear", "add")
"""Kinds that may bound their own output."""


def _clamp(state: _Assembly, call: Call) -> None:
    """ReLU and its bounded kin, fused into the operator that computes their input."""
    low, high = (0.0, float("inf")) if call.name.startswith("relu") else _bounds(call)
    position = _only_user(state, call.args[0])
    before = None if position is None else state.operators[position]
    if position is not None and before is not None and before.kind in _FUSING and not _bounded(before):
        state.rewrite(position, low=low, high=high)
        state.known[id(call.output)] = before.output
        return
    state.new(call, "relu", [state.activation(call.args[0])], low=low, high=high)


def _bounds(call: Call) -> tuple[float, float]:
    """Of hardtanh; PyTorch leaves out what is at its default."""
    given = [float(bound) for bound in call.args[1:]]
    low, high = [*given, *[-1.0, 1.0][len(given) :]]
    return low, high


def _bounded(operator: Operator) -> bool:
    return (operator.low, operator.high) != (-float("inf"), float("inf"))


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


def _avg_pool(state: _Assembly, call: Call) -> None:
    """Average pooling, adaptive pooling and the mean over the spatial axes."""
    source = state.activation(call.args[0])
    size = state.activations[source].shape[1:]
    if len(size) != 2:
        raise _Unsupported("average pooling is supported over two spatial axes")
    if call.name == "mean":
        if len(call.args) < 2 or sorted(axis % 4 for axis in call.args[1]) != [2, 3]:
            raise _Unsupported("a mean is supported over both spatial axes")
        kernel = stride = size
    elif call.name == "_adaptive_avg_pool2d":
        if any(extent % target for extent, target in zip(size, call.args[1], strict=True)):
            raise _Unsupported("adaptive pooling is supported where the output divides the input")
        kernel = stride = tuple(extent // target for extent, target in zip(size, call.args[1], strict=True))
    else:
        kernel = tuple(call.args[1])
        stride = tuple(call.args[2]) if len(call.args) > 2 and call.args[2] else kernel
        padding, ceil_mode, divisor = call.args[3:4], call.args[4:5], call.args[6:7]
        if any(map(any, padding)) or any(ceil_mode) or any(divisor):
            raise _Unsupported("average pooling is supported without padding, ceil mode and divisor")
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
    position = found.activation if isinstance(found, _Padded) else found
    assert isinstance(position, int), "only activations are quantized while the network runs"
    group = state.sharing(position)
    known = {
        (state.activations[member].scale, state.activations[member].zero_point) for member in group & state.quantized
    }
    if known - {(scale, zero_point)}:
        raise _Unsupported("an activation has two different scales")
    state.narrow(group, scale=scale, zero_point=zero_point)
    state.quantized |= group
    state.known[id(call.output)] = found


def _dequantize(state: _Assembly, call: Call) -> None:
    x = call.args[0]
    if isinstance(state.known.get(id(x)), (int, _Padded)):
        state.known[id(call.output)] = state.known[id(x)]
        return
    scale = call.args[1] if isinstance(call.args[1], Tensor) else torch.full((x.shape[0],), float(call.args[1]))
    state.known[id(call.output)] = _Constant(x, scale.float(), Source("", state.scheme))


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


def _where(module: nn.Module, example: Tensor, position: int | None) -> str:
    """The module in which the call at `position` happened: the forward pass again, now with hooks."""
    if position is None:
        return ""
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
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
        hooks.append(part.register_forward_hook(lambda *_: stack.pop() and None))
    try:
        with torch.no_grad(), Watcher():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return f" (in module {scopes[position]!r})" if scopes[position] else " (in the forward of the network itself)"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
