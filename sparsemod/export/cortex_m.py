"""A `Graph` as a program of ExecuTorch for a Cortex-M, with the integer kernels of CMSIS-NN.

The network is brought into operators that CMSIS-NN has and traced with int8 between them; passes of ExecuTorch make
each an operator `cortex_m::*`. The program itself cannot run here, since its kernels are built for the device. Its
operators can, before they are serialized: ExecuTorch has a reference of each in PyTorch, with the same integers.

The reference follows any order of axes in memory, and kernels do not: that order is checked too.
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from sparsemod.errors import InputError, SparsemodError
from sparsemod.export.cmsis_nn import rewritten
from sparsemod.export.cortex_m_network import Network, marked
from sparsemod.export.whole import Whole, compare, inputs_of
from sparsemod.graph import Graph

if TYPE_CHECKING:
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.exir import ExecutorchProgramManager
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
    if any(activation.itemsize != 1 for activation in graph.activations):
        raise InputError("the network has float parts; search with [TRAIN] quant_scheme = post")
    with _without_tosa():
        from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge

    config = EdgeCompileConfig(preserve_ops=[torch.ops.aten.silu.default], _check_ir_validity=False)
    edge = to_edge(_traced(graph), compile_config=config)
    lowered = CortexMPassManager(edge.exported_program(), target_config=target).transform()
    _require_layouts(lowered)
    portable, reference = _portable(lowered), _Reference(lowered.module(check_guards=False))
    whole = compare(graph, lambda x: reference.run(marked(x)), _VECTORS)
    made = EdgeProgramManager(lowered, compile_config=config).to_executorch()  # this changes `lowered`
    _require_kernels(made)
    return Program(made.buffer, whole, portable)


class _Reference(fx.Interpreter):
    """Computes a lowered network. PyTorch has no dilated integer convolutions: zeros between their weights do the same."""

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

    traced = torch.export.export(Network(rewritten(graph)).eval(), (marked(inputs_of(graph)[:1]),))
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


_KERNELS = ("conv2d", "max_pool2d", "avg_pool2d", "softmax", "sigmoid", "tanh", "silu", "gelu", "pad")
_INTEGER = (*_KERNELS, "cat", "reshape", "view", "flatten", "permute", "slice", "narrow", "clone", "contiguous")
"""Operators of ATen that kernels take in integers: those of CMSIS-NN, and portable ones that move numbers."""

_MOVING = ("view_copy", "cat", "slice_copy", "_clone_dim_order", "_to_dim_order_copy")
_ORDERED = ("view_copy", "cat", "slice_copy", "transpose", "softmax", "native_layer_norm")
"""Their kernels take the order of the network; others of CMSIS-NN channels last."""

_SEVERAL = ("quantized_add", "quantized_mul", "cat")
_ANY_ORDER = ("quantize_per_tensor", "dequantize_per_tensor", "quantized_activation")


def _operators(lowered: "ExportedProgram") -> list[tuple[str, str, fx.Node]]:
    """Dialect, name and node of each, such as cortex_m and quantized_add."""
    called = [node for node in lowered.graph.nodes if node.op == "call_function"]
    names = [str(node.target.__name__).split(".") for node in called]
    return [(name[0], name[1], node) for name, node in zip(names, called, strict=True) if len(name) > 1]


def _portable(lowered: "ExportedProgram") -> tuple[str, ...]:
    """Operators that compute, and are not of CMSIS-NN."""
    others = {name for dialect, name, _ in _operators(lowered) if dialect != "cortex_m"}
    return tuple(sorted(others - set(_MOVING)))


def _require_layouts(lowered: "ExportedProgram") -> None:
    """Kernels read memory as it lies; the reference, which follows any order, would not notice.

    Raises:
        SparsemodError: One would read an image in another order than it has.
    """
    from executorch.exir.tensor import dim_order_from_stride

    for dialect, name, node in _operators(lowered):
        if name in _ANY_ORDER or (dialect != "cortex_m" and name not in _ORDERED):
            continue
        wanted = (0, 1, 2, 3) if name in _ORDERED else (0, 2, 3, 1)
        sources = node.all_input_nodes if name in _SEVERAL else node.all_input_nodes[:1]
        for image in (source.meta["val"] for source in sources if source.meta["val"].dim() == 4):
            one_order = image.shape[1] == 1 or set(image.shape[2:]) == {1}
            if one_order and (dialect == "cortex_m" or name == "view_copy"):  # others go by the strides
                continue
            if tuple(dim_order_from_stride(image.stride())) != wanted:
                raise SparsemodError(f"{name} would read an image in an order that it has not")


def _require_kernels(made: "ExecutorchProgramManager") -> None:
    """Portable kernels that the program needs, and ExecuTorch has not.

    Raises:
        SparsemodError: There are such.
    """
    import executorch.kernels.quantized  # noqa: F401 - registers the operators that quantize
    from executorch.runtime import Runtime

    known = Runtime.get().operator_registry.operator_names
    needed = {f"{op.name}.{op.overload}" for plan in made.executorch_program.execution_plan for op in plan.operators}
    missing = sorted(name for name in needed - set(known) if not name.startswith("cortex_m::"))
    if missing:
        raise SparsemodError(f"ExecuTorch has no kernel for {', '.join(missing)}")
