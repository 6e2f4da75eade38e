"""Quantization-aware training: the network trains on while its tensors are rounded to the steps they will have.

Rounding has no useful gradient; it is taken for the identity within the range, and for a constant beyond it
[Jacob2018]. Ranges of activations stay as they were calibrated, those of weights of 8 bits follow the weights. Of fewer
bits the scales stay, too: the one of least squared error jumps as weights move, and a whole channel with it, which cost
a point on CIFAR-10. Batch norm has been folded before, which is what makes an epoch cheap.

[Jacob2018] Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018.
[Izmailov2018] Averaging weights leads to wider optima and better generalization, UAI 2018, arXiv 1803.05407.
[Nagel2022] Overcoming oscillations in quantization-aware training, ICML 2022, arXiv 2203.11086.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from sparsemod.compress.prune import keeping_zeros


def settling(network: nn.Module) -> Callable[[int, int], None]:
    """After-step hook for training after the ramp: zeros stay zeros, and the end is the mean of the last eighth.

    A weight near the middle of two steps swings between them until the last step of training [Nagel2022]; its mean
    [Izmailov2018] comes to rest, as under a falling learning rate, whatever loop trains. Over half of the training it
    lagged behind where weights have 2 bits.

    Args:
        network: Trained elsewhere; its weights are changed in place.
    """
    keep = keeping_zeros(network)
    means: list[Tensor] = []

    def settle(step: int, steps: int) -> None:
        keep(step, steps)
        count = step - steps + max(1, steps // 8)
        if count < 1:
            return
        with torch.no_grad():
            if count == 1:
                means[:] = [parameter.detach().clone() for parameter in network.parameters()]
            for mean, parameter in zip(means, network.parameters(), strict=True):
                mean.lerp_(parameter, 1 / count)
                if step == steps:
                    parameter.copy_(mean)

    return settle


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
    """Rounds a tensor to the steps that its observer has found; for a weight of 8 bits it finds them anew each time."""

    def __init__(self, observer: Any) -> None:
        super().__init__()
        self._observed = (observer,)  # in a tuple, as it is no part of this module
        self._by_channel = observer.qscheme == torch.per_channel_symmetric
        self._follows = self._by_channel and observer.quant_max == 127
        self._steps = observer.calculate_qparams()

    def forward(self, x: Tensor) -> Tensor:
        [observer] = self._observed
        if self._follows:
            observer.reset_min_max_vals()
            observer(x.detach())
            self._steps = observer.calculate_qparams()
        scale, zero_point = self._steps
        low, high = observer.quant_min, observer.quant_max
        if self._by_channel:
            return torch.fake_quantize_per_channel_affine(x, scale, zero_point.int(), observer.ch_axis, low, high)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point.int(), low, high)
