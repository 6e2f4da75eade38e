"""Trained module -> quantized `Graph`: `torch.export`, torchao's PT2E flow with our own quantizer, then integers.

Activations are int8, affine, one scale per tensor; weights int8, symmetric, one scale per output channel; biases
int32. That is the scheme of TensorFlow Lite for Microcontrollers and CMSIS-NN [Jacob2018].

A module may choose for itself under the scheme `both`: `module.quant_scheme = "dynamic"` in the user's `__init__` keeps
its activations float.

[Jacob2018] Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, fx, nn

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, Operator, assemble, record, trace
from sparsemod.graph.network import fixed_point
from sparsemod.graph.trace import evaluating, sources

SCHEMES = ("post", "dynamic", "both", "none")

_aten = torch.ops.aten
_LAYERS = (_aten.conv1d.default, _aten.conv1d.padding, _aten.conv2d.default, _aten.conv2d.padding, _aten.linear.default)
_CLAMPS = (_aten.relu.default, _aten.relu_.default, _aten.hardtanh.default, _aten.hardtanh_.default)
_ADDS = (_aten.add.Tensor, _aten.add_.Tensor)
_SAME_SCALE = (
    *(_aten.max_pool1d.default, _aten.max_pool2d.default, _aten.pad.default, _aten.constant_pad_nd.default),
    *(_aten.flatten.using_ints, _aten.view.default, _aten.reshape.default, _aten.unsqueeze.default),
    *(_aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims, _aten.clone.default, _aten.contiguous.default),
    *(_aten.dropout.default, _aten.feature_dropout.default),
)
_OWN_SCALE = (
    *(_aten.avg_pool1d.default, _aten.adaptive_avg_pool1d.default, _aten.avg_pool2d.default),
    *(_aten.adaptive_avg_pool2d.default, _aten.mean.dim),
)
_ACCUMULATOR = 2**31
_BIAS = 2**29


def lower(module: nn.Module, calibration: Sequence[Tensor], scheme: str = "post") -> Graph:
    """The network that ships, from a trained module.

    Args:
        module: Trained; left as it was.
        calibration: Batches of inputs that set the activation ranges, each (N, *input shape), all of one N.
        scheme: `post` (int8 after calibration), `dynamic` (int8 weights of linear layers, float activations), `both`
            (each module says), `none` (float32).

    Raises:
        Infeasible: A weight is not finite.
        InputError: The module uses an operator that cannot be costed.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in module.state_dict().values()):
        raise Infeasible("a trained weight is NaN or infinite; a smaller learning rate may help")
    input_shape = tuple(calibration[0].shape[1:])
    traced = trace(module, input_shape, scheme)
    if scheme == "none":
        return traced
    with evaluating(module):
        converted = _convert(module, calibration, scheme)
    calls, output = record(converted, calibration[0])
    graph = assemble(calls, calibration[0], output, "none", {})
    _check_same(graph, traced)
    return _integers(graph).renamed([operator.name for operator in traced.operators])


def _convert(module: nn.Module, calibration: Sequence[Tensor], scheme: str) -> fx.GraphModule:
    """The PT2E flow: export, observe, convert."""
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it reports CUDA extensions that a CPU build never has
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.export.export(module, (calibration[0],)).module(check_guards=False)
        schemes = {source.name: source.scheme for source in sources(module, scheme).values()}
        prepared = prepare_pt2e(exported, _quantizer(scheme, schemes))
        for batch in calibration:
            prepared(batch)
        converted: fx.GraphModule = convert_pt2e(prepared)
    return converted


def _check_same(graph: Graph, traced: Graph) -> None:
    """What was costed before training must be what is scored after it."""
    for position, (found, expected) in enumerate(zip_longest(_outline(graph), _outline(traced))):
        if found != expected:
            name = traced.operators[min(position, len(traced.operators) - 1)].name
            raise InputError(
                f"{name}: the trace sees {expected or 'nothing'} and quantization {found or 'nothing'}; write this part of "
                "the network with modules of torch.nn"
            )


def _outline(graph: Graph) -> list[str]:
    sizes = [activation.itemsize for activation in graph.activations]
    return [
        f"{operator.kind} with {operator.macs} MACs, {[sizes[position] for position in operator.inputs]} -> "
        f"{sizes[operator.output]} bytes per element, {operator.weight_itemsize} per weight"
        for operator in graph.operators
    ]


