"""Small files in the formats of HAR, FSDD and the UEA archive."""

import lzma
from pathlib import Path

import numpy as np

SPEAKERS = ("ann", "bob", "cyd")
RECORDED = (3, 5, 2)
"""Samples of the recordings of a digit, by speaker."""


def write_har(folder: Path, **changed: np.ndarray) -> Path:
    """40 windows of 4 steps to train: window i holds the number i in each of two signals, the second 100 larger."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(40, dtype=np.float32)[:, None].repeat(4, 1)
    x, y = np.stack([numbers, numbers + 100], 2), np.arange(40, dtype=np.uint8) % 6
    values = {"x_train": x, "y_train": y, "x_test": x[:6], "y_test": y[:6]} | changed
    np.savez(folder / "uci_har_subset.npz", **{name: value for name, value in values.items() if value is not None})
    return folder


def write_fsdd(folder: Path) -> Path:
    """Three speakers say ten digits four times; the first of them is the official test part.

    The waveform of recording i is i, i, ...; its MFCC of 2 frames and 3 coefficients are i, 2 i and 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    speaker, y, take = (part.ravel() for part in np.meshgrid(range(3), range(10), range(4), indexing="ij"))
    numbers = np.arange(len(y))
    lengths = np.array(RECORDED)[speaker]
    np.savez(
        folder / "fsdd_index.npz", offset=np.append(0, lengths.cumsum()).astype(np.int32), y=y.astype(np.uint8),
        speaker=speaker.astype(np.uint8), is_test=(take == 0).astype(np.uint8), speaker_names=np.array(SPEAKERS),
    )  # fmt: skip
    frames = np.stack([numbers, 2 * numbers, 0 * numbers], 1).astype(np.float32)[:, None].repeat(2, 1)
    np.savez(folder / "fsdd_mfcc_49x10.npz", x=frames)
    waves = numbers.astype("<i2").repeat(lengths).tobytes()
    (folder / "fsdd_waveforms_s16le.bin.xz").write_bytes(lzma.compress(waves))
    return folder


def write_uea(folder: Path) -> Path:
    """JapaneseVowels of lengths 1 to 3, padded with zeros to 4; PenDigits of 8 points, all of them at (i, i)."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths = 1 + np.arange(18) % 3
    x = np.zeros((18, 4, 2), np.float32)
    for sample, length in zip(x, lengths, strict=True):
        sample[:length] = [[1, 10], [2, 20], [3, 30]][:length]
    y = (np.arange(18) % 9).astype(np.uint8)
    np.savez(
        folder / "JapaneseVowels.npz", x_train=x, y_train=y, len_train=lengths, x_test=x[:9], y_test=y[:9],
        len_test=lengths[:9],
    )  # fmt: skip
    points = np.arange(20, dtype=np.float32)[:, None, None].repeat(8, 1).repeat(2, 2)
    digits = (np.arange(20) % 10).astype(np.uint8)
    np.savez(folder / "PenDigits.npz", x_train=points, y_train=digits, x_test=points, y_test=digits)
    return folder
