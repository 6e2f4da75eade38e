"""A `Graph` as a program of ExecuTorch: real numbers in and out, int8 weights, and int8 between the layers.

The integer kernels of XNNPACK compute it where they take the network. Some they refuse, or fail at when it runs: those
are written for the portable kernels of ExecuTorch, which compute each operator in float between int8 activations. The
program, which takes one sample at a time, is run before it is written.
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sparsemod.errors import InputError, SparsemodError
from sparsemod.export import artefact
from sparsemod.export.qdq import Qdq
from sparsemod.export.whole import Whole, compare, inputs_of
from sparsemod.graph import Graph

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager

for _name in ("torchao", "executorch", "torch.utils._pytree"):  # they warn of what is missing and not needed
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Exported:
    """A file beside its network.

    Attributes:
        whole: How far ExecuTorch is from the network.
        kernels: XNNPACK or portable.
    """

    whole: Whole
    kernels: str


def export(graph: Graph, path: str | Path) -> Exported:
    """Writes a network as `.pte`, after ExecuTorch has computed the same with it.

    Args:
        graph: As `compress.quantize.lower` makes it, of any scheme.
        path: A new file.

    Raises:
        InputError: The file exists or cannot be written, or the package executorch is missing.
        SparsemodError: ExecuTorch computes something else; nothing is written.
    """
    path = Path(path)
    artefact.require_new(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those between PyTorch and ExecuTorch are theirs to mend
        exported, content = _exported(graph)
    artefact.write_file(path, content)
    return exported


def _exported(graph: Graph) -> tuple[Exported, bytes]:
    try:
        import executorch.kernels.quantized  # noqa: F401 - registers the operators that quantize
        from executorch.runtime import Runtime
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, for ExecuTorch: pip install 'sparsemod[executorch]'"
        ) from None

    def found(program: "ExecutorchProgramManager") -> Whole:
        method = Runtime.get().load_program(program.buffer).load_method("forward")
        return compare(graph, lambda x: _only(method.execute([x.contiguous()])))

    kernels = "XNNPACK"
    try:
        program = _program(graph, delegated=True)
        whole = found(program)
    except (AssertionError, RuntimeError, SparsemodError):  # its partitioner, its runtime, or its results
        kernels = "portable"
        program = _program(graph, delegated=False)
        whole = found(program)
    return Exported(whole, kernels), program.buffer


def _program(graph: Graph, delegated: bool) -> "ExecutorchProgramManager":
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    traced = torch.export.export(Qdq(graph).eval(), (inputs_of(graph)[:1],))
    return to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()] * delegated).to_executorch()


def _only(outputs: "list[Tensor]") -> Tensor:
    (output,) = outputs
    return output
