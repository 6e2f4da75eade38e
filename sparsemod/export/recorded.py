"""Inputs that are recorded with exported C, the outputs that the executor gives for them, and how far C may be off.

Integers agree bit for bit. Sums in float32 depend on their order, and C libraries differ in the last bits of exp and
tanh, so that real outputs agree within a tolerance. Where float parts write int8 for others to read, a value close to
half a step may become the next one: that is a larger difference, but a rare one.

Largest differences measured, relative to the largest output: 4e-6 in 440 random networks without such steps, and 1e-3
behind 20,000 steps; of int8 outputs one step.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sparsemod.export.layer import number, wrapped
from sparsemod.export.texts import filled, text
from sparsemod.graph import Activation, Graph, run

_VECTORS = 8
_STEPS = 1
"""By which an int8 output may be off that follows float parts."""
_MILLIONTHS, _MILLIONTHS_BEHIND_STEPS = 100, 10_000
"""Of the largest output, by which real outputs may be off, without and with int8 between float parts."""


def given(graph: Graph) -> Activation:
    """The input as a program writes it, or a front end, whose features are int8."""
    source, front = graph.activations[0], graph.frontend
    return source if front is None or source.itemsize == 1 else replace(source, itemsize=1, scale=front.scale)


def tolerance(graph: Graph) -> dict[str, int]:
    """By how much an output may be off, by unit; nothing if the network is int8 throughout."""
    if graph.exact:
        return {}
    if graph.activations[graph.output].itemsize == 1:
        return {"tolerance_steps": _STEPS}
    written = [graph.activations[operator.output] for operator in graph.operators if not graph.integer(operator)]
    rounded = any(activation.itemsize == 1 for activation in written)
    return {"tolerance_millionths": _MILLIONTHS_BEHIND_STEPS if rounded else _MILLIONTHS}


def files(graph: Graph, vectors: Tensor) -> Mapping[str, str]:
    """Recorded inputs and outputs, and the program that compares.

    Args:
        graph: The network.
        vectors: Inputs as the program gets them, (N, *input_shape), or clips (N, S) if there is a front end.
    """
    front, source, target = graph.frontend, given(graph), graph.activations[graph.output]
    inputs = vectors if front is None else front(vectors)
    outputs = run(graph, (inputs.float() - source.zero_point) * source.scale)
    if target.itemsize == 1:
        outputs = (torch.round(outputs / target.scale) + target.zero_point).to(torch.int8)
    return {
        "test/vectors.h": filled(
            "test/vectors.h",
            vectors=len(vectors),
            type=ctype(vectors),
            count="FRONTEND_SAMPLES" if front else "NET_STEPS * NET_INPUT_SIZE" if graph.steps else "NET_INPUT_SIZE",
            inputs=_rows(vectors),
            output_type=ctype(outputs),
            outputs=_rows(outputs),
            format="%g" if outputs.is_floating_point() else "%d",
            agreement=_agreement(tolerance(graph), outputs),
            give=text(f"test/{'give_samples' if front else 'give_steps' if graph.steps else 'give'}.h"),
        ),
        "test/test_main.c": text("test/test_main.c"),
    }


def _agreement(allowed: Mapping[str, int], outputs: Tensor) -> str:
    """C text of what counts as the same output for every program that compares, and what they print of it."""
    if not allowed:
        return text("test/exact.h")
    steps, millionths = allowed.get("tolerance_steps"), allowed.get("tolerance_millionths", 0)
    most = float(outputs.abs().max()) * millionths / 1e6 if steps is None else float(steps)
    return filled("test/tolerance.h", tolerance=number(most))


def ctype(values: Tensor) -> str:
    """What the elements of a tensor are in C."""
    return "float" if values.is_floating_point() else f"{str(values.dtype).removeprefix('torch.')}_t"


def default_vectors(graph: Graph) -> Tensor:
    """Inputs that are always the same: a few extreme ones, and random ones."""
    if graph.frontend is not None:
        return _clips(graph.frontend.samples)
    source, shape, rng = graph.activations[0], (_VECTORS, *graph.input_shape), torch.Generator().manual_seed(0)
    tables = [operator.weight for operator in graph.operators if operator.kind == "embedding"]
    if source.itemsize == 1:
        vectors = torch.randint(-128, 128, shape, dtype=torch.int8, generator=rng)
        extreme = (source.zero_point, -128, 127)
    elif tables and tables[0] is not None:
        rows = len(tables[0])
        vectors, extreme = torch.randint(rows, shape, generator=rng).float(), (0, rows - 1, rows + 3)
    else:
        vectors, extreme = torch.randn(shape, generator=rng), (0, -4, 4)
    for row, value in enumerate(extreme):
        vectors[row] = value
    return vectors


def _clips(samples: int) -> Tensor:
    """Silence, a square wave of full scale, noise, and a tone that rises."""
    time = torch.arange(samples, dtype=torch.float64)
    square = torch.where(time.long() // 7 % 2 == 0, 32767, -32768)
    noise = torch.randint(-3000, 3001, (samples,), generator=torch.Generator().manual_seed(0))
    chirp = 10_000 * torch.sin(0.45 * torch.pi * time.square() / samples)
    return torch.stack([torch.zeros(samples), square, noise, chirp.round()]).to(torch.int16)


def _rows(values: Tensor) -> str:
    """Initializers of a two-dimensional array, one row per sample."""
    return "".join(f"    {{\n{wrapped(row)}    }},\n" for row in values.flatten(1).tolist())
