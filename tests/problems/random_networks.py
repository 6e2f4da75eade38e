"""Random networks made of every operator that a graph may hold, small enough to be built by the hundred."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Random(nn.Module):
    """A chain of random steps, some of them with a branch, and a classifier: (N, *shape) -> (N, 3).

    Args:
        seed: Of all choices and weights.
        sequence: Whether it begins with a recurrent layer. If false, it has no such layers and no tokens; if not given,
            they are among the choices.

    Attributes:
        shape: Of one input: a vector, a signal or an image, or the steps of a sequence of tokens.
        tokens: How many there are; 0 where the input is real.
    """

    def __init__(self, seed: int, sequence: bool | None = None) -> None:
        super().__init__()
        self._recurrence = sequence is not False
        self._rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        channels, axes = self._one_of(1, 2, 3, 4), 1 if sequence else self._one_of(0, 1, 1, 2, 2, 2)
        self.shape = (channels, *(self._one_of(6, 8, 9, 12) for _ in range(axes)))
        self.tokens = self._one_of(0, 0, 0, 7, 256) if axes == 1 and self._recurrence else 0
        self.steps, shape = nn.ModuleList(), self.shape
        if self.tokens:
            self.steps.append(nn.Embedding(self.tokens, channels))
            self.shape, shape = shape[1:], (*shape[1:], channels)
        for number in range(self._one_of(2, 3, 4, 5, 6)):
            step = self._recurrent(shape) if sequence and number == 0 else self._step(shape)
            shape = tuple(step(torch.zeros(2, *shape)).shape[1:])
            self.steps.append(step)
        self.head = nn.Linear(torch.Size(shape).numel(), 3)
        self.softmax = self._one_of(False, False, True)
        for part in self.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
                nn.init.normal_(part.weight)
            if isinstance(part, nn.LayerNorm) and part.elementwise_affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
        self.eval()

    def inputs(self, count: int) -> Tensor:
        """Random ones, (count, *shape)."""
        return torch.randint(self.tokens, (count, *self.shape)) if self.tokens else torch.randn(count, *self.shape)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        x = self.head(x.flatten(1))
        return x.softmax(-1) if self.softmax else x

    def _one_of(self, *options):
        return options[int(torch.randint(len(options), (), generator=self._rng))]

    def _step(self, shape: tuple[int, ...]) -> nn.Module:
        """One that fits behind an activation of this shape."""
        channels, *spatial = shape
        wide = min(spatial, default=0) >= 4 and torch.Size(shape).numel() < 2000
        kinds = [self._layer] * 3 if wide or not spatial else []
        kinds += [
            lambda *_: self._layer_norm(shape),
            self._norm,
            self._function,
            self._residual,
            self._joined,
            self._gated,
            self._order,
        ]
        kinds += [self._pool, self._pool, self._grown] if wide else []
        if len(spatial) == 1 and self._recurrence:
            kinds += [lambda *_: self._recurrent(shape), lambda *_: self._recurrent(shape)]
        return self._one_of(*kinds)(channels, len(spatial))

    def _layer(self, channels: int, axes: int) -> nn.Module:
        width = self._one_of(1, 2, 3, 6)
        if axes == 0:
            return nn.Linear(channels, width, bias=self._one_of(False, True))
        convolution = (nn.Conv1d, nn.Conv2d)[axes - 1]
        groups = self._one_of(1, 1, channels)
        kernel = self._one_of(1, 2, 3)
        settings = {"stride": self._one_of(1, 1, 2), "padding": self._one_of(0, 1), "groups": groups}
        fits = kernel + 1 + settings["padding"]  # so that even four elements are enough
        settings["dilation"] = self._one_of(1, 2) if fits <= 4 and kernel < 3 else 1
        settings["padding"] = 1 if kernel == 3 else settings["padding"]
        layer = convolution(channels, width * groups, kernel, bias=self._one_of(False, True), **settings)
        return nn.Sequential(layer, self._norm(width * groups, axes)) if self._one_of(False, True) else layer

    def _norm(self, channels: int, axes: int) -> nn.Module:
        return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[axes](channels)

    def _layer_norm(self, shape: tuple[int, ...]) -> nn.Module:
        axes = self._one_of(*range(1, len(shape) + 1))
        return nn.LayerNorm(shape[-axes:], self._one_of(1e-5, 1e-3), self._one_of(True, True, False))

    def _function(self, channels: int, axes: int) -> nn.Module:
        bounded = [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.5, 1.5)]
        smooth = [nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ELU(0.7)]
        pieces = [nn.Hardsigmoid(), nn.Hardswish(), nn.LeakyReLU(0.1)]
        return self._one_of(*bounded, *smooth, *pieces, nn.Softmax(-1))

    def _pool(self, channels: int, axes: int) -> nn.Module:
        if axes == 1:
            return self._one_of(nn.MaxPool1d(2), nn.AvgPool1d(3, 2), nn.AdaptiveAvgPool1d(1), nn.MaxPool1d(3, 2, 1))
        return self._one_of(nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d((2, 3), 1), nn.AdaptiveAvgPool2d(1))

    def _grown(self, channels: int, axes: int) -> nn.Module:
        pad = (nn.ZeroPad1d((1, 2)), nn.ZeroPad2d((1, 0, 2, 1)))[axes - 1]
        return self._one_of(pad, nn.Upsample(scale_factor=2))

    def _residual(self, channels: int, axes: int) -> nn.Module:
        return Joined("add", nn.Identity(), self._norm(channels, axes), self._one_of(nn.ReLU(), nn.Identity()))

    def _joined(self, channels: int, axes: int) -> nn.Module:
        return Joined("cat", self._function(channels, axes), self._norm(channels, axes), nn.Identity())

    def _gated(self, channels: int, axes: int) -> nn.Module:
        pool = (nn.Identity(), nn.AdaptiveAvgPool1d(1), nn.AdaptiveAvgPool2d(1))[axes]
        gate = nn.Sequential(pool, self._norm(channels, axes), nn.Hardsigmoid())
        return Joined("mul", nn.Identity(), gate, self._one_of(nn.ReLU(), nn.Identity()))

    def _recurrent(self, shape: tuple[int, ...]) -> nn.Module:
        """Over the first axis; all that it gives, or a part of it."""
        kind, layers, both = self._one_of(nn.LSTM, nn.GRU), self._one_of(1, 1, 2), self._one_of(False, False, True)
        settings = {"batch_first": True, "bias": self._one_of(True, True, False), "bidirectional": both}
        layer = kind(shape[1], self._one_of(1, 2, 3, 8), layers, **settings)
        return Sequence(layer, self._one_of("all", "last", "state", "mean", "ends" if both else "slice"))

    def _order(self, channels: int, axes: int) -> nn.Module:
        if axes == 0:
            return nn.Tanh()
        return Order(*self._one_of((1, 2), (1, 2), (-1, -2)) if axes == 2 else (1, 2))


class Joined(nn.Module):
    """Two branches that meet: `after(first(x) + second(x))`, or their product, or one behind the other."""

    def __init__(self, how: str, first: nn.Module, second: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.how, self.first, self.second, self.after = how, first, second, after

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.first(x), self.second(x)
        joined = {"add": torch.add, "mul": torch.mul, "cat": lambda a, b: torch.cat([a, b], 1)}[self.how]
        return self.after(joined(one, other))


class Order(nn.Module):
    """Two axes exchanged, and a ReLU on what has become of them."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x.transpose(self.one, self.other).contiguous())


class Sequence(nn.Module):
    """A recurrent layer, and what is read of it."""

    def __init__(self, layer: nn.Module, read: str) -> None:
        super().__init__()
        self.layer, self.read = layer, read

    def forward(self, x: Tensor) -> Tensor:
        steps, states = self.layer(x)
        states = states[0] if isinstance(states, tuple) else states
        match self.read:
            case "last":
                return steps[:, -1]
            case "state":
                return states.squeeze(0) if len(states) == 1 else torch.cat([states[-2], states[-1]], 1)
            case "mean":
                return steps.mean(1)
            case "slice":
                return steps[:, x.shape[1] // 2 :]
            case "ends":
                half = steps.shape[-1] // 2
                return torch.cat([steps[:, -1, :half], steps[:, 0, half:]], 1)
        return steps
