"""A `Graph` as a program of ExecuTorch: real numbers in and out, int8 weights, and int8 between the layers.

For a Cortex-M it is written for the integer kernels of CMSIS-NN, see `cortex_m`; for larger processors for those of
XNNPACK. Networks that these refuse, or fail at, are written for the portable kernels of ExecuTorch, which compute each
operator in float between int8 activations. The program takes one sample at a time. It is run before it is written, for
a Cortex-M by ExecuTorch's reference of the kernels.
"""

import logging
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sparsemod.errors import InputError, SparsemodError
from sparsemod.export import artefact
from sparsemod.export.qdq import Qdq
from sparsemod.export.whole import Whole, compare, inputs_of, require_whole
from sparsemod.graph import Graph

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager

for _name in ("torchao", "executorch", "torch.utils._pytree"):  # they warn of what is missing and not needed
    logging.getLogger(_name).setLevel(logging.ERROR)


KERNELS = ("cortex-m", "xnnpack", "portable")


@dataclass(frozen=True)
class Exported:
    """A file beside its network.

    Attributes:
        whole: How far ExecuTorch is from the network.
        kernels: One of `KERNELS`.
        note: Which operators the wanted kernels do not compute; empty if they compute all.
    """

    whole: Whole
    kernels: str
    note: str = ""


def export(graph: Graph, path: str | Path, kernels: str = "xnnpack", core: str = "") -> Exported:
    """Writes a network as `.pte`, after ExecuTorch has computed the same with it.

    Args:
        graph: As `compress.quantize.lower` makes it, of any scheme.
        path: A new file.
        kernels: One of `KERNELS`; those that cannot compute the network give way to the portable ones.
        core: The processor, such as Cortex-M4, of a program with kernels for it.

    Raises:
        InputError: The file exists or cannot be written, the network takes one step at a time, the package executorch
            is missing, or it has no kernels for the core.
        SparsemodError: ExecuTorch computes something else; nothing is written.
    """
    path = Path(path)
    artefact.require_new(path)
    require_whole(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those between PyTorch and ExecuTorch are theirs to mend
        exported, content = _exported(graph, kernels, core)
    artefact.write_file(path, content)
    return exported


def _exported(graph: Graph, kernels: str, core: str) -> tuple[Exported, bytes]:
    try:
        import executorch.kernels.quantized  # noqa: F401 - registers the operators that quantize
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, for ExecuTorch: pip install 'sparsemod[executorch]'"
        ) from None
    if kernels == "cortex-m":
        return _for_cortex_m(graph, core)
    if kernels == "xnnpack":
        try:
            return _run(graph, "xnnpack")
        except (AssertionError, RuntimeError, SparsemodError):  # its partitioner, its runtime, or its results
            pass
    return _run(graph, "portable")


def _for_cortex_m(graph: Graph, core: str) -> tuple[Exported, bytes]:
    from sparsemod.export import cortex_m

    target = cortex_m.target(core)
    try:
        made = cortex_m.program(graph, target)
    except Exception as error:  # of the passes, which raise nothing narrower
        reason = (str(error) or type(error).__name__).splitlines()[0]
        exported, content = _run(graph, "portable")
        return replace(exported, note=f"not written for {core}: {reason}"), content
    note = f"portable kernels compute {', '.join(made.portable)}" if made.portable else ""
    return Exported(made.whole, "cortex-m", note), made.content


def _run(graph: Graph, kernels: str) -> tuple[Exported, bytes]:
    """A program that this machine can run, and has run."""
    from executorch.runtime import Runtime

    program = _program(graph, delegated=kernels == "xnnpack")
    method = Runtime.get().load_program(program.buffer).load_method("forward")
    whole = compare(graph, lambda x: _only(method.execute([x.contiguous()])))
    return Exported(whole, kernels), program.buffer


def _program(graph: Graph, delegated: bool) -> "ExecutorchProgramManager":
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    traced = torch.export.export(Qdq(graph).eval(), (inputs_of(graph)[:1],))
    return to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()] * delegated).to_executorch()


def _only(outputs: "list[Tensor]") -> Tensor:
    (output,) = outputs
    return output
