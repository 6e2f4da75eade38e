"""The constants of a filter bank: window, sine, mel weights, logarithm, cosines. All integers, stored in flash as such.

F: points of the Fourier transform; M = F / 2; B: filters.

[Stevens1937] A scale for the measurement of the psychological magnitude pitch, JASA 8, 1937; in the formula of
    [Young2006], mel(f) = 2595 log10(1 + f / 700).
[Young2006] The HTK book, version 3.4, with its triangles and its lifter of 22.
"""

from dataclasses import dataclass

import numpy as np

LOG_BITS = 10
"""Of the fraction of a logarithm to the base 2."""
SEGMENTS = 32
"""Straight lines that stand for the logarithm from 1 to 2."""
GAIN_SHIFT = 30
_LIFTER = 22
_LARGEST_COSINE = 127


@dataclass(frozen=True, eq=False)
class Bands:
    """Triangles that overlap by half: what rises into one filter falls out of the one below.

    Attributes:
        first: The first bin of the Fourier transform that is read.
        counts: Bins between one corner and the next, (B + 1,), uint16.
        rising: Share of a bin, in 1/256, that belongs to the filter above, (bins,), uint8; the rest to the one below.
    """

    first: int
    counts: np.ndarray
    rising: np.ndarray


def half_window(window: int) -> np.ndarray:
    """The first half of a Hann window in steps of 2^-15, (ceil(window / 2),), int16; the second is its mirror image."""
    places = np.arange((window + 1) // 2) + 0.5
    return np.round(32767 * (0.5 - 0.5 * np.cos(2 * np.pi * places / window))).astype(np.int16)


def quarter_sine(points: int) -> np.ndarray:
    """sin(2 pi k / F) for k from 0 to F / 4, in steps of 2^-14, int16."""
    return np.round(2**14 * np.sin(2 * np.pi * np.arange(points // 4 + 1) / points)).astype(np.int16)


def bands(rate: int, points: int, filters: int, low: float, high: float) -> Bands:
    """Mel filters between two frequencies in Hz."""
    corners = np.linspace(_mel(low), _mel(high), filters + 2)
    bins = np.arange(1, points // 2)
    mels = _mel(bins * rate / points)
    inside = (mels >= corners[0]) & (mels < corners[-1])
    bins, mels = bins[inside], mels[inside]
    above = np.searchsorted(corners, mels, side="right")
    place = (mels - corners[above - 1]) / (corners[above] - corners[above - 1])
    rising = np.minimum(np.round(256 * place), 255).astype(np.uint8)
    counts = np.bincount(above - 1, minlength=filters + 1).astype(np.uint16)
    return Bands(int(bins[0]) if len(bins) else 1, counts, rising)


def logarithm() -> np.ndarray:
    """log2(1 + i / 32) for i from 0 to 32 in steps of 2^-10, uint16."""
    ends = 1 + np.arange(SEGMENTS + 1) / SEGMENTS
    return np.asarray(np.round(2**LOG_BITS * np.log2(ends)), np.uint16)


def cosines(coefficients: int, filters: int) -> np.ndarray:
    """Rows of a cosine transform, (coefficients, B), int8; the first has the same number everywhere."""
    places = np.pi * np.outer(np.arange(coefficients), np.arange(filters) + 0.5) / filters
    return np.round(_LARGEST_COSINE * np.cos(places)).astype(np.int8)


def gains(coefficients: int, filters: int, step: float) -> np.ndarray:
    """What brings a row of sums to steps of a feature, times 2^30, (coefficients,), int32.

    The first coefficient is the mean of the logarithms; the others are lifted [Young2006], so that all have a similar
    spread and int8 does for each.

    Args:
        coefficients: Number of rows.
        filters: B.
        step: Steps of a feature for one step of a logarithm.
    """
    numbers = np.minimum(np.arange(coefficients), _LIFTER // 2)
    lifted = 2 * (1 + _LIFTER / 2 * np.sin(np.pi * numbers / _LIFTER))
    lifted[0] = 1.0
    return np.asarray(np.round(2**GAIN_SHIFT * step * lifted / (filters * _LARGEST_COSINE)), np.int32)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    """[Stevens1937]."""
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))
