"""Quantization-aware training: the network trains on while its tensors are rounded to the steps they will have.

Rounding has no useful gradient; it is taken for the identity within the range, and for a constant beyond it
[Jacob2018]. Ranges of activations stay as they were calibrated, those of weights follow the weights. Batch norm has
been folded before, which is what makes an epoch cheap.

[Jacob2018] Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn


@contextmanager
def rounding(prepared: fx.GraphModule) -> Iterator[None]:
    """Lets a module with calibrated observers round where it observes; afterwards it observes again.

    Args:
        prepared: As torchao prepares it; in the meantime it can be told to train, which torchao forbids.
    """
    observers = {name: part for name, part in prepared.named_children() if hasattr(part, "calculate_qparams")}
    rounders = {id(observer): _Rounding(observer) for observer in observers.values()}
    methods = {name: method for name, method in vars(prepared).items() if name in ("train", "eval")}
    for name in methods:
        delattr(prepared, name)
    for name, observer in observers.items():
        setattr(prepared, name, rounders[id(observer)])
    try:
        yield
    finally:
        for name, value in {**observers, **methods}.items():
            setattr(prepared, name, value)


class _Rounding(nn.Module):
    """Rounds a tensor to the steps that its observer has found; those of a weight are found anew each time."""

    def __init__(self, observer: Any) -> None:
        super().__init__()
        self._observed = (observer,)  # in a tuple, as it is no part of this module
        self._steps = None if observer.qscheme == torch.per_channel_symmetric else observer.calculate_qparams()

    def forward(self, x: Tensor) -> Tensor:
        [observer] = self._observed
        low, high = observer.quant_min, observer.quant_max
        if self._steps is not None:
            scale, zero_point = self._steps
            return torch.fake_quantize_per_tensor_affine(x, scale, zero_point.int(), low, high)
        observer.reset_min_max_vals()
        observer(x.detach())
        scale, zero_point = observer.calculate_qparams()
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point.int(), observer.ch_axis, low, high)
