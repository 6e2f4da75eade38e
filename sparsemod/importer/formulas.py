"""Functions that exporters write as several operators, found again.

A chain of element-wise nodes over one activation is a function of one element: it is known by its values, however it
was written. A layer normalization in parts, and a factor and an offset per channel, are known by their form.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsemod.importer.node import Node, evaluated

Values = NDArray[Any]

_POINTS: Values = np.linspace(-9, 9, 181, dtype=np.float32)
"""Where functions are compared: beyond the bends of each, which are at -3 and 3."""
_TOLERANCE = 1e-5

_ELEMENTWISE = ("Add", "Clip", "Div", "Erf", "HardSigmoid", "Mul", "Pow", "Sigmoid", "Sub", "Tanh")
"""What the known functions are written with."""

_X = _POINTS.astype(np.float64)
_KNOWN: Mapping[tuple[str, str], Values] = {
    ("Silu", ""): _X / (1 + np.exp(-_X)),
    ("HardSwish", ""): _X * np.clip(_X / 6 + 0.5, 0, 1),
    ("Gelu", "none"): np.array([x / 2 * (1 + math.erf(x * math.sqrt(0.5))) for x in _X]),
    ("Gelu", "tanh"): _X / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (_X + 0.044715 * _X**3))),
}
"""Functions that some exporter writes in parts, by operator and attribute `approximate`."""

Curves = dict[str, dict[str, Values]]
"""Of each tensor, by its name: its values where one earlier tensor, by its name, has those of `_POINTS`."""


def simplified(nodes: Sequence[Node], constants: dict[str, Values], output: str) -> list[Node]:
    """The nodes that the output needs, with those of a formula replaced by one.

    Args:
        nodes: In execution order, none of them constant.
        constants: By name; some are added.
        output: Of the network.
    """
    producers = {node.output: node for node in nodes}
    curves: Curves = {}
    found = dict(producers)
    for node in nodes:
        curves[node.output] = _curves(node, curves, constants)
        replaced = _function(node, curves[node.output])
        replaced = replaced or _layer_norm(node, producers, constants) or _affine(node, producers, constants)
        found[node.output] = replaced or node
    return _needed(found, output)


def _needed(nodes: Mapping[str, Node], output: str) -> list[Node]:
    """Those that the output is computed from, in order."""
    wanted = {output}
    for name in reversed(list(nodes)):
        if name in wanted:
            wanted.update(nodes[name].inputs)
    return [node for name, node in nodes.items() if name in wanted]


# --- functions of one element ----------------------------------------------------------------------------------------


def _curves(node: Node, curves: Curves, constants: Mapping[str, Values]) -> dict[str, Values]:
    """What a node makes of each earlier tensor that alone decides it."""
    given = {name: constants[name] for name in node.inputs if name in constants}
    if node.kind not in _ELEMENTWISE or any(values.size != 1 or values.dtype.kind != "f" for values in given.values()):
        return {}
    known = {name: {name: _POINTS, **curves.get(name, {})} for name in node.inputs if name and name not in given}
    roots = [root for root in next(iter(known.values()), {}) if all(root in curve for curve in known.values())]
    return {
        root: evaluated(node, {**given, **{name: curve[root] for name, curve in known.items()}}).reshape(-1)
        for root in roots
    }


def _function(node: Node, curves: Mapping[str, Values]) -> Node | None:
    for root, values in curves.items():
        for (kind, approximate), expected in _KNOWN.items():
            if np.allclose(values, expected, rtol=0, atol=_TOLERANCE):
                attributes = {"approximate": approximate.encode()} if approximate else {}
                return replace(node, kind=kind, inputs=(root,), attributes=attributes)
    return None


# --- norms -----------------------------------------------------------------------------------------------------------


def _layer_norm(node: Node, producers: Mapping[str, Node], constants: Mapping[str, Values]) -> Node | None:
    """With weight and bias, with a weight, or neither."""
    bias = weight = ""
    inner: Node | None = node
    if inner is not None and inner.kind == "Add" and (split := _split(inner, constants)):
        inner, bias = producers.get(split[0]), split[1]
    if inner is not None and inner.kind == "Mul" and (split := _split(inner, constants)):
        inner, weight = producers.get(split[0]), split[1]
    if inner is None or (bias and not weight):
        return None
    found = _normalized(inner, producers, constants)
    return found and replace(node, kind=found.kind, inputs=(*found.inputs, weight, bias), attributes=found.attributes)


def _normalized(node: Node, producers: Mapping[str, Node], constants: Mapping[str, Values]) -> Node | None:
    """(x - mean) / sqrt(mean of (x - mean)^2 + eps), over the last axes."""

    def made(name: str, kind: str) -> Node | None:
        found = producers.get(name)
        return found if found is not None and found.kind == kind else None

    if node.kind != "Div" or (root := made(node.inputs[1], "Sqrt")) is None:
        return None
    if (added := made(root.inputs[0], "Add")) is None or (split := _split(added, constants)) is None:
        return None
    centred, variance = made(node.inputs[0], "Sub"), made(split[0], "ReduceMean")
    if centred is None or variance is None or constants[split[1]].size != 1:
        return None
    mean, square = made(centred.inputs[1], "ReduceMean"), producers.get(variance.inputs[0])
    if mean is None or mean.inputs[0] != centred.inputs[0] or square is None:
        return None
    power = constants.get(square.inputs[1]) if square.kind == "Pow" else None
    by_itself = square.kind == "Mul" and square.inputs[1] == centred.output
    if square.inputs[0] != centred.output or not (by_itself or (power is not None and np.all(power == 2))):
        return None
    axes = [_axes(one, constants) for one in (mean, variance)]
    if axes[0] != axes[1] or axes[0] != list(range(-len(axes[0]), 0)):
        return None
    attributes = {"axis": axes[0][0], "epsilon": constants[split[1]].item()}
    return replace(node, kind="LayerNormalization", inputs=(centred.inputs[0],), attributes=attributes)


def _axes(node: Node, constants: Mapping[str, Values]) -> list[int]:
    given = constants.get(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get("axes")
    return [] if given is None else sorted(int(axis) for axis in np.ravel(given))


def _affine(node: Node, producers: Mapping[str, Node], constants: dict[str, Values]) -> Node | None:
    """A factor, an offset or both, that are constant: `ChannelAffine` of (x, factor, offset)."""
    if node.kind not in ("Add", "Sub", "Mul", "Div") or (split := _split(node, constants)) is None:
        return None
    x, constant = split
    if constants[constant].dtype.kind != "f":
        return None  # of a shape
    if node.kind in ("Sub", "Div"):
        if node.inputs[0] != x:
            return None
        constants[f"{constant}.inverse"] = -constants[constant] if node.kind == "Sub" else 1 / constants[constant]
        constant = f"{constant}.inverse"
    if node.kind in ("Mul", "Div"):
        return replace(node, kind="ChannelAffine", inputs=(x, constant, ""), attributes={})
    before = producers.get(x)
    if before is not None and before.kind == "Mul" and (factor := _split(before, constants)):
        return replace(node, kind="ChannelAffine", inputs=(factor[0], factor[1], constant), attributes={})
    return replace(node, kind="ChannelAffine", inputs=(x, "", constant), attributes={})


def _split(node: Node, constants: Mapping[str, Values]) -> tuple[str, str] | None:
    """The activation and the constant that a node takes, if it takes one of each."""
    if len(node.inputs) != 2 or (node.inputs[0] in constants) == (node.inputs[1] in constants):
        return None
    one, other = node.inputs
    return (other, one) if one in constants else (one, other)
