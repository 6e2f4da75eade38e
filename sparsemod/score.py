"""A network that came from no search: from its name to the graph that its costs are read off."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from sparsemod import importer
from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, trace
from sparsemod.graph.streaming import streamed
from sparsemod.locate import locate


def graph_of(
    name: str,
    input_shape: Sequence[int] | None = None,
    scheme: str = "post",
    folder: Path | None = None,
    streaming: bool = False,
) -> Graph:
    """The graph of a module with its weights; nothing is quantized, so `scheme` only sets the bytes per element.

    Args:
        name: `package.module:name` or `path/to/file.py:name` of a module, or of a class or function without arguments
            that makes one; or a float ONNX file, whose name ends in .onnx.
        input_shape: Without the batch, such as (C, H, W); an ONNX file says it itself.
        scheme: post, dynamic, both or none, as in `[TRAIN] quant_scheme`.
        folder: What a relative path is relative to; the current folder if not given.
        streaming: One step at a time, as `[TRAIN] streaming`.

    Raises:
        InputError: There is no module, no shape or another than that of the file, the module cannot process an input
            of this shape or cannot be streamed, or it uses an operator that cannot be costed.
    """
    module = load_module(name, folder)
    own = module.input_shape if isinstance(module, importer.Network) else None
    if own is not None and input_shape is not None and tuple(input_shape) != own:
        raise InputError(f"{name} takes an input of {_by(own)}, not {_by(input_shape)}; leave out --input")
    shape = input_shape or own
    if shape is None:
        raise InputError("--input is missing: the shape of one sample, channels first, such as 1x28x28")
    try:
        graph = trace(module, shape, scheme)
        return streamed(graph) if streaming else graph
    except Infeasible as reason:
        raise InputError(f"{name}: {reason}") from None


def load_module(name: str, folder: Path | None = None) -> nn.Module:
    """The module that a name names.

    Raises:
        InputError: Nothing there, it does not import, it fails, it is not a module, or an ONNX file that is not read.
    """
    if name.endswith(".onnx"):
        return importer.read((folder or Path()) / name)
    found = locate(name, folder, nn.Module)
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"{name}(), called without arguments, raised {type(error).__name__}: {error}") from error
    if not isinstance(found, nn.Module):
        raise InputError(
            f"{name} is a {type(found).__name__}; it must be an nn.Module, or a class or function without arguments "
            "that makes one"
        )
    return found


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape of one sample from a text such as `1x28x28`.

    Raises:
        InputError: It is not a shape.
    """
    sizes = text.lower().split("x")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--input {text}: must read like 1x28x28, channels first, or 640 for a flat input")
    return tuple(int(size) for size in sizes)
