"""A `Graph` as a program of ExecuTorch for a Cortex-M, with the integer kernels of CMSIS-NN.

The network is brought into operators that CMSIS-NN has and traced with int8 between them; passes of ExecuTorch make
each an operator `cortex_m::*`. The program itself cannot run here, since its kernels are built for the device. Its
operators can, before they are serialized: ExecuTorch has a reference of each in PyTorch, with the same integers.

`cortex_m_check` looks for what the reference does not show.
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from sparsemod.errors import InputError, SparsemodError
from sparsemod.export.cmsis_nn import rewritten
from sparsemod.export.cortex_m_check import operators, portable, require_kernels, require_layouts
from sparsemod.export.cortex_m_network import Network, channels_last
from sparsemod.export.whole import Whole, compare, inputs_of
from sparsemod.graph import Graph

if TYPE_CHECKING:
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from torch.export import ExportedProgram

_VECTORS = 32
"""Inputs that are compared: the reference takes up to half a second for each."""


@dataclass(frozen=True, eq=False)
class Program:
    """A program and how it was checked.

    Attributes:
        content: Of the file.
        whole: How far ExecuTorch's reference is from the network.
        portable: Operators that no kernel of CMSIS-NN computes, but a portable one of ExecuTorch.
    """

    content: bytes
    whole: Whole
    portable: tuple[str, ...]


def target(core: str) -> "CortexMTargetConfig":
    """What ExecuTorch knows of a processor.

    Args:
        core: As `Device` names it, such as Cortex-M4.

    Raises:
        InputError: It is none that ExecuTorch has Cortex-M kernels for.
    """
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig

    try:
        return CortexMTargetConfig.from_target_string(core.lower().replace("+", "plus"))
    except ValueError:
        name = f"the processor {core}" if core else "a processor that is not named"
        raise InputError(f"ExecuTorch has no Cortex-M kernels for {name}; choose a device with a Cortex-M") from None


def program(graph: Graph, target: "CortexMTargetConfig") -> Program:
    """The network for a processor.

    Args:
        graph: Int8 throughout, as `compress.quantize.lower` makes it.
        target: As `target` gives it.

    Raises:
        InputError: The network has float parts, or operators that cannot be written.
        SparsemodError: ExecuTorch computes something else.
        Exception: The passes of ExecuTorch fail.
    """
    if not graph.exact:
        raise InputError("the network has float parts; search with [TRAIN] quant_scheme = post")
    with _without_tosa():
        from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge

    config = EdgeCompileConfig(_check_ir_validity=False)  # int8 is not in the types that it allows
    edge = to_edge(_traced(graph), compile_config=config)
    lowered = CortexMPassManager(edge.exported_program(), target_config=target).transform()
    _set_tables(lowered, graph)
    require_layouts(lowered)
    left, reference = portable(lowered), _Reference(lowered.module(check_guards=False))
    whole = compare(graph, lambda x: reference.run(channels_last(x)), _VECTORS)
    made = EdgeProgramManager(lowered, compile_config=config).to_executorch()  # this changes `lowered`
    require_kernels(made)
    return Program(made.buffer, whole, left)


class _Reference(fx.Interpreter):
    """Computes a lowered network; for dilated convolutions, which PyTorch has not for integers, with zeros between."""

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operator."""
        dilated = "conv2d" in target.__name__ and set(args[5]) != {1}
        made = (args[0], _spread(args[1], args[5]), *args[2:5], (1, 1), *args[6:]) if dilated else args
        return super().call_function(target, made, kwargs)


def _spread(weight: Tensor, dilation: Sequence[int]) -> Tensor:
    """A kernel (O, H, W, I) as large as it reaches."""
    high, wide = (1 + (size - 1) * step for size, step in zip(weight.shape[1:3], dilation, strict=True))
    spread = weight.new_zeros(len(weight), high, wide, weight.shape[3])
    spread[:, :: dilation[0], :: dilation[1]] = weight
    return spread


@contextmanager
def _without_tosa() -> Iterator[None]:
    """Lets the passes be imported where the package tosa-tools is missing, which refuses the numpy that others need.

    They share a package with those of other processors, which import TOSA's serializer. For a Cortex-M nothing of it is
    called, so something stands in for it that has every name.
    """
    name = "tosa_serializer"
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        yield
        return
    sys.modules[name] = _Name(name, (), {})  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


class _Name(type):
    """A class whose attributes are such classes."""

    def __getattr__(cls, name: str) -> "_Name":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(name, (), {})


# --- what the passes get, and what they make of it ------------------------------------------------------------------


def _traced(graph: Graph) -> "ExportedProgram":
    """With a mark on each operator that shall take integers; the passes leave the others in float."""
    from executorch.backends.arm.common.annotation_meta import ArmAnnotationInfo

    traced = torch.export.export(Network(rewritten(graph)).eval(), (channels_last(inputs_of(graph)[:1]),))
    for node in traced.graph_module.graph.nodes:
        if _integer(node):
            mark = {ArmAnnotationInfo.CUSTOM_META_KEY: ArmAnnotationInfo(quantized=True)}
            node.meta["custom"] = {**node.meta.get("custom", {}), **mark}
    return traced


def _integer(node: fx.Node) -> bool:
    """Whether a kernel takes its integers; one that adds or multiplies spreads nothing but one number per channel."""
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    if name not in ("add", "mul"):
        return name in _INTEGER
    one, *_, other = sorted((source.meta["val"] for source in node.all_input_nodes * 2), key=Tensor.numel)
    per_channel = one.dim() == other.dim() == 4 and one.numel() == one.shape[1] == other.shape[1]
    return bool(one.shape == other.shape or per_channel)


_KERNELS = ("conv2d", "max_pool2d", "avg_pool2d", "softmax", "sigmoid", "pad")
_INTEGER = (*_KERNELS, "cat", "reshape", "view", "flatten", "permute", "slice", "narrow", "clone", "contiguous")
"""Operators of ATen that kernels take in integers: those of CMSIS-NN, and portable ones that move numbers."""


def _set_tables(lowered: "ExportedProgram", graph: Graph) -> None:
    """Gives each function its own table: all of them were traced as a sigmoid.

    Raises:
        SparsemodError: There are not as many tables as functions.
    """
    tables = [operator.table for operator in graph.operators if operator.kind == "function"]
    found = [node for _, name, node in operators(lowered) if name == "quantized_activation"]
    if len(found) != len(tables):
        raise SparsemodError(f"ExecuTorch has made {len(found)} tables of {len(tables)} functions")
    for node, table in zip(found, tables, strict=True):
        assert isinstance(node.args[1], fx.Node) and table is not None
        lowered.state_dict[lowered.graph_signature.inputs_to_parameters[node.args[1].name]] = nn.Parameter(
            table, requires_grad=False
        )
