"""The C of the kernels that a network needs, and of what these need."""

import re
from collections.abc import Mapping, Sequence

from sparsemod.cost.encoding import RUN_BITS
from sparsemod.export.float_layer import FORMULAS
from sparsemod.export.layer import Layer
from sparsemod.export.texts import filled, text
from sparsemod.graph.recurrence import GATES

_WINDOWED = ("conv", "max_pool", "avg_pool")
_REQUANTIZED = ("conv", "linear", "layer_norm")
_WEIGHTED = (*_REQUANTIZED, *GATES, "embedding")
_REQUANTIZING = (*_REQUANTIZED, "avg_pool", "add", "mul", "concat", "rescale")
_FLOAT_WINDOWED = ("float_conv", "float_max_pool", "float_avg_pool")
_FLOAT_GATES = ("float_lstm", "float_gru")
_FLOAT_WEIGHTED = ("float_conv", "float_linear", *_FLOAT_GATES)
_WORDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "float_add": ("float_pair", {"what": "Sum", "kind": "add", "sign": "+"}),
    "float_mul": ("float_pair", {"what": "Product", "kind": "mul", "sign": "*"}),
    "float_max_pool": ("float_pool", {"what": "Largest value", "kind": "max_pool", "start": "-INFINITY",
                                      "next": "value > found ? value : found", "end": "found"}),
    "float_avg_pool": ("float_pool", {"what": "Mean", "kind": "avg_pool", "start": "0", "next": "found + value",
                                      "end": "found / (float)(window->kernel[0] * window->kernel[1])"}),
}  # fmt: skip
"""Kernels that differ in a few words: the file, and what is filled in."""


def kernels(layers: Sequence[Layer]) -> list[str]:
    """C text of what the network's kernels need, and of the kernels themselves."""
    kinds = {layer.kind for layer in layers} - {""}
    plain = {layer.kind for layer in layers if not layer.code} - {""}
    used = {(layer.kind, layer.encoding) for layer in layers if layer.encoding and layer.code}
    encoded = {(kind, encoding.name, encoding.bits) for kind, encoding in used}
    spanned = {"max_pool", *_FLOAT_WINDOWED} & kinds or "conv" in {kind for kind, _, _ in encoded}
    shared = ["types"] if kinds else []
    shared += ["window"] if kinds & {*_WINDOWED, *_FLOAT_WINDOWED} else []
    shared += ["weights"] if kinds & set(_WEIGHTED) else []
    shared += ["requantize"] if kinds & set(_REQUANTIZING) else []
    shared += ["recurrent"] if kinds & set(GATES) else []
    shared += ["span"] if spanned else []
    shared += ["output"] if kinds & {"linear", "conv"} else []
    shared += ["dot"] if plain & {"conv", "linear"} else []
    shared += _of_floats(layers, kinds)
    gates = {
        (re.sub("lstm|gru", "recurrent", kind), index, bits)
        for kind, index, bits in encoded
        if kind in (*GATES, *_FLOAT_GATES)
    }
    texts = [
        filled(f"kernels/{kind}_encoded.c", index=index, bits=bits)
        for kind, index, bits in (*sorted(gates), *sorted(encoded))
    ]
    first = [*(text(f"kernels/{name}.c") for name in shared), *map(_plain, sorted(plain)), *_functions(layers)]
    return [*first, *_decoders({(index, bits) for _, index, bits in encoded}), *texts]


def _of_floats(layers: Sequence[Layer], kinds: set[str]) -> list[str]:
    """Names of what kernels in real numbers share."""
    found = [layer for layer in layers if layer.kind.startswith("float_")]
    if not found:
        return []
    flowing = [position for layer in found for position in (*layer.operator.inputs, layer.operator.output)]
    ends = {found[0].graph.activations[position].itemsize for position in flowing}
    shared = ["float_types", "float_plain" if ends == {4} else "float_seams"]
    shared += ["float_weights"] if kinds & set(_FLOAT_WEIGHTED) else []
    shared += ["float_output"] if kinds & {"float_conv", "float_linear"} else []
    shared += ["float_recurrent"] if kinds & set(_FLOAT_GATES) else []
    return shared


def _plain(kind: str) -> str:
    name, words = _WORDS.get(kind, (kind, {}))
    return filled(f"kernels/{name}.c", **words)


def _functions(layers: Sequence[Layer]) -> list[str]:
    """C text of the functions of one element that are computed in real numbers."""
    names = sorted({layer.operator.function for layer in layers if layer.kind == "float_function"})
    found = [text("kernels/float_erf.c")] if "gelu" in names else []
    return found + [filled("kernels/float_formula.c", name=name, formula=FORMULAS[name]) for name in names]


def _decoders(encodings: set[tuple[str, int]]) -> list[str]:
    """C text of the functions that find the next weight of each index in use, and take its value of so many bits."""
    indexes = sorted({index for index, _ in encodings})
    values = [(_VALUES.get(bits, "value"), bits) for bits in sorted({bits for _, bits in encodings})]
    found = [filled(f"kernels/{name}.c", bits=bits) for name, bits in values]
    found += [_index(index) for index in indexes]
    return [text("kernels/reader.c"), *found] if found else []


_VALUES = {1: "value_1", 32: "value_32"}
"""Files of the functions that take a value of so many bits, where it is no plain number."""


def _index(name: str) -> str:
    if name not in RUN_BITS:
        return text(f"kernels/{name}.c")
    return filled("kernels/runs.c", entry=RUN_BITS[name], most=2 ** RUN_BITS[name] - 1)
