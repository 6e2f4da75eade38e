"""Reads a `Graph` off any `nn.Module`: what it computes, not how its classes are called.

`record` runs the module once and writes down every ATen call; `assemble` turns the calls into operators, folding
batch norm, padding and activations into the operator before or after them. The same two functions read a float module
on the meta device (shapes only, milliseconds), a float module with its weights, and a quantized module.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph.assembly import Assembly, Padded, Source, States, Unsupported
from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.network import Activation, Graph
from sparsemod.graph.record import Call, evaluating, record, scope
from sparsemod.graph.rules import QUANTIZING, RULES
from sparsemod.graph.sequences import last_steps

_SUPPORTED = (
    "convolutions over one or two axes, linear layers, batch and layer norm, ReLU and hardtanh, functions of one "
    f"element ({', '.join(name for name in FUNCTIONS if name != 'gelu_tanh')}), softmax over the last axis, "
    "max, average and adaptive average pooling, LSTM and GRU, embeddings, additions, products, concatenation, "
    "upsampling to the nearest, dropout, zero padding, slicing, permuting and reshaping"
)

WEIGHT_BITS = (8, 4, 2)
"""Of weights that become integers."""


def trace(module: nn.Module, input_shape: Sequence[int], scheme: str = "post") -> Graph:
    """The graph of a module: with its weights if it has any, with shapes alone on the meta device.

    Args:
        module: Any module of one input and one output; it is traced in evaluation mode and left as it was. One that
            holds an `nn.Embedding` gets whole numbers.
        input_shape: Without the batch, such as (C, H, W).
        scheme: Quantization scheme that sets the bytes per element and weight.

    Raises:
        Infeasible: The module cannot process an input of this shape.
        InputError: The module uses an operator that cannot be costed.
    """
    calls, example, output = recorded(module, input_shape)
    try:
        return assemble(calls, example, output, scheme, sources(module, scheme))
    except Unsupported as error:
        where = "" if error.position is None else _where(_scoped(module, example, error.position))
        raise InputError(error.reason + where) from None


def recorded(module: nn.Module, input_shape: Sequence[int]) -> tuple[list[Call], Tensor, Tensor]:
    """Every ATen call of a module in evaluation mode, the input and the output; the arguments are those of `trace`.

    Raises:
        Infeasible: The module cannot process an input of this shape.
    """
    parameter = next(module.parameters(), None)
    device = "meta" if parameter is None else parameter.device
    dtype = torch.int64 if reads_tokens(module) else torch.float32
    example = torch.zeros(2, *input_shape, dtype=dtype, device=device)  # two: the batch is never taken for a flat axis
    with evaluating(module):
        try:
            calls, output = record(module, example)
        except (RuntimeError, ValueError, IndexError) as error:
            raise Infeasible(f"the network cannot process an input of {_by(input_shape)}: {error}") from error
    return calls, example, output


def reads_tokens(module: nn.Module) -> bool:
    """Whether a module gets whole numbers, which it looks up in an embedding."""
    return any(isinstance(part, nn.Embedding) for part in module.modules())


def sources(module: nn.Module, scheme: str) -> dict[int, Source]:
    """The source of every parameter, by the identity of its tensor.

    A parameter that several modules share belongs to the first. Under the scheme `both` a module is quantized as its
    own attribute `quant_scheme` says, or that of the nearest module around it, or `post`. Under every scheme its
    attribute `weight_bits` says in the same way how many bits a weight has that becomes an integer, or 8.
    """
    chosen: dict[str, Source] = {}
    for name, part in module.named_modules():
        around = chosen[name.rpartition(".")[0]] if name else Source("", "post")
        own = getattr(part, "quant_scheme", around.scheme) if scheme == "both" else scheme
        bits = getattr(part, "weight_bits", around.bits)
        if scheme == "both" and own not in ("post", "dynamic", "none"):
            raise InputError(f"module {name!r}: quant_scheme is {own!r}; it must be post, dynamic or none")
        if not isinstance(bits, int) or bits not in WEIGHT_BITS:
            raise InputError(f"module {name!r}: weight_bits is {bits!r}; it must be 8, 4 or 2")
        chosen[name] = Source(name, own, bits)
    return {id(parameter): chosen[name.rpartition(".")[0]] for name, parameter in module.named_parameters()}


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
    quantized = (call.args[:3] for call in calls if call.name in QUANTIZING)
    rounded = {id(x): (float(scale), int(zero_point)) for x, scale, zero_point in quantized}
    state = Assembly(len(example), scheme, sources, uses, rounded)
    parameters = (sources[id(tensor)] for call in calls for tensor in _tensors(call.args) if id(tensor) in sources)
    first = next((source.scheme for source in parameters), scheme)
    state.activations.append(Activation(tuple(example.shape[1:]), 1 if first == "post" else 4))
    state.static.update({0} if first == "post" else ())
    state.known[id(example)] = 0
    for position, call in enumerate(calls):
        rule = RULES.get(call.name)
        try:
            if rule is not None:
                rule(state, call)
            elif any(isinstance(state.known.get(id(tensor)), (int, Padded, States)) for tensor in _tensors(call.args)):
                raise Unsupported(f"operator {call.name!r} cannot be costed; supported are {_SUPPORTED}")
        except Unsupported as error:
            raise Unsupported(error.reason, position) from None
    if not isinstance(output, Tensor) or not isinstance(state.known.get(id(output)), int):
        raise Unsupported("the network must return one tensor computed from its input")
    read = {position for operator in state.operators for position in operator.inputs} | {state.known[id(output)]}
    for operator in state.operators:
        if operator.output not in read:
            raise Unsupported(f"the network computes {operator.name!r} and does not use it")
    return last_steps(Graph(tuple(state.operators), tuple(state.activations)))


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    found = []
    for arg in args:
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [item for item in arg if isinstance(item, Tensor)]
    return found


def _where(path: str) -> str:
    return f" (in module {path!r})" if path else " (in the forward of the network itself)"


def _scoped(module: nn.Module, example: Tensor, position: int) -> str:
    with evaluating(module):
        return scope(module, example, position)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