def _quantizer(scheme: str, schemes: Mapping[str, str]) -> Any:
    """Our `Quantizer`: says which tensors of an exported graph become int8.

    Args:
        scheme: Of the network.
        schemes: Of each module with parameters, by its path.
    """
    from torchao.quantization.pt2e.observer import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
        SharedQuantizationSpec,
    )

    activation = QuantizationSpec(
        torch.int8, MinMaxObserver.with_args(eps=2**-20), -128, 127, torch.per_tensor_affine, is_dynamic=False
    )
    weight = QuantizationSpec(
        torch.int8, PerChannelMinMaxObserver.with_args(eps=2**-20), -127, 127, torch.per_channel_symmetric, ch_axis=0
    )

    class Int8Quantizer(Quantizer):  # type: ignore[misc]
        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            layers = (node for node in model.graph.nodes if node.target in _LAYERS)
            first = next((schemes.get(_path(node), scheme) for node in layers), scheme)
            for node in model.graph.nodes:
                if node.op == "placeholder":
                    node.meta["static"] = first == "post"
                else:
                    self._annotate(node)
            return model

        def _annotate(self, node: fx.Node) -> None:
            if node.target in _LAYERS:
                chosen = schemes.get(_path(node), scheme)
                inputs = {node.args[0]: activation} if chosen == "post" else {}
                if chosen == "post" or (chosen == "dynamic" and node.target is _aten.linear.default):
                    inputs[node.args[1]] = weight
                node.meta["static"] = chosen == "post"
                self._set(node, inputs, None if chosen != "post" or _fused(node) else activation)
                return
            node.meta["static"] = all(source.meta["static"] for source in node.all_input_nodes)
            if not node.meta["static"]:
                return
            if node.target in _ADDS:
                self._set(node, dict.fromkeys(node.args[:2], activation), None if _fused(node) else activation)
            elif node.target in _CLAMPS:
                inputs = {} if _fused(node.args[0]) else {node.args[0]: activation}
                self._set(node, inputs, activation)
            elif node.target in _OWN_SCALE:
                self._set(node, {node.args[0]: activation}, activation)
            elif node.target in _SAME_SCALE:
                source = node.args[0]
                self._set(node, {source: activation}, SharedQuantizationSpec((source, node)))

        def _set(self, node: fx.Node, inputs: Mapping[fx.Node, Any], output: Any) -> None:
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=dict(inputs), output_qspec=output, _annotated=True
            )

        def validate(self, model: fx.GraphModule) -> None:
            """Nothing to check: what cannot be costed was refused by the trace."""

    return Int8Quantizer()


def _fused(node: Any) -> bool:
    """Whether the only reader of a layer is a clamp, which then carries the output scale for both."""
    if not isinstance(node, fx.Node) or node.target not in (*_LAYERS, *_ADDS):
        return False
    return len(node.users) == 1 and next(iter(node.users)).target in _CLAMPS


def _path(node: fx.Node) -> str:
    """Path of the module that a node came from."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _integers(graph: Graph) -> Graph:
    """Biases, multipliers and bounds as integers, wherever an operator reads and writes int8."""
    return Graph(tuple(_integer(graph, operator) for operator in graph.operators), graph.activations)


def _integer(graph: Graph, operator: Operator) -> Operator:
    target = graph.activations[operator.output]
    sources = [graph.activations[position] for position in operator.inputs]
    if operator.kind in ("reshape", "max_pool") or target.itemsize == 4 or any(s.itemsize == 4 for s in sources):
        return operator
    if operator.weight is not None and operator.weight_scale is None:
        return operator
    low = max(-128, target.zero_point + round(max(operator.low / target.scale, -1e6)))
    high = min(127, target.zero_point + round(min(operator.high / target.scale, 1e6)))
    operator = replace(operator, low=float(low), high=float(high))
    if operator.kind == "add":
        real = torch.tensor([source.scale / target.scale for source in sources], dtype=torch.float64)
        shift = fixed_point(real)[1].min().expand(2)
        multiplier = torch.round(real * torch.pow(2.0, shift.double())).int()
        return replace(operator, multiplier=multiplier, shift=shift.contiguous())
    step = sources[0].scale / target.scale
    if operator.weight is None:
        count = 1
        for size in operator.options.get("kernel", ()):
            count *= size
        multiplier, shift = fixed_point(torch.tensor([step / count], dtype=torch.float64))
        return replace(operator, multiplier=multiplier, shift=shift)
    weight, scale, bias = _fit_bias(operator, sources[0].scale)
    multiplier, shift = fixed_point(step * scale.double())
    _check_accumulator(operator.name, weight, bias)
    return replace(operator, weight=weight, weight_scale=scale, bias=bias, multiplier=multiplier, shift=shift)


def _fit_bias(operator: Operator, input_scale: float) -> tuple[Tensor, Tensor, Tensor | None]:
    """Weights, their scales and int32 biases, if the layer has any.

    A channel whose weights are all but zero has so fine a scale that its bias would not fit into 32 bits; such a
    channel gets a coarser scale.
    """
    assert operator.weight is not None and operator.weight_scale is not None
    weight, scale = operator.weight, operator.weight_scale.double()
    if operator.bias is None:
        return weight, operator.weight_scale, None
    bias = operator.bias.double()
    coarser = torch.maximum(scale, bias.abs() / input_scale / _BIAS)
    shape = (-1, *[1] * (weight.dim() - 1))
    weight = torch.round(weight.double() * (scale / coarser).reshape(shape)).to(torch.int8)
    scale = coarser.float()
    return weight, scale, torch.round(bias / (input_scale * scale.double())).int()


def _check_accumulator(name: str, weight: Tensor, bias: Tensor | None) -> None:
    largest = (weight.double().abs().flatten(1).sum(1) * 255 + (0 if bias is None else bias.double().abs())).max().item()
    if largest >= _ACCUMULATOR:
        raise Infeasible(f"{name}: the sum of products can reach {largest:.3g}, beyond the 32-bit accumulator")
