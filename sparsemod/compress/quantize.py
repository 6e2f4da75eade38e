"""Trained module -> quantized `Graph`: `torch.export`, torchao's PT2E flow with our own quantizer, then integers.

Activations are int8, affine, one scale per tensor; weights int8, symmetric, one scale per output channel; biases
int32. That is the scheme of TensorFlow Lite for Microcontrollers and CMSIS-NN [Jacob2018].

A module may choose for itself under the scheme `both`: `module.quant_scheme = "dynamic"` in the user's `__init__` keeps
its activations float. Under every scheme `module.weight_bits = 4`, or 2, gives its integer weights, and those of the
modules inside it, the range of -7 to 7, or -1 to 1.

[Jacob2018] Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest

import torch
from torch import Tensor, nn

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, Operator, assemble, record, trace
from sparsemod.graph.assembly import SHARING
from sparsemod.graph.functions import FUNCTIONS, exponentials, tabulated
from sparsemod.graph.network import fixed_point
from sparsemod.graph.normalization import fraction_bits
from sparsemod.graph.record import evaluating
from sparsemod.graph.recurrence import GATE_SCALE, GATES, STATE_SCALE, row_biases, unit_biases
from sparsemod.graph.trace import sources

SCHEMES = ("post", "dynamic", "both", "none")

_ACCUMULATOR = 2**31
_BIAS = 2**29


def lower(
    module: nn.Module,
    calibration: Sequence[Tensor],
    scheme: str = "post",
    tune: Callable[[nn.Module], None] | None = None,
    input_scale: float | None = None,
) -> Graph:
    """The network that ships, from a trained module.

    Args:
        module: Trained; left as it was.
        calibration: Batches of inputs that set the activation ranges, each (N, *input shape), all of one N.
        scheme: `post` (int8 after calibration), `dynamic` (int8 weights of linear and recurrent layers, float
            activations), `both` (each module says), `none` (float32).
        tune: Quantization-aware training: trains a copy of the network in place that rounds as the integer one does.
        input_scale: Real value of one step of an int8 input whose zero is 0; found by calibration if not given.

    Raises:
        Infeasible: A weight or an activation is not finite, or a sum does not fit into 32 bits.
        InputError: The module uses an operator that cannot be costed.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in module.state_dict().values()):
        raise Infeasible("a trained weight is NaN or infinite; a smaller learning rate may help")
    input_shape = tuple(calibration[0].shape[1:])
    traced = trace(module, input_shape, scheme)
    if scheme == "none":
        return traced
    from sparsemod.compress.pt2e import convert

    found = sources(module, scheme)
    schemes = {source.name: source.scheme for source in found.values()}
    bits = {name: found[id(weight)].bits for name, weight in module.named_parameters(remove_duplicate=False)}
    with evaluating(module):
        converted = convert(module, calibration, scheme, schemes, bits, tune, input_scale)
    calls, output = record(converted, calibration[0])
    graph = assemble(calls, calibration[0], output, "none", {})
    _check_same(graph, traced)
    return _integers(_narrowed(graph, traced).renamed([operator.name for operator in traced.operators]))


def _narrowed(graph: Graph, traced: Graph) -> Graph:
    """With the bits of the weights, which a quantized module does not say."""
    bits = [operator.weight_bits for operator in traced.operators]
    pairs = zip(graph.operators, bits, strict=True)
    return replace(graph, operators=tuple(replace(operator, weight_bits=count) for operator, count in pairs))


def _check_same(graph: Graph, traced: Graph) -> None:
    """What was costed before training must be what is scored after it."""
    for position, (found, expected) in enumerate(zip_longest(_outline(graph), _outline(traced))):
        if found != expected:
            name = traced.operators[min(position, len(traced.operators) - 1)].name
            raise InputError(
                f"{name}: the trace sees {expected or 'nothing'} and quantization {found or 'nothing'}; "
                "write this part of the network with modules of torch.nn"
            )


def _outline(graph: Graph) -> list[str]:
    sizes = [activation.itemsize for activation in graph.activations]
    return [
        f"{operator.function or operator.kind} with {operator.macs} MACs, "
        f"{[sizes[position] for position in operator.inputs]} -> {sizes[operator.output]} bytes per element, "
        f"{operator.weight_itemsize} per weight"
        for operator in graph.operators
    ]


def _integers(graph: Graph) -> Graph:
    """Biases, multipliers and bounds as integers, wherever an operator reads and writes int8."""
    return Graph(tuple(_integer(graph, operator) for operator in graph.operators), graph.activations)


