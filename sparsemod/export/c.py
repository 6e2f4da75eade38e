"""A `Graph` as self-contained C99: no library but <stdint.h>, no allocation, one static arena.

    net.h      input, output and net_invoke(), with sizes and scales
    net.c      weights, the kernels that this network needs, and one call per operator
    test/      recorded inputs and the outputs of `graph.run`, and a program that compares
    frontend.h, frontend.c   from raw samples to the input, if the network has a front end; net_push() feeds it
    device.ld  memory of the device, for the linker, if that is a Cortex-M

A network of one step keeps its states in the last bytes of the arena; net_start() begins a sequence.

Makefile, CMakeLists.txt, library.json (PlatformIO) and library.properties (Arduino) build net.c alone as a library:
both systems take sources from the folder itself and leave out test/ and examples/.

The kernels stand as C in the folder `source` and are copied as they are. Weights are stored in the encoding that
`cost.size` counts. Where that is not the dense one, the kernel gets one weight after the other from functions that
decode it; the text of both is filled in for each encoding, so that the compiler finds one loop without a choice in it.

Float parts of a network are computed by kernels of their own, `float_*`, which also need <math.h>. Where parts meet,
these read and write int8 as well, through two functions whose text is shorter if the network is float throughout.

A dense kernel of int8 computes four output channels at once, so that an input is read once for four products. A kernel
that gets its weights one by one uses each at 16 neighbouring places. That also suits depthwise layers.

[Abramowitz1964] Handbook of Mathematical Functions.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from sparsemod.cost import model_size_bytes, plan
from sparsemod.cost.liveness import kept_bytes
from sparsemod.device import Device
from sparsemod.errors import InputError
from sparsemod.export import arm, artefact, recorded
from sparsemod.export.float_layer import FloatLayer
from sparsemod.export.kernels import kernels
from sparsemod.export.layer import KINDS, Constant, Layer, by, identifiers, number
from sparsemod.export.texts import filled, loosely_filled, text
from sparsemod.graph import Activation, Graph
from sparsemod.graph.recurrence import GATES, TANH

_LIBRARY = ("Makefile", "CMakeLists.txt", "library.json", "library.properties")
_LIBM = {"Makefile": " -lm", "CMakeLists.txt": "\ntarget_link_libraries(net PUBLIC m)"}
_INTEGERS = "8-bit integers"
_QUANTIZED = (
    " * An integer q stands for the real number (q - zero_point) * scale, and a real number r becomes\n"
    " * floor(r / scale + 0.5) + zero_point, held within -128 and 127.\n"
)
_FLOAT = " * A float is a real number as it is: its scale is 1 and its zero point 0.\n"


def export(graph: Graph, folder: str | Path, vectors: Tensor | None = None, device: Device | None = None) -> None:
    """Writes a network as C into a new folder.

    Args:
        graph: As `compress.quantize.lower` makes it.
        folder: Must not exist.
        vectors: Inputs to record, int8 or float32 as the input of the network, (N, *input_shape), or int16 clips (N, S)
            where there is a front end; a few extreme and random ones unless given.
        device: What it is for; `verify` then links it into that memory.

    Raises:
        InputError: The network has an operator that cannot be written, or the folder exists or cannot be written.
    """
    for operator in graph.operators:
        if operator.kind not in KINDS:
            raise InputError(f"{operator.name}: the C export has no operator {operator.kind!r}")
    front, numbers, source = graph.frontend, _numbers(graph), recorded.given(graph)
    vectors = recorded.default_vectors(graph) if vectors is None else vectors
    facts = {
        "arena_bytes": plan(graph).size,
        "const_bytes": model_size_bytes(graph),
        "macs": graph.macs * max(graph.steps, 1) + (0 if front is None else front.macs),  # of a vector
        "vectors": len(vectors),
        **recorded.tolerance(graph),
    }
    libm = {} if graph.exact else _LIBM
    files = {
        "net.h": _header(graph),
        "net.c": _network(graph),
        **({} if front is None else front.c_source()),
        **recorded.files(graph, vectors),
        "examples/invoke/invoke.ino": filled("library/invoke.ino", type=_ctype(source)),
        **{name: loosely_filled(f"library/{name}", numbers=numbers, libm=libm.get(name, "")) for name in _LIBRARY},
    }
    if device is not None and (script := arm.device_script(device, facts)):
        files["device.ld"] = script
    artefact.write(Path(folder), files, facts, device)


# --- files -----------------------------------------------------------------------------------------------------------


def _header(graph: Graph) -> str:
    source, target = recorded.given(graph), graph.activations[graph.output]
    given, found = _ctype(source), _ctype(target)
    return filled(
        "net.h",
        numbers=_numbers(graph),
        input_type=given,
        output_type=found,
        input_call=f"{given} *x = net_input();".ljust(34),
        output_call=f"const {found} *y = net_output();".ljust(34),
        meaning=(_QUANTIZED if "int8_t" in (given, found) else "") + (_FLOAT if "float" in (given, found) else ""),
        input_size=source.numel,
        input_shape=by(source.shape) + _tokens(graph),
        output_size=target.numel,
        output_shape=by(target.shape),
        arena_bytes=plan(graph).size,
        const_bytes=model_size_bytes(graph),
        include="" if graph.frontend is None else '\n#include "frontend.h"\n',
        calls=_calls(graph, "h"),
    )


def _calls(graph: Graph, suffix: str) -> str:
    """What a program calls beside net_invoke: from raw samples to the input, or from one sequence to the next."""
    if graph.frontend is not None:
        return text(f"frontend_calls.{suffix}")
    if not graph.steps:
        return ""
    first = plan(graph).size - sum(kept_bytes(graph).values())
    return filled(f"stream_calls.{suffix}", steps=graph.steps, first=first)


def _tokens(graph: Graph) -> str:
    if all(operator.kind != "embedding" for operator in graph.operators):
        return ""
    return ", tokens from 0 on" + (": write each minus 128" if graph.activations[0].itemsize == 1 else "")


def _numbers(graph: Graph) -> str:
    """What the operators compute with."""
    integer = set(map(graph.integer, graph.operators))
    return _INTEGERS if integer <= {True} else "float" if integer == {False} else f"{_INTEGERS} and float"


def _ctype(activation: Activation) -> str:
    return "int8_t" if activation.itemsize == 1 else "float"


def _network(graph: Graph) -> str:
    source, target, planned = recorded.given(graph), graph.activations[graph.output], plan(graph)
    names = identifiers([operator.name for operator in graph.operators])
    layers = [
        (Layer if graph.integer(operator) else FloatLayer)(graph, operator, name)
        for operator, name in zip(graph.operators, names, strict=True)
    ]
    constants = [constant for layer in layers for constant in layer.constants]
    if any(layer.kind in GATES for layer in layers):
        constants.append(Constant("net_tanh", TANH.numpy().astype(np.int16)))
    features = _features(graph, planned.offsets[0])
    calls = [layers[step].call(planned.offsets, planned.scratch.get(step, 0)) for step in planned.order]
    return filled(
        "net.c",
        macs=f"{graph.macs:,}",
        const_bytes=f"{model_size_bytes(graph):,}",
        arena_bytes=f"{planned.size:,}",
        include="" if graph.exact else "\n#include <math.h>\n",
        most=32768 if graph.exact else 8192,
        input_type=_ctype(source),
        output_type=_ctype(target),
        input_scale=number(source.scale),
        input_zero_point=source.zero_point,
        output_scale=number(target.scale),
        output_zero_point=target.zero_point,
        constants="\n".join(constant.text for constant in constants),
        kernels="\n".join([*kernels(layers), *([text("kernels/float_features.c")] if features else [])]),
        arena=_arena(graph, planned.frontend),
        calls=_calls(graph, "c"),
        input=_cast(_ctype(source), planned.offsets[0]),
        output=_cast(f"const {_ctype(target)}", planned.offsets[graph.output]),
        operators="\n".join([*features, *calls]),
    )


def _features(graph: Graph, start: int) -> list[str]:
    """C text that makes real numbers of the features of a front end, if the network reads such."""
    front, source = graph.frontend, graph.activations[0]
    if front is None or source.itemsize == 1:
        return []
    return [f"    float_features(arena + {start}, {source.numel}, {number(front.scale)});\n"]


def _cast(ctype: str, offset: int) -> str:
    return f"arena + {offset}" if "int8_t" in ctype else f"({ctype} *)(arena + {offset})"


def _arena(graph: Graph, start: int) -> str:
    if graph.frontend is not None:
        return filled("frontend_arena.c", before=f"        int8_t before[{start}];\n" if start else "")
    return "static int8_t arena[NET_ARENA_SIZE];\n" if graph.exact else text("float_arena.c")
