"""An integer `Graph` as self-contained C99: no library but <stdint.h>, no allocation, one static arena.

    net.h      input, output and net_invoke(), with sizes and scales
    net.c      weights, the kernels that this network needs, and one call per operator
    test/      recorded inputs and the outputs of `graph.run`, and a program that compares
    frontend.h, frontend.c   from raw samples to the input, if the network has a front end; net_push() feeds it
    (a network of one step has net_start(), which begins a sequence)
    device.ld  memory of the device, for the linker, if that is a Cortex-M

Makefile, CMakeLists.txt, library.json (PlatformIO) and library.properties (Arduino) build net.c alone as a library:
both systems take sources from the folder itself and leave out test/ and examples/.

The kernels stand as C in the folder `source` and are copied as they are. Weights are stored in the encoding that
`cost.size` counts. Where that is not the dense one, the kernel gets one weight after the other from functions that
decode it; the text of both is filled in for each encoding, so that the compiler finds one loop without a choice in it.

A dense kernel computes four output channels at once, so that an input is read once for four products. A kernel that
gets its weights one by one uses each at 16 neighbouring places. That also suits depthwise layers.
"""

from collections.abc import Sequence
from pathlib import Path
from string import Template

import torch
from torch import Tensor

from sparsemod.cost import model_size_bytes, plan
from sparsemod.cost.encoding import RUN_BITS
from sparsemod.cost.liveness import kept_bytes
from sparsemod.device import Device
from sparsemod.errors import InputError
from sparsemod.export import arm, artefact
from sparsemod.export.layer import KINDS, Constant, Layer, by, identifiers, wrapped
from sparsemod.graph import Graph, run
from sparsemod.graph.assembly import SHARING
from sparsemod.graph.recurrence import GATES, TANH

_SOURCE = Path(__file__).parent / "source"
_WINDOWED = ("conv", "max_pool", "avg_pool")
_REQUANTIZED = ("conv", "linear", "layer_norm")
_WEIGHTED = (*_REQUANTIZED, *GATES, "embedding")
_REQUANTIZING = (*_REQUANTIZED, "avg_pool", "add", "mul", "concat", "rescale")
_LIBRARY = ("Makefile", "CMakeLists.txt", "library.json", "library.properties")
_VECTORS = 8


def export(graph: Graph, folder: str | Path, vectors: Tensor | None = None, device: Device | None = None) -> None:
    """Writes a network as C into a new folder.

    Args:
        graph: Int8 throughout, as `compress.quantize.lower` makes it.
        folder: Must not exist.
        vectors: Inputs to record, int8, (N, *input_shape), or int16 clips (N, S) where there is a front end; a few
            extreme and random ones unless given.
        device: What it is for; `verify` then links it into that memory.

    Raises:
        InputError: The network has float parts, or the folder exists or cannot be written.
    """
    _require_int8(graph)
    front = graph.frontend
    if vectors is None:
        vectors = _default_vectors(graph) if front is None else _default_clips(front.samples)
    facts = {
        "arena_bytes": plan(graph).size,
        "const_bytes": model_size_bytes(graph),
        "macs": graph.macs * max(graph.steps, 1) + (0 if front is None else front.macs),  # of a vector
        "vectors": len(vectors),
    }
    files = {
        "net.h": _header(graph),
        "net.c": _network(graph),
        **({} if front is None else front.c_source()),
        "test/vectors.h": _vectors(graph, vectors),
        "test/test_main.c": _text("test/test_main.c"),
        "examples/invoke/invoke.ino": _text("library/invoke.ino"),
        **{name: _text(f"library/{name}") for name in _LIBRARY},
    }
    if device is not None and (script := arm.device_script(device)):
        files["device.ld"] = script
    artefact.write(Path(folder), files, facts, device)


def _require_int8(graph: Graph) -> None:
    advice = "C is written for networks that are int8 throughout; search with [TRAIN] quant_scheme = post"
    if graph.activations[0].itemsize != 1:
        raise InputError(f"the input of the network is float. {advice}")
    for operator in graph.operators:
        if operator.kind not in KINDS:
            raise InputError(f"{operator.name}: the C export has no operator {operator.kind!r}")
        integer = operator.kind in SHARING or operator.multiplier is not None or operator.table is not None
        integer |= operator.kind == "embedding" and operator.weight_itemsize == 1
        if graph.activations[operator.output].itemsize != 1 or not integer:
            raise InputError(f"{operator.name}: this {operator.kind} is computed in float. {advice}")


# --- files -----------------------------------------------------------------------------------------------------------