def _integer(graph: Graph, operator: Operator) -> Operator:
    target = graph.activations[operator.output]
    sources = [graph.activations[position] for position in operator.inputs]
    if operator.kind in (*SHARING, "embedding") or not graph.integer(operator):
        return operator  # an embedding holds its rows in the steps of its output
    if operator.kind in GATES:
        return _recurrent(operator, sources[0].scale)
    if operator.kind == "softmax":
        return replace(operator, table=exponentials(sources[0].scale))
    if operator.kind == "function":
        function = functools.partial(_applied, operator)
        ends = [(activation.scale, activation.zero_point) for activation in (sources[0], target)]
        return replace(operator, table=tabulated(function, *ends))
    low = max(-128, target.zero_point + round(max(operator.low / target.scale, -1e6)))
    high = min(127, target.zero_point + round(min(operator.high / target.scale, 1e6)))
    operator = replace(operator, low=float(low), high=float(high))
    if operator.kind in ("add", "concat"):
        real = torch.tensor([source.scale / target.scale for source in sources], dtype=torch.float64)
        multiplier, shift = fixed_point(real)
        common = torch.full_like(shift, int(shift.min()))
        multiplier = torch.round(multiplier * torch.pow(2.0, (common - shift).double())).int()
        return replace(operator, multiplier=multiplier, shift=common)
    unit = math.prod(source.scale for source in sources)  # of a product both count
    if operator.kind == "layer_norm":
        unit = 2.0 ** -fraction_bits(math.prod(operator.options["shape"]))
    step = unit / target.scale
    if operator.weight is None or operator.weight_scale is None:
        count = math.prod(operator.options.get("kernel", ()))
        multiplier, shift = fixed_point(torch.tensor([step / count], dtype=torch.float64))
        return replace(operator, multiplier=multiplier, shift=shift)
    weight, scale, bias = _fit_bias(operator.weight, operator.weight_scale, operator.bias, unit)
    multiplier, shift = fixed_point(step * scale.double())
    _check_accumulator(operator.name, weight, bias)
    return replace(operator, weight=weight, weight_scale=scale, bias=bias, multiplier=multiplier, shift=shift)


def _recurrent(operator: Operator, input_scale: float) -> Operator:
    """Sums of input and state each become steps of a gate; see `graph.recurrence`."""
    assert operator.weight is not None and operator.weight_scale is not None
    units = operator.options["units"][0]
    given = torch.zeros(4 * units) if operator.bias is None else operator.bias
    biases = row_biases(operator.kind, given)
    columns = operator.weight.split([operator.weight.shape[1] - units, units], 1)
    steps = (input_scale, STATE_SCALE)
    parts = [_fit_bias(*part) for part in zip(columns, operator.weight_scale.unbind(1), biases, steps, strict=True)]
    for part in parts:
        _check_accumulator(operator.name, part[0], part[2])
    weights, scales, fitted = zip(*parts, strict=True)
    scale = torch.stack(scales, 1)
    multiplier, shift = fixed_point(scale.double() * torch.tensor(steps, dtype=torch.float64) / GATE_SCALE)
    bias = None if operator.bias is None else unit_biases(operator.kind, *fitted)
    return replace(operator, weight=torch.cat(weights, 1), weight_scale=scale, bias=bias, multiplier=multiplier,
                   shift=shift)  # fmt: skip


def _applied(operator: Operator, x: Tensor) -> Tensor:
    return FUNCTIONS[operator.function](x, *operator.arguments)


def _fit_bias(
    weight: Tensor, weight_scale: Tensor, given: Tensor | None, input_scale: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Weights, their scales and int32 biases, if the layer has any.

    A channel whose weights are all but zero has so fine a scale that its bias would not fit into 32 bits; such a
    channel gets a coarser scale.
    """
    if given is None:
        return weight, weight_scale, None
    scale, bias = weight_scale.double(), given.double()
    coarser = torch.maximum(scale, bias.abs() / input_scale / _BIAS)
    shape = (-1, *[1] * (weight.dim() - 1))
    weight = torch.round(weight.double() * (scale / coarser).reshape(shape)).to(torch.int8)
    scale = coarser.float()
    return weight, scale, torch.round(bias / (input_scale * scale.double())).int()


def _check_accumulator(name: str, weight: Tensor, bias: Tensor | None) -> None:
    largest = (
        (weight.double().abs().flatten(1).sum(1) * 255 + (0 if bias is None else bias.double().abs())).max().item()
    )
    if largest >= _ACCUMULATOR:
        raise Infeasible(f"{name}: the sum of products can reach {largest:.3g}, beyond the 32-bit accumulator")
