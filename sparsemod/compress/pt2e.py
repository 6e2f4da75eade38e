"""torchao's PT2E flow with our own quantizer: export, observe, convert.

The one file that imports torchao; import it late.

[Li2016] Ternary weight networks, arXiv 1605.04711.
"""

import copy
import logging
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from sparsemod.compress.qat import rounding
from sparsemod.errors import Infeasible
from sparsemod.graph.recurrence import STATE_SCALE
from sparsemod.graph.trace import WEIGHT_BITS

for _name in ("torchao", "torch.utils._pytree"):  # on import they report CUDA extensions that a CPU build never has
    logging.getLogger(_name).setLevel(logging.ERROR)

from torchao.quantization.pt2e.observer import MinMaxObserver, PerChannelMinMaxObserver  # noqa: E402
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e  # noqa: E402
from torchao.quantization.pt2e.quantizer import (  # noqa: E402
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

_aten = torch.ops.aten
_LAYERS = (_aten.conv1d.default, _aten.conv1d.padding, _aten.conv2d.default, _aten.conv2d.padding, _aten.linear.default)
_CLAMPS = (
    *(_aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.relu6_.default),
    *(_aten.hardtanh.default, _aten.hardtanh_.default),
)
_PAIRS = (_aten.add.Tensor, _aten.add_.Tensor, _aten.mul.Tensor, _aten.mul_.Tensor)
_SAME_SCALE = (
    *(_aten.max_pool1d.default, _aten.max_pool2d.default, _aten.pad.default, _aten.constant_pad_nd.default),
    *(_aten.flatten.using_ints, _aten.view.default, _aten.reshape.default, _aten.unsqueeze.default),
    *(_aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims, _aten.clone.default, _aten.contiguous.default),
    *(_aten.dropout.default, _aten.feature_dropout.default, _aten.permute.default, _aten.transpose.int),
    *(_aten.upsample_nearest1d.vec, _aten.upsample_nearest2d.vec, _aten.select.int, _aten.slice.Tensor),
    *(_aten.narrow.default, _aten.alias.default),
)
_OWN_SCALE = (
    *(_aten.avg_pool1d.default, _aten.adaptive_avg_pool1d.default, _aten.avg_pool2d.default),
    *(_aten.adaptive_avg_pool2d.default, _aten.mean.dim, _aten.sigmoid.default, _aten.sigmoid_.default),
    *(_aten.tanh.default, _aten.tanh_.default, _aten.hardsigmoid.default, _aten.hardsigmoid_.default),
    *(_aten.hardswish.default, _aten.hardswish_.default, _aten.selu.default, _aten.selu_.default),
    *(_aten.silu.default, _aten.silu_.default, _aten.gelu.default, _aten.leaky_relu.default),
    *(_aten.leaky_relu_.default, _aten.elu.default, _aten.elu_.default),
)

_ACTIVATION = QuantizationSpec(
    torch.int8, MinMaxObserver.with_args(eps=2**-20), -128, 127, torch.per_tensor_affine, is_dynamic=False
)
_SHARES = FixedQParamsQuantizationSpec(torch.int8, 1 / 256, -128, -128, 127, torch.per_tensor_affine)
"""Of a softmax: from 0 to almost 1."""
_STATES = FixedQParamsQuantizationSpec(torch.int8, STATE_SCALE, 0, -128, 127, torch.per_tensor_affine)
"""Of a recurrent layer: from -1 to almost 1."""
_RECURRENT = (_aten.lstm.input, _aten.gru.input)
_FACTORS = [percent / 100 for percent in range(100, 4, -1)]
"""Scales that a weight of few bits tries, as shares of the one that reaches its largest value."""


class FittedObserver(PerChannelMinMaxObserver):  # type: ignore[misc]  # torchao has no types
    """Chooses the scale of each channel that leaves the smallest squared error of its weights.

    With few bits the largest weight may be cut off for finer steps of all others. A ternary weight becomes zero below
    half a step, which is then the threshold of [Li2016].
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Keeps weights, (O, ...), as they are now."""
        self._weight = weight.detach().flatten(1).clone()
        result: Tensor = super().forward(weight)
        return result

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, (O,)."""
        widest, zero_point = super().calculate_qparams()
        best, smallest = widest, torch.full_like(widest, math.inf)
        for factor in _FACTORS:
            scale = (factor * widest).clamp_min(self.eps)
            steps = (self._weight / scale[:, None]).round().clamp(self.quant_min, self.quant_max)
            error = (self._weight - steps * scale[:, None]).square().sum(1)
            best, smallest = torch.where(error < smallest, scale, best), torch.minimum(error, smallest)
        return best, zero_point


def _spec(bits: int) -> QuantizationSpec:
    observer, largest = PerChannelMinMaxObserver if bits == 8 else FittedObserver, 2 ** (bits - 1) - 1
    return QuantizationSpec(
        *(torch.int8, observer.with_args(eps=2**-20), -largest, largest, torch.per_channel_symmetric), ch_axis=0
    )


_WEIGHT = {bits: _spec(bits) for bits in WEIGHT_BITS}


def convert(
    module: nn.Module,
    calibration: Sequence[Tensor],
    scheme: str,
    schemes: Mapping[str, str],
    bits: Mapping[str, int],
    tune: Callable[[nn.Module], None] | None = None,
    input_scale: float | None = None,
) -> fx.GraphModule:
    """The module with quantize and dequantize calls around everything that becomes int8.

    Args:
        module: In evaluation mode.
        calibration: Batches of one size that set the activation ranges.
        scheme: Of the network.
        schemes: Of each module with parameters, by its path.
        bits: Of each parameter as a weight, by its path.
        tune: Trains a network that rounds as the quantized one will; batch norm is part of the layers by then.
        input_scale: Of the input, whose zero is 0; found by calibration if not given.

    Raises:
        Infeasible: An activation is not finite.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = _exported(module if tune is None else copy.deepcopy(module), calibration[0], tune is not None)
        _keep_apart(exported)
        prepared = prepare_pt2e(exported, Int8Quantizer(scheme, schemes, bits, input_scale))
        for batch in calibration:
            prepared(batch)
        if not all(_finite(observer) for observer in prepared.modules() if isinstance(observer, MinMaxObserver)):
            raise Infeasible(
                "an activation is NaN or infinite on the calibration data; a smaller learning rate may help"
            )
        if tune is not None:
            _tune(prepared, tune, calibration[0])
        converted: fx.GraphModule = convert_pt2e(prepared)
    return converted


def _exported(module: nn.Module, example: Tensor, any_batch: bool) -> fx.GraphModule:
    """The module as a graph, for batches of one size, which takes half the time, or of any."""
    shapes = ({0: torch.export.Dim("batch", min=2)},) if any_batch else None
    exported: fx.GraphModule = torch.export.export(module, (example,), dynamic_shapes=shapes).module(check_guards=False)
    return exported


def _tune(prepared: fx.GraphModule, tune: Callable[[nn.Module], None], example: Tensor) -> None:
    with rounding(prepared):
        with torch.enable_grad():
            tune(prepared)
        prepared.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in the stubs
        prepared(example)  # the ranges of the last weights of 8 bits


def _keep_apart(exported: fx.GraphModule) -> None:
    """Replaces each batch norm that stands alone by a call that torchao does not know.

    It would fold it into a convolution whose output others read too, and looks for patterns of training with it, which
    takes ten seconds.
    """
    alone = [node for node in exported.graph.nodes if node.target is _aten.batch_norm.default and not _folds(node)]
    for node in alone:
        with exported.graph.inserting_before(node):
            norm = exported.graph.call_function(_norm, node.args, node.kwargs)
        norm.meta = dict(node.meta)
        node.replace_all_uses_with(norm)
        exported.graph.erase_node(node)
    exported.recompile()


def _folds(norm: fx.Node) -> bool:
    """Whether a batch norm becomes part of the layer before it."""
    source = norm.args[0]
    assert isinstance(source, fx.Node)
    if len(source.users) > 1:
        return False
    return source.target in _LAYERS or (source.target is _aten.batch_norm.default and _folds(source))


def _norm(*args: Any, **kwargs: Any) -> Tensor:
    """Batch norm by another name."""
    result: Tensor = _aten.batch_norm.default(*args, **kwargs)
    return result


_NORMS = (_norm, _aten.layer_norm.default)


def _finite(observer: MinMaxObserver) -> bool:
    return bool((observer.max_val - observer.min_val).isfinite().all())


class Int8Quantizer(Quantizer):  # type: ignore[misc]  # torchao has no types
    """Says which tensors of an exported graph become int8: the scheme of TensorFlow Lite and CMSIS-NN."""

    def __init__(
        self, scheme: str, schemes: Mapping[str, str], bits: Mapping[str, int], input_scale: float | None = None
    ) -> None:
        super().__init__()
        self._scheme, self._schemes, self._bits, self._input_scale = scheme, schemes, bits, input_scale

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotates every node, in order of execution."""
        kinds = (*_LAYERS, *_RECURRENT, *_NORMS, _aten.embedding.default)
        layers = (node for node in model.graph.nodes if node.target in kinds)
        first = next((self._schemes.get(_path(node), self._scheme) for node in layers), self._scheme)
        for node in model.graph.nodes:
            if node.op == "placeholder":
                node.meta["static"] = first == "post"
                if self._input_scale is not None:
                    ends = (-128, 127, torch.per_tensor_affine)
                    node.meta["steps"] = FixedQParamsQuantizationSpec(torch.int8, self._input_scale, 0, *ends)
            elif node.target in (*_LAYERS, *_RECURRENT):
                self._annotate_layer(node)
            elif node.target is _aten.embedding.default:
                self._annotate_embedding(node, model)
            else:
                self._annotate_other(node)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to check: what cannot be costed was refused by the trace."""

    def _annotate_layer(self, node: fx.Node) -> None:
        chosen = self._schemes.get(_path(node), self._scheme)
        static = node.meta["static"] = chosen == "post"
        inputs: dict[Any, Any] = dict(_read(node.args[:1])) if static else {}
        recurrent = node.target in _RECURRENT
        if static or (chosen == "dynamic" and (recurrent or node.target is _aten.linear.default)):
            for weight in _weights(node):  # of the module; its target is the path of the parameter
                inputs[weight] = _WEIGHT[self._bits.get(str(weight.target), 8)]
        _annotate(node, inputs, _ACTIVATION if static and not recurrent and not _fused(node) else None)

    def _annotate_embedding(self, node: fx.Node, model: fx.GraphModule) -> None:
        """Its range is that of all its rows, whichever the calibration sees."""
        if (self._schemes.get(_path(node), self._scheme)) != "post":
            node.meta["static"] = False
            return
        table: Any = node.args[0]
        largest = model.get_parameter(str(table.target)).abs().max().item()
        spec = FixedQParamsQuantizationSpec(
            torch.int8, max(largest, 2**-20) / 127, 0, -127, 127, torch.per_tensor_symmetric
        )
        node.meta.update(static=True, steps=spec)
        _annotate(node, {table: spec}, spec)

    def _annotate_other(self, node: fx.Node) -> None:
        own = self._schemes.get(_path(node)) if node.target in _NORMS else None
        inherited = all(source.meta["static"] for source in node.all_input_nodes if "static" in source.meta)
        node.meta["static"] = inherited if own is None else own == "post"
        if not node.meta["static"]:
            return
        if node.target is operator.getitem and node.all_input_nodes[0].target in _RECURRENT:
            node.meta["steps"] = _STATES
            _annotate(node, {}, _STATES)
        elif node.target in _PAIRS:
            _annotate(node, _read(node.args[:2]), None if _fused(node) else _ACTIVATION)
        elif node.target in _CLAMPS:
            _annotate(node, {} if _fused(node.args[0]) else _read(node.args[:1]), _ACTIVATION)
        elif node.target is _aten.cat.default:
            _annotate(node, _read(node.args[0]), _ACTIVATION)
        elif node.target is _aten.softmax.int:
            node.meta["steps"] = _SHARES
            _annotate(node, _read(node.args[:1]), _SHARES)
        elif node.target in (*_OWN_SCALE, *_NORMS):
            _annotate(node, _read(node.args[:1]), None if _fused(node) else _ACTIVATION)
        elif node.target in _SAME_SCALE:
            _annotate(node, _read(node.args[:1]), SharedQuantizationSpec((node.args[0], node)))


def _read(sources: Any) -> dict[fx.Node, Any]:
    """How each source is quantized: where the steps of an operator are known, as it was written."""
    return {source: _origin(source).meta.get("steps", _ACTIVATION) for source in sources}


def _weights(layer: fx.Node) -> list[Any]:
    """The weights of a layer, with two axes or more."""
    if layer.target not in _RECURRENT:
        return [layer.args[1]]
    parameters: Any = layer.args[2]
    return [weight for weight in parameters if weight.meta["val"].dim() == 2]


def _origin(node: fx.Node) -> fx.Node:
    """The node that computed what a chain of reshapes, poolings and the like hands on."""
    while node.target in _SAME_SCALE:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        node = source
    return node


def _annotate(node: fx.Node, inputs: Mapping[Any, Any], output: Any) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(
        input_qspec_map=dict(inputs), output_qspec=output, _annotated=True
    )


def _fused(node: Any) -> bool:
    """Whether the only reader of a layer is a clamp, which then carries the output scale for both."""
    if not isinstance(node, fx.Node) or node.target not in (*_LAYERS, *_PAIRS, *_NORMS):
        return False
    return len(node.users) == 1 and next(iter(node.users)).target in _CLAMPS


def _path(node: fx.Node) -> str:
    """Path of the module that a node came from."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""
