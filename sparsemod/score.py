"""A network that came from no search: from its name to the graph that its costs are read off."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, trace
from sparsemod.locate import locate


def graph_of(name: str, input_shape: Sequence[int], scheme: str = "post", folder: Path | None = None) -> Graph:
    """The graph of a module with its weights; nothing is quantized, so `scheme` only sets the bytes per element.

    Args:
        name: `package.module:name` or `path/to/file.py:name` of a module, or of a class or function without arguments
            that makes one.
        input_shape: Without the batch, such as (C, H, W).
        scheme: post, dynamic, both or none, as in `[TRAIN] quant_scheme`.
        folder: What a relative path is relative to; the current folder if not given.

    Raises:
        InputError: There is no module, it cannot process an input of this shape, or it uses an operator that cannot be
            costed.
    """
    module = load_module(name, folder)
    try:
        return trace(module, input_shape, scheme)
    except Infeasible as reason:
        raise InputError(f"{name}: {reason}") from None


def load_module(name: str, folder: Path | None = None) -> nn.Module:
    """The module that a name names.

    Raises:
        InputError: Nothing there, it does not import, it fails, or it is not a module.
    """
    if name.endswith(".onnx"):
        raise InputError(f"{name}: ONNX files are not read; name the nn.Module it was exported from, as file.py:name")
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


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape of one sample from a text such as `1x28x28`.

    Raises:
        InputError: It is not a shape.
    """
    sizes = text.lower().split("x")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--input {text}: must read like 1x28x28, channels first, or 640 for a flat input")
    return tuple(int(size) for size in sizes)
