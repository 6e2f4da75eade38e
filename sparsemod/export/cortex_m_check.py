"""What a network has become for a Cortex-M, and whether its kernels will take it.

ExecuTorch's reference follows any order of axes in memory. Kernels read memory as it lies: those of CMSIS-NN an image
with channels last, portable ones with channels first.
"""

from typing import TYPE_CHECKING

from torch import fx

from sparsemod.errors import SparsemodError

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager
    from torch.export import ExportedProgram

_FIRST, _LAST = (0, 1, 2, 3), (0, 2, 3, 1)
_MOVES = ("view_copy", "cat", "slice_copy", "permute_copy")
_IN_ORDER = (*_MOVES, "transpose", "softmax", "native_layer_norm", "add", "mul")
"""Their kernels take channels first, others last."""

_EITHER = ("_clone_dim_order", "max_pool2d_with_indices", "upsample_nearest2d")
_ANY = ("quantize_per_tensor", "dequantize_per_tensor", "quantized_activation")
_LENIENT = ("view_copy", "transpose", "softmax")
"""Those that do not look at the strides of axes with one element; neither do others of CMSIS-NN."""

_PAIRS = ("quantized_add", "quantized_mul", "cat", "add", "mul")
"""Those whose first input is not the only one that is no weight."""


def operators(lowered: "ExportedProgram") -> list[tuple[str, str, fx.Node]]:
    """Dialect, name and node of each, such as cortex_m and quantized_add."""
    called = [node for node in lowered.graph.nodes if node.op == "call_function"]
    names = [str(node.target.__name__).split(".") for node in called]
    return [(name[0], name[1], node) for name, node in zip(names, called, strict=True) if len(name) > 1]


def portable(lowered: "ExportedProgram") -> tuple[str, ...]:
    """Operators that compute, and are not of CMSIS-NN."""
    others = {name for dialect, name, _ in operators(lowered) if dialect != "cortex_m"}
    return tuple(sorted(others - {*_MOVES, "_clone_dim_order"}))


def require_layouts(lowered: "ExportedProgram") -> None:
    """Raises SparsemodError if a kernel would read an image in another order than it has."""
    from executorch.exir.tensor import dim_order_from_stride

    for dialect, name, node in operators(lowered):
        if name in _ANY:
            continue
        lenient = name in _LENIENT or (dialect == "cortex_m" and name not in _IN_ORDER)
        wanted = (_FIRST, _LAST) if name in _EITHER else (_FIRST if name in _IN_ORDER else _LAST,)
        for source in node.all_input_nodes if name in _PAIRS else node.all_input_nodes[:1]:
            image = source.meta["val"]
            if image.dim() != 4 or (lenient and (image.shape[1] == 1 or image[0, 0].numel() == 1)):
                continue
            if tuple(dim_order_from_stride(image.stride())) not in wanted:
                raise SparsemodError(f"{name} would read an image in an order that it has not")


def require_kernels(made: "ExecutorchProgramManager") -> None:
    """Raises SparsemodError if the program needs a portable kernel that ExecuTorch has not."""
    import executorch.kernels.quantized  # noqa: F401 - registers the operators that quantize
    from executorch.runtime import Runtime

    known = Runtime.get().operator_registry.operator_names
    needed = {f"{op.name}.{op.overload}" for plan in made.executorch_program.execution_plan for op in plan.operators}
    missing = sorted(name for name in needed - set(known) if not name.startswith("cortex_m::"))
    if missing:
        raise SparsemodError(f"ExecuTorch has no kernel for {', '.join(missing)}")
