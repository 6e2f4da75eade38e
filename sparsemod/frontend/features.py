"""The arithmetic of a filter bank, a batch of frames at a time; `source/frontend.c` computes the very same integers.

    x         = sample * window, rounded from 15 to 24 bits and a sign; zeros behind the window
    Z         = Fourier transform of F / 2 complex numbers x[2i] + j x[2i + 1], radix 2, halved and rounded in each
                step, so that nothing grows
    X[k]      = the spectrum of the real x, from Z[k] and Z[F / 2 - k]
    energy[b] = sum over bins of weight * |X|^2, below 2^58: by Parseval all |X|^2 together are below 2^49
    log[b]    = log2(energy), 0 for 0, with 10 bits of fraction, by straight lines between 33 values
    feature   = (log - CENTRE) / 2^7, an eighth of an octave of energy (0.38 dB), or the lifted cosine transform of
                these; rounded and held within int8

A shift to the right by n rounds: it is floor(x / 2^n + 1/2) everywhere. All numbers are below 2^53, so a float64 holds
each of them exactly; here they are computed as such, as processors have vectors of those.

N: clips; S: samples of a clip; T: frames of a clip; B: filters.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sparsemod.frontend.tables import GAIN_SHIFT, LOG_BITS, SEGMENTS, Bands

CENTRE = 39
"""log2 of the energy that becomes the feature 0; -128 and 127 are 16 octaves (48 dB) from it. A sine of full scale is
at about 54.6, the rounding of the samples themselves at about 19."""
STEP_SHIFT = LOG_BITS - 3
_FRAMES = 192
"""In a batch: what they need fits into a cache."""


def frames_of(samples: np.ndarray, window: int, stride: int) -> np.ndarray:
    """Frames (N, T, window) of clips (N, S), without a copy."""
    return np.asarray(sliding_window_view(samples, window, axis=1)[:, ::stride])


def log_energies(
    frames: np.ndarray, points: int, half_window: np.ndarray, sine: np.ndarray, bands: Bands, logarithm: np.ndarray
) -> np.ndarray:
    """Logarithms of the filters' energies in steps of 2^-10 octaves, (n, B), of frames (n, window), int16."""
    window = np.concatenate([half_window, half_window[: frames.shape[1] // 2][::-1]]).astype(np.float64)
    parts = []
    for start in range(0, len(frames), _FRAMES):
        x = np.zeros((points, len(frames[start : start + _FRAMES])))
        x[: len(window)] = _shifted(frames[start : start + _FRAMES].T * window[:, None], 6)
        energies = _energies(_powers(_transform(x, sine), sine, bands), bands)
        parts.append(_log2(energies, logarithm))
    return np.concatenate(parts) if parts else np.zeros((0, len(bands.counts) - 1), np.int64)


def as_features(logarithms: np.ndarray) -> np.ndarray:
    """Logarithms as int8."""
    return _int8(_shifted_integers(logarithms - (CENTRE << LOG_BITS), STEP_SHIFT))


def as_coefficients(logarithms: np.ndarray, cosines: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Logarithms (n, B), held within 16 octaves of the centre, as lifted coefficients (n, C), int8."""
    octaves = np.clip(logarithms - (CENTRE << LOG_BITS), -16 << LOG_BITS, 16 << LOG_BITS)
    sums = octaves @ cosines.T.astype(np.int64)
    return _int8(_shifted_integers(sums * gains, GAIN_SHIFT))


def _shifted(x: np.ndarray, bits: int) -> np.ndarray:
    """floor(x / 2^bits + 1/2) of whole numbers as float64, in place."""
    x *= 2.0**-bits
    x += 0.5
    np.floor(x, out=x)
    return x


def _shifted_integers(x: np.ndarray, bits: int) -> np.ndarray:
    return np.asarray((x + (1 << (bits - 1))) >> bits)


def _int8(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(x, -128, 127), np.int8)


def _turns(indices: np.ndarray, sine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of 2 pi k / F for k below F / 2, as columns."""
    quarter = len(sine) - 1
    up = np.minimum(indices, 2 * quarter - indices)
    s, c = sine[up], np.where(indices <= quarter, 1, -1) * sine[quarter - up]
    return c.astype(np.float64)[:, None], s.astype(np.float64)[:, None]


def _transform(x: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Z as (2, F / 2, n), real and imaginary parts, of x (F, n)."""
    points, count = x.shape
    half = points // 2
    z = np.stack([x[0::2], x[1::2]])[:, _reversed_bits(half)]
    length = 2
    while length <= half:
        c, s = _turns(np.arange(length // 2) * (points // length), sine)
        pairs = z.reshape(2, half // length, 2, length // 2, count)
        re, im = pairs[0, :, 1], pairs[1, :, 1]
        turned_re = _shifted(re * c + im * s, 14)
        turned_im = _shifted(im * c - re * s, 14)
        for part, turned in ((pairs[0], turned_re), (pairs[1], turned_im)):
            difference = _shifted(part[:, 0] - turned, 1)
            part[:, 0] = _shifted(part[:, 0] + turned, 1)
            part[:, 1] = difference
        length *= 2
    return z


def _reversed_bits(count: int) -> np.ndarray:
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _powers(z: np.ndarray, sine: np.ndarray, bands: Bands) -> np.ndarray:
    """|X|^2 of the bins that the filters read, (bins, n)."""
    half = z.shape[1]
    k = bands.first + np.arange(len(bands.rising))
    c, s = _turns(k, sine)
    (re, im), (mirror_re, mirror_im) = z[:, k], z[:, half - k]
    odd_re, odd_im = im + mirror_im, mirror_re - re
    x = _shifted(re + mirror_re + _shifted(odd_re * c + odd_im * s, 14), 1)
    y = _shifted(im - mirror_im + _shifted(odd_im * c - odd_re * s, 14), 1)
    return np.asarray(x * x + y * y)


def _energies(powers: np.ndarray, bands: Bands) -> np.ndarray:
    """Sums of weights times |X|^2, (n, B), int64: they may be beyond what a float64 holds exactly."""
    squares = powers.astype(np.int64)
    weights = bands.rising.astype(np.int64)[:, None]
    ends = np.concatenate([[0], np.cumsum(bands.counts, dtype=np.int64)])
    up, down = (_segments(part, ends) for part in (squares * weights, squares * (256 - weights)))
    return np.asarray((up[:-1] + down[1:]).T)


def _segments(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of rows between one end and the next."""
    sums = np.concatenate([np.zeros((1, values.shape[1]), np.int64), np.cumsum(values, axis=0)])
    return np.asarray(sums[ends[1:]] - sums[ends[:-1]])


def _log2(x: np.ndarray, logarithm: np.ndarray) -> np.ndarray:
    """log2 of whole numbers below 2^62 in steps of 2^-10; 0 for 0."""
    safe = np.maximum(x, 1).astype(np.uint64)
    exponent = np.frexp(safe.astype(np.float64))[1].astype(np.int64) - 1
    exponent -= (safe >> exponent.astype(np.uint64)) == 0  # rounded up to the next power of two
    mantissa = (safe << (63 - exponent).astype(np.uint64)) >> np.uint64(32)  # 1 and 31 bits of fraction
    segment = ((mantissa >> np.uint64(26)) & np.uint64(SEGMENTS - 1)).astype(np.int64)
    place = ((mantissa >> np.uint64(10)) & np.uint64(0xFFFF)).astype(np.int64)
    values = logarithm.astype(np.int64)
    between = values[segment] + _shifted_integers((values[segment + 1] - values[segment]) * place, 16)
    return np.where(x == 0, 0, (exponent << LOG_BITS) + between)
