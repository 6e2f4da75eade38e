"""`FilterBank`: logarithms of a mel filter bank, or mel-frequency cepstral coefficients, in integers."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from textwrap import fill

import numpy as np
import torch
from torch import Tensor

from sparsemod.errors import Infeasible, InputError
from sparsemod.frontend import tables
from sparsemod.frontend.features import CENTRE, STEP_SHIFT, as_coefficients, as_features, frames_of, log_energies

_SOURCE = Path(__file__).parent / "source"
LAYOUTS = ("1 T F", "T F")
_LONGEST = 4096
_MOST_FILTERS = 128
_PER_SAMPLE, _PER_POINT, _PER_BUTTERFLY, _PER_BIN, _PER_FILTER, _PER_PRODUCT = 20, 25, 42, 69, 98, 3.3
"""Instructions on an emulated Cortex-M4, fitted to seven settings: within 0.5 % of each of them."""
_PER_MAC = 3.3
"""Instructions that take as long as a multiply-accumulate of a linear layer, 3.9 cycles on that core, at 1.2 each."""
_CLIPS = 256


@dataclass(frozen=True)
class FilterBank:
    """A clip of sound as T frames of F features, an image (1, T, F) or a sequence (T, F), int8.

    A frame of `window_ms` begins every `stride_ms`, is weighted by a Hann window and transformed by the next power of
    two; triangular filters, even on the mel scale, sum its energies. A feature is the logarithm of a filter's energy in
    eighths of an octave, 0.38 dB, or a coefficient of the cosine transform of these. A step is 1/32 for the network, so
    that 12 dB are 1. The range is 96 dB, up to about full scale.

    The RAM is what one clip needs while its samples come in, a few at a time: a window of samples, the transform, and
    nothing of the clip itself. `features` says the arithmetic.

    Attributes:
        samples: Of a clip, S; one that is longer is cut, a shorter one is followed by zeros.
        rate: Samples per second.
        window_ms: Of a frame.
        stride_ms: From the beginning of one frame to the next.
        filters: Of the bank, B.
        coefficients: 0: the logarithms are the features, F = B; else so many coefficients are.
        low: Hz, lower corner of the first filter.
        high: Hz, upper corner of the last; half the rate if not given.
        layout: `1 T F` for convolutions in two dimensions, or `T F` for recurrent layers.

    Raises:
        Infeasible: Settings that do not go together, all of them at once.

    Example:
        >>> FilterBank(samples=8_000, rate=8_000, window_ms=32, stride_ms=16, filters=20).output_shape
        (1, 61, 20)
    """

    samples: int
    rate: int
    window_ms: float = 30.0
    stride_ms: float = 20.0
    filters: int = 40
    coefficients: int = 0
    low: float = 60.0
    high: float | None = None
    layout: str = LAYOUTS[0]

    def __post_init__(self) -> None:
        mistakes = self._mistakes()
        if mistakes:
            raise Infeasible("the front end cannot be: " + "; ".join(mistakes))

    def _mistakes(self) -> list[str]:
        if self.samples < 1 or self.rate < 1:
            return [f"samples is {self.samples} and rate {self.rate}; both must be at least 1"]
        found = []
        if not 16 <= self.window <= _LONGEST:
            found.append(f"window_ms {self.window_ms:g} are {self.window} samples; it must have 16 to {_LONGEST:,}")
        if self.window > self.samples:
            found.append(f"window_ms {self.window_ms:g} are {self.window} samples, and a clip has {self.samples}")
        if not 1 <= self.stride <= 8 * _LONGEST - 1:
            found.append(
                f"stride_ms {self.stride_ms:g} are {self.stride} samples; it must have 1 to {8 * _LONGEST - 1:,}"
            )
        if not 1 <= self.filters <= _MOST_FILTERS:
            found.append(f"filters is {self.filters}; it must be 1 to {_MOST_FILTERS}")
        if not 0 <= self.coefficients <= self.filters:
            found.append(f"coefficients is {self.coefficients}; it must be 0 to {self.filters}, the filters")
        if not 0 <= self.low < self.top <= self.rate / 2:
            found.append(
                f"low is {self.low:g} and high {self.top:g} Hz; they must be at least 0, at most {self.rate / 2:g}, "
                "half the rate, and high above low"
            )
        if self.layout not in LAYOUTS:
            found.append(f"layout is {self.layout!r}; it must be {' or '.join(map(repr, LAYOUTS))}")
        return found or self._empty_filters()

    def _empty_filters(self) -> list[str]:
        bank = self._bands
        ends = np.concatenate([[0], np.cumsum(bank.counts, dtype=np.int64)])
        shares = [bank.rising[ends[b] : ends[b + 1]].any() or bank.counts[b + 1] for b in range(self.filters)]
        empty = [str(b + 1) for b, share in enumerate(shares) if not share]
        if not empty:
            return []
        return [
            f"filter {', '.join(empty[:3])} of {self.filters} holds none of the frequencies of the transform, which "
            f"are {self.rate / self.points:g} Hz apart; take fewer filters, a longer window or a higher low"
        ]

    # --- sizes --------------------------------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return round(self.rate * self.window_ms / 1000)

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return round(self.rate * self.stride_ms / 1000)

    @property
    def points(self) -> int:
        """Of the Fourier transform, F: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def top(self) -> float:
        """Hz of the upper corner of the last filter."""
        return self.rate / 2 if self.high is None else self.high

    @property
    def frames(self) -> int:
        """T."""
        return 1 + (self.samples - self.window) // self.stride

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(1, T, F) or (T, F)."""
        shape = self.frames, self.coefficients or self.filters
        return (1, *shape) if self.layout == LAYOUTS[0] else shape

    @property
    def scale(self) -> float:
        """Real value of one step of a feature."""
        return 1 / 32

    # --- costs --------------------------------------------------------------------------------------------------------

    @property
    def flash_bytes(self) -> int:
        """Of all tables."""
        return sum(table.nbytes for table in self._tables.values())

    @property
    def ram_bytes(self) -> int:
        """A transform, the samples of a window, two counters, and the logarithms if they are transformed again."""
        return 4 * self.points + 2 * (self._history + 2 + (self.filters if self.coefficients else 0))

    @property
    def _history(self) -> int:
        """Samples that are kept: a window, and one more if that makes the RAM a multiple of 4."""
        return self.window + (self.window + (self.filters if self.coefficients else 0)) % 2

    @property
    def macs(self) -> int:
        """Work for one clip in multiply-accumulates of a linear layer: an estimate."""
        half = self.points // 2
        instructions = (
            _PER_SAMPLE * self.stride
            + _PER_POINT * self.points
            + _PER_BUTTERFLY * half // 2 * int(math.log2(half))
            + _PER_BIN * len(self._bands.rising)
            + _PER_FILTER * self.filters
            + _PER_PRODUCT * self.coefficients * self.filters
        )
        return round(self.frames * instructions / _PER_MAC)

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def __call__(self, samples: Tensor) -> Tensor:
        """Features (N, *output shape), int8, of clips (N, S), int16.

        Raises:
            InputError: The samples have another type or number.
        """
        if samples.dtype != torch.int16 or samples.dim() != 2 or samples.shape[1] != self.samples:
            raise InputError(
                f"the front end gets samples of shape {tuple(samples.shape)}, {samples.dtype}; it reads clips of "
                f"{self.samples}, (N, {self.samples}), torch.int16"
            )
        parts = [self._features(part.numpy()) for part in samples.split(_CLIPS)]
        features = torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, dtype=torch.int8)
        return features.reshape(len(samples), *self.output_shape)

    def _features(self, samples: np.ndarray) -> np.ndarray:
        frames = frames_of(samples, self.window, self.stride).reshape(-1, self.window)
        found = self._tables
        logarithms = log_energies(frames, self.points, found["window"], found["sine"], self._bands, found["logarithm"])
        if not self.coefficients:
            return as_features(logarithms)
        return as_coefficients(logarithms, found["cosines"], found["gains"])

    @property
    def _bands(self) -> tables.Bands:
        return _bands(self.rate, self.points, self.filters, self.low, self.top)

    @property
    def _tables(self) -> dict[str, np.ndarray]:
        """All constants by name, in the types that they are stored in."""
        bank = self._bands
        found = {
            "window": tables.half_window(self.window),
            "sine": tables.quarter_sine(self.points),
            "counts": bank.counts,
            "rising": bank.rising,
            "logarithm": tables.logarithm(),
        }
        if self.coefficients:
            found["cosines"] = tables.cosines(self.coefficients, self.filters)
            found["gains"] = tables.gains(self.coefficients, self.filters, 2.0**-STEP_SHIFT)
        return found

    # --- C ------------------------------------------------------------------------------------------------------------

    def c_source(self) -> Mapping[str, str]:
        """`frontend.h` and `frontend.c`."""
        values = {
            "samples": self.samples,
            "rate": self.rate,
            "window": self.window,
            "window_ms": f"{self.window_ms:g}",
            "stride": self.stride,
            "stride_ms": f"{self.stride_ms:g}",
            "points": self.points,
            "filters": self.filters,
            "width": self.output_shape[-1],
            "frames": self.frames,
            "kind": "coefficients" if self.coefficients else "logarithms",
            "history": self._history,
            "first": self._bands.first,
            "centre": CENTRE << tables.LOG_BITS,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "logarithms": f"    int16_t logarithms[{self.filters}];\n" if self.coefficients else "",
            "tables": "".join(_constant(name, table) for name, table in self._tables.items()),
        }
        values["finish"] = _filled("coefficients.c" if self.coefficients else "logarithms.c", values)
        return {name: _filled(name, values) for name in ("frontend.h", "frontend.c")}


@functools.lru_cache(maxsize=256)
def _bands(rate: int, points: int, filters: int, low: float, high: float) -> tables.Bands:
    return tables.bands(rate, points, filters, low, high)


def _constant(name: str, table: np.ndarray) -> str:
    """An array in flash, which is not static, so that a compiler keeps it even where it could fold it into the code."""
    values = fill(", ".join(map(str, table.flatten().tolist())), 112, initial_indent="    ", subsequent_indent="    ")
    return f"const FRONTEND_FLASH {table.dtype}_t frontend_{name}[{table.size}] = {{\n{values}\n}};\n"


def _filled(name: str, values: Mapping[str, object]) -> str:
    return Template((_SOURCE / name).read_text(encoding="utf-8")).substitute(values)