def _header(graph: Graph) -> str:
    source, target = graph.activations[0], graph.activations[graph.output]
    return _filled(
        "net.h",
        input_size=source.numel,
        input_shape=by(source.shape) + (", tokens from 0 on: write each minus 128" if _reads_tokens(graph) else ""),
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
        return _text(f"frontend_calls.{suffix}")
    if not graph.steps:
        return ""
    first = plan(graph).size - sum(kept_bytes(graph).values())
    return _filled(f"stream_calls.{suffix}", **({"steps": graph.steps} if suffix == "h" else {"first": first}))


def _reads_tokens(graph: Graph) -> bool:
    return any(operator.kind == "embedding" for operator in graph.operators)


def _network(graph: Graph) -> str:
    source, target, planned = graph.activations[0], graph.activations[graph.output], plan(graph)
    names = identifiers([operator.name for operator in graph.operators])
    layers = [Layer(graph, operator, name) for operator, name in zip(graph.operators, names, strict=True)]
    constants = [constant for layer in layers for constant in layer.constants]
    if any(layer.kind in GATES for layer in layers):
        constants.append(Constant("net_tanh", "int16_t", TANH.numpy()))
    return _filled(
        "net.c",
        macs=f"{graph.macs:,}",
        const_bytes=f"{model_size_bytes(graph):,}",
        arena_bytes=f"{planned.size:,}",
        input_scale=_float(source.scale),
        input_zero_point=source.zero_point,
        output_scale=_float(target.scale),
        output_zero_point=target.zero_point,
        constants="\n".join(constant.text for constant in constants),
        kernels="\n".join(_kernels(layers)),
        arena=_arena(graph, planned.frontend),
        calls=_calls(graph, "c"),
        input_offset=planned.offsets[0],
        output_offset=planned.offsets[graph.output],
        operators="\n".join(layers[step].call(planned.offsets, planned.scratch.get(step, 0)) for step in planned.order),
    )


def _arena(graph: Graph, start: int) -> str:
    if graph.frontend is None:
        return "static int8_t arena[NET_ARENA_SIZE];\n"
    return _filled("frontend_arena.c", before=f"        int8_t before[{start}];\n" if start else "")


def _vectors(graph: Graph, vectors: Tensor) -> str:
    """Recorded inputs and the integers that the executor gives for them."""
    source, target = graph.activations[0], graph.activations[graph.output]
    front = graph.frontend
    inputs = vectors if front is None else front(vectors)
    outputs = torch.round(run(graph, (inputs.float() - source.zero_point) * source.scale) / target.scale)
    return _filled(
        "test/vectors.h",
        vectors=len(vectors),
        type=f"{str(vectors.dtype).removeprefix('torch.')}_t",
        count="FRONTEND_SAMPLES" if front else "NET_STEPS * NET_INPUT_SIZE" if graph.steps else "NET_INPUT_SIZE",
        inputs=_rows(vectors),
        outputs=_rows((outputs + target.zero_point).to(torch.int8)),
        give=_text(f"test/{'give_samples' if front else 'give_steps' if graph.steps else 'give'}.h"),
    )


def _default_vectors(graph: Graph) -> Tensor:
    """Zero, the smallest and the largest input, and random ones; always the same."""
    source, shape = graph.activations[0], (_VECTORS, *graph.input_shape)
    vectors = torch.randint(-128, 128, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    for row, value in enumerate((source.zero_point, -128, 127)):
        vectors[row] = value
    return vectors


def _default_clips(samples: int) -> Tensor:
    """Silence, a square wave of full scale, noise, and a tone that rises; always the same."""
    time = torch.arange(samples, dtype=torch.float64)
    square = torch.where(time.long() // 7 % 2 == 0, 32767, -32768)
    noise = torch.randint(-3000, 3001, (samples,), generator=torch.Generator().manual_seed(0))
    chirp = 10_000 * torch.sin(0.45 * torch.pi * time.square() / samples)
    return torch.stack([torch.zeros(samples), square, noise, chirp.round()]).to(torch.int16)


def _kernels(layers: Sequence[Layer]) -> list[str]:
    """C text of what the network's kernels need, and of the kernels themselves."""
    kinds = {layer.kind for layer in layers} - {""}
    shared = ["types"] if kinds else []
    shared += ["window"] if kinds & set(_WINDOWED) else []
    shared += ["weights"] if kinds & set(_WEIGHTED) else []
    shared += ["requantize"] if kinds & set(_REQUANTIZING) else []
    shared += ["recurrent"] if kinds & set(GATES) else []
    plain = {layer.kind for layer in layers if not layer.code} - {""}
    used = {(layer.kind, layer.encoding) for layer in layers if layer.encoding and layer.code}
    encoded = {(kind, encoding.name, encoding.bits) for kind, encoding in used}
    shared += ["span"] if "max_pool" in plain or "conv" in {kind for kind, _, _ in encoded} else []
    shared += ["output"] if kinds & {"linear", "conv"} else []
    shared += ["dot"] if plain & {"conv", "linear"} else []
    gates = {("recurrent", index, bits) for kind, index, bits in encoded if kind in GATES}
    kernels = [
        _filled(f"kernels/{kind}_encoded.c", index=index, bits=bits)
        for kind, index, bits in (*sorted(gates), *sorted(encoded))
    ]
    decoders = _decoders({(index, bits) for _, index, bits in encoded})
    return [*(_text(f"kernels/{name}.c") for name in (*shared, *sorted(plain))), *decoders, *kernels]


def _decoders(encodings: set[tuple[str, int]]) -> list[str]:
    """C text of the functions that find the next weight of each index in use, and take its value of so many bits."""
    indexes = sorted({index for index, _ in encodings})
    values = [("value_1" if bits == 1 else "value", bits) for bits in sorted({bits for _, bits in encodings})]
    found = [_filled(f"kernels/{name}.c", bits=bits) for name, bits in values]
    found += [_index(index) for index in indexes]
    return [_text("kernels/reader.c"), *found] if found else []


def _index(name: str) -> str:
    if name not in RUN_BITS:
        return _text(f"kernels/{name}.c")
    return _filled("kernels/runs.c", entry=RUN_BITS[name], most=2 ** RUN_BITS[name] - 1)


def _filled(name: str, **values: object) -> str:
    return Template(_text(name)).substitute(values)


def _text(name: str) -> str:
    return (_SOURCE / name).read_text(encoding="utf-8")


def _rows(values: Tensor) -> str:
    """Initializers of a two-dimensional array, one row per sample."""
    return "".join(f"    {{\n{wrapped(row)}    }},\n" for row in values.flatten(1).tolist())


def _float(value: float) -> str:
    """A float32 that the compiler reads back as the same one."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
