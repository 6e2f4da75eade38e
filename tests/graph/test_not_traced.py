"""Networks that no graph can be made of, and inputs that do not fit."""

import copy
from collections.abc import Callable

import pytest
import torch
from problems.modules import Calls
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import trace


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus()), (3, 8, 8), r"operator 'softplus' .*ReLU.*\(in module '1'\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)), (3, 8, 8), r"softmax is supported over the last axis"),
        (nn.Sequential(nn.Linear(4, 4), nn.CELU()), (4,), r"operator 'celu' .*\(in module '1'\)"),
        (nn.Sequential(nn.RNN(8, 6, batch_first=True)), (5, 8), r"operator 'rnn_tanh' .*LSTM.*\(in module '0'\)"),
        (
            Calls(lambda x, a, b: torch.cat([a(x), b(x)], 0), nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)),
            (3, 8, 8),
            r"along the batch cannot be costed \(in the forward of the network itself\)",
        ),
        (
            nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3))),
            (3, 8, 8),
            r"transposed convolution cannot be costed \(in module '0.1'\)",
        ),
        (nn.Conv3d(1, 2, 3), (1, 5, 5, 5), "convolution is supported over one or two axes"),
        (nn.Linear(4, 3), (5, 4), "view mixes the batch"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
            (3, 8, 8),
            "batch norm needs running statistics",
        ),
        (nn.AvgPool2d(3, 2, ceil_mode=True), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AvgPool2d(3, 2, padding=1), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AvgPool2d(2, divisor_override=3), (3, 8, 8), "without padding, ceil mode and divisor"),
        (nn.AdaptiveAvgPool2d(3), (3, 8, 8), "where the output divides the input"),
        (Calls(lambda x: x.mean()), (3, 8, 8), "a mean is supported over all spatial axes"),
        (Calls(lambda x: x.mean(1)), (3, 8, 8), "a mean is supported over all spatial axes"),
        (Calls(lambda x: x.mean(-1)), (3,), "average pooling needs spatial axes"),
        (Calls(lambda x: x * 2), (3, 8, 8), "a product is supported between two activations"),
        (Calls(lambda x: x.amax(2, True)), (3, 8, 8), "operator 'amax' cannot be costed"),
        (Calls(lambda x: x.permute(1, 0, 2)), (2, 3), "moves the batch"),
        (nn.Upsample(size=(9, 8)), (3, 8, 8), "upsampling is supported by whole factors"),
        (Calls(lambda x: x.flatten(1) + 1), (3, 8, 8), "an addition is supported between two activations"),
        (
            Calls(lambda x, c: c(x) + F.max_pool2d(x, 8), nn.Conv2d(3, 3, 3)),
            (3, 8, 8),
            "between activations of one shape",
        ),
        (Calls(lambda x: F.pad(x, (1, 1), value=2.0)), (3, 8), "padding is supported with zeros"),
        (
            Calls(lambda x, head: x @ head.weight, nn.Linear(4, 4)),
            (4,),
            "a matrix product is supported as a linear layer",
        ),
        (Calls(lambda x: x @ x.t()), (4,), "an activation is transposed"),
        (Calls(lambda x: F.conv2d(x, x)), (3, 8, 8), "weights of a layer are computed from its input"),
        (
            Calls(lambda x, head: (head(x), head(x)), nn.Linear(4, 4)),
            (4,),
            "must return one tensor computed from its input",
        ),
        (Calls(lambda x, head: head.weight, nn.Linear(4, 4)), (4,), "must return one tensor computed from its input"),
        (
            Calls(lambda x, conv: (conv(x), F.max_pool2d(x, 2))[0], nn.Conv2d(3, 4, 3)),
            (3, 8, 8),
            "computes 'max_pool_1' and does",
        ),
        (
            Calls(lambda x, head: (y := head(x), F.relu(y))[0], nn.Linear(4, 4)),
            (4,),
            "computes 'relu_1' and does not use it",
        ),
    ],
)
def test_what_cannot_be_costed_is_named(module: nn.Module, shape: tuple[int, ...], message: str, device: str) -> None:
    with pytest.raises(InputError, match=message):
        trace(copy.deepcopy(module).to(device), shape)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Conv2d(3, 4, 7), (3, 6, 6), "cannot process an input of 3 x 6 x 6: .*[Kk]ernel size"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)), (3, 6, 6), "cannot process an input of 3 x 6 x 6"),
        (nn.Linear(5, 4), (6,), "cannot process an input of 6: "),
        (nn.Linear(5, 4, bias=False), (6,), "cannot process an input of 6: "),
        (nn.Sequential(nn.Flatten(), nn.Linear(107, 4)), (3, 6, 6), "cannot process an input of 3 x 6 x 6: "),
    ],
)
def test_input_that_does_not_fit_is_infeasible(
    module: nn.Module, shape: tuple[int, ...], message: str, device: str
) -> None:
    with pytest.raises(Infeasible, match=message):
        trace(copy.deepcopy(module).to(device), shape)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, fc: fc(x) if x.sum() > 0 else fc(-x),
        lambda x, fc: fc(x[x[:, 0] > 0]),
        lambda x, fc: fc(x) * int(x.max()),
    ],
    ids=["branch", "shape", "number"],
)
def test_what_depends_on_the_values_of_the_input_is_refused(forward: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match=r"depends on the values of its input \(by '\w+'\): .* same shapes"):
        trace(Calls(forward, nn.Linear(4, 3)).to("meta"), (4,))
