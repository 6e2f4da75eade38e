"""An accelerator where there is none: tensors that are somewhere else, and refuse to meet those that are not.

They compute as the processor does, so what is trained there must be the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"
"""A device that PyTorch has a name for, and whose gradients it computes in the thread that asks, but no kernels."""

_aten = torch.ops.aten
_BETWEEN = (_aten._to_copy.default, _aten.copy_.default)
_INDEXING = (_aten.index.Tensor, _aten.index_put_.default)
"""Like CUDA they take positions that lie in the memory of the processor."""


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Within, PyTorch has an accelerator of that name."""
    fused = patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: ["cpu", NAME])
    with fused, patch.object(nn.Module, "to", _moved), _Elsewhere():
        yield torch.device(NAME)


_to = nn.Module.to


def _moved(network: nn.Module, *places: torch.device, **formats: torch.memory_format) -> nn.Module:
    """As on a real accelerator, a parameter stays the same object where its numbers move."""
    torch.__future__.set_swap_module_params_on_conversion(bool(places))
    try:
        return _to(network, *places, **formats)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


class Away(Tensor):
    """A tensor on the accelerator; `kept` holds its numbers."""

    kept: Tensor

    @staticmethod
    def __new__(cls, kept: Tensor) -> "Away":
        """As it looks from outside."""
        away: Away = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]  # not in torch's stubs
            cls, kept.shape, strides=kept.stride(), storage_offset=kept.storage_offset(), dtype=kept.dtype, device=NAME
        )
        away.kept = kept
        return away

    @classmethod
    def __torch_dispatch__(cls, *call: Any, **rest: Any) -> Any:
        """Every operation on it."""
        return _computed(*call, **rest)


class _Elsewhere(TorchDispatchMode):
    """Operations that make such tensors from others, or from nothing."""

    def __torch_dispatch__(self, *call: Any, **rest: Any) -> Any:
        return _computed(*call, **rest)


def _computed(
    func: Callable[..., Any],
    types: Sequence[type],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    kwargs = kwargs or {}
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    away = {id(tensor.kept): tensor for tensor in tensors if isinstance(tensor, Away)}
    here = [tensor for tensor in tensors if not isinstance(tensor, Away) and tensor.dim()]
    if away and here and func not in (*_BETWEEN, *_INDEXING):
        raise RuntimeError(f"{func}: tensors on {NAME} and in the memory of the processor")
    goes_there = isinstance(args[0], Away) if func is _aten.copy_.default else bool(away)
    if kwargs.get("device") is not None:
        goes_there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if goes_there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: a generator of the processor cannot draw numbers on {NAME}")
    args, kwargs = tree_map(lambda leaf: leaf.kept if isinstance(leaf, Away) else leaf, (args, kwargs))
    found = func(*args, **kwargs)

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return away.get(id(leaf)) if id(leaf) in away else Away(leaf) if goes_there else leaf

    return tree_map(placed, found)
