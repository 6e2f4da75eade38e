"""The four reference networks of MLPerf Tiny (mlcommons/tiny, benchmark/training) as plain torch modules.

Keras pads "same" with the odd row and column at the end; torch's own padding is symmetric, so `Same` pads beforehand.
The softmax at the end of three of them is left out.
"""

import itertools

from torch import nn

MACS = {"ad": 264_192, "ic": 12_501_632, "kws": 2_656_768, "vww": 7_489_664}
"""Multiply-accumulates of the reference int8 tflite files, counted there."""

INPUTS = {"ad": (640,), "ic": (3, 32, 32), "kws": (1, 49, 10), "vww": (3, 96, 96)}


def same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one axis, as Keras pads it."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def conv(
    inputs: int,
    outputs: int,
    size: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    stride: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Padding, convolution, batch norm, ReLU; `size` is (H, W) of the input."""
    top, bottom = same(size[0], kernel[0], stride)
    left, right = same(size[1], kernel[1], stride)
    layers = [
        nn.ZeroPad2d((left, right, top, bottom)),
        nn.Conv2d(inputs, outputs, kernel, stride, groups=groups),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def separable(inputs: int, outputs: int, size: tuple[int, int], stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then 1x1."""
    after = (-(-size[0] // stride), -(-size[1] // stride))
    return nn.Sequential(
        conv(inputs, inputs, size, stride=stride, groups=inputs), conv(inputs, outputs, after, kernel=(1, 1))
    )


class Residual(nn.Module):
    """Two convolutions and a shortcut, which is a strided 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, (size, size), stride=stride)
        self.second = conv(outputs, outputs, (size // stride, size // stride), relu=False)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.second(self.first(x)) + self.shortcut(x))


def ad() -> nn.Module:
    """Anomaly detection: a fully connected autoencoder of ToyCar spectra."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    hidden = [
        layer
        for one, other in itertools.pairwise(widths)
        for layer in (nn.Linear(one, other), nn.BatchNorm1d(other), nn.ReLU())
    ]
    return nn.Sequential(*hidden, nn.Linear(128, 640))


def ic() -> nn.Module:
    """Image classification: ResNet-8 for CIFAR-10."""
    return nn.Sequential(
        conv(3, 16, (32, 32)),
        Residual(16, 16, 32, 1),
        Residual(16, 32, 32, 2),
        Residual(32, 64, 16, 2),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def kws() -> nn.Module:
    """Keyword spotting: DS-CNN on 49 frames of 10 cepstral coefficients."""
    return nn.Sequential(
        conv(1, 64, (49, 10), kernel=(10, 4), stride=2),
        nn.Dropout(0.2),
        *(separable(64, 64, (25, 5)) for _ in range(4)),
        nn.Dropout(0.4),
        nn.AvgPool2d((25, 5)),
        nn.Flatten(),
        nn.Linear(64, 12),
    )


def vww(channels: int = 3) -> nn.Module:
    """Visual wake words: MobileNetV1 of width 0.25."""
    blocks = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)]
    blocks += [(128, 128, 1)] * 5 + [(128, 256, 2), (256, 256, 1)]
    layers, size = [conv(channels, 8, (96, 96), stride=2)], 48
    for inputs, outputs, stride in blocks:
        layers.append(separable(inputs, outputs, (size, size), stride))
        size //= stride
    return nn.Sequential(*layers, nn.AvgPool2d(size), nn.Flatten(), nn.Linear(256, 2))


def person_detection() -> nn.Module:
    """The example of TensorFlow Lite Micro: `vww` on grey images."""
    return vww(channels=1)


NETWORKS = {"ad": ad, "ic": ic, "kws": kws, "vww": vww}
