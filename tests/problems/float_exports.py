"""Float networks as C: what counts as close, and what a test of them needs."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes, plan
from sparsemod.export import Check, export, verify
from sparsemod.graph import Graph, trace

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
needs_emulators = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "nm", "arm-none-eabi-gcc", "qemu-system-arm", "avr-gcc", "simavr"))),
    reason="a C compiler, arm-none-eabi-gcc, qemu-system-arm, avr-gcc or simavr is not installed",
)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CLOSE, CLOSE_BEHIND_STEPS, STEP = (
    *("vectors within 0.0001 of the largest output", "vectors within 0.01 of the largest output"),
    "vectors within 1 step",
)


def require_close(graph: Graph, folder: Path, name: str = "", *flags: str) -> list[Check]:
    """Exports, and requires that the host finds all vectors close, and exactly the predicted bytes."""
    export(graph, folder)
    vectors, arena, constants = checks = verify(folder, flags, emulate=False)
    kinds = [operator.kind for operator in graph.operators]
    assert vectors.ok and (not name or vectors.name == name), (vectors, kinds)
    if not flags:  # sanitizers add data of their own
        assert (arena.found, constants.found) == (plan(graph).size, model_size_bytes(graph)), kinds
    return checks


def real(module: nn.Module, *shape: int, scheme: str = "none") -> Graph:
    """Lowered, with the costs that were predicted from the trace."""
    x = torch.randn(8, *shape)
    graph, traced = lower(module.eval(), [x], scheme), trace(module, shape, scheme)
    assert plan(graph).size == plan(traced).size
    assert model_size_bytes(graph) <= model_size_bytes(traced)
    return graph
