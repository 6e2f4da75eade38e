"""Sequences: activities from a smartphone, spoken digits, and three small sets of the UEA archive, from .npz files.

T: steps; F: features of a step. What a network gets of a step is standardised by mean and deviation of each feature
over the training file.

[Anguita2013] A public domain dataset for human activity recognition using smartphones, ESANN 2013.
[Jackson2018] Free spoken digit dataset, Zenodo, doi 10.5281/zenodo.1342401.
[Bagnall2018] The UEA multivariate time series classification archive, arXiv 1811.00075.
[Kudo1999] Multidimensional curve classification using passing-through regions, Pattern Recognition Letters 20, 1999.
[Alpaydin1998] Pen-based recognition of handwritten digits, UCI machine learning repository, 1998.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsemod.config.values import nearest
from sparsemod.data import Augmentation, Data, Sequences, Tensors
from sparsemod.datasets.files import arrays, find, unpacked, warn_if_unofficial
from sparsemod.errors import InputError

LAYOUTS = ("T F", "F T", "1 T F", "F 1 T")
"""Axes of a sample: for recurrent layers, for 1-D convolutions, and two for 2-D convolutions."""

_HAR_BLOCKS = 10
_HAR_SOURCE = "archive.ics.uci.edu/dataset/240, its `Inertial Signals` as arrays x_train, y_train, x_test, y_test"

_FSDD_SOURCE = "github.com/Jakobovski/free-spoken-digit-dataset, its recordings as arrays"
_FSDD_MD5: Mapping[str, str] = {"fsdd_waveforms_s16le.bin": "702a4bc71d5e49b2aff038c0485cff75"}

_UEA_NAMES = ("BasicMotions", "JapaneseVowels", "PenDigits")
_UEA_SOURCE = "timeseriesclassification.com, as arrays x_train, y_train, x_test, y_test (len_train, len_test)"


def har(
    folder: str | Path | None = None,
    validation: float = 0.2,
    seed: int = 0,
    augment: Augmentation | None = None,
    layout: str = "T F",
) -> Data:
    """Activities from a smartphone at the waist [Anguita2013]: 128 steps at 50 Hz of nine signals; 6 classes.

    Neighbouring windows share half of their steps, so the training file is taken as ten blocks of neighbours, the
    groups of the samples, and whole blocks validate. The test file has other people.

    Args:
        folder: Holds `uci_har*.npz` with x_train (N, 128, 9), y_train, x_test, y_test, itself or in `uci_har_subset`;
            DATA_PATH if not given.
        validation: Share of the training windows to validate on, in whole blocks.
        seed: Chooses the blocks.
        augment: Changes training windows at random.
        layout: Of a sample, one of `LAYOUTS`.

    Returns:
        Windows (N, 128, 9): body acceleration, gyroscope and total acceleration, each x, y, z.

    Raises:
        InputError: The file is missing or damaged.
    """
    path = find("HAR", folder, ("", "uci_har_subset"), ("uci_har*.npz",), _HAR_SOURCE)[0][0]
    x, y, test_x, test_y = arrays(path, "x_train", "y_train", "x_test", "y_test")
    mean, std = x.mean((0, 1)), x.std((0, 1))
    blocks = torch.arange(len(x)) * _HAR_BLOCKS // len(x)
    train = Tensors(_laid_out(x, mean, std, layout), _labels(y), augment=augment, groups=blocks)
    test = Tensors(_laid_out(test_x, mean, std, layout), _labels(test_y))
    return Data.from_tensors(train, test, num_classes=6, validation=validation, seed=seed)


def fsdd(
    folder: str | Path | None = None,
    features: str = "mfcc",
    test: str | Sequence[str] = "official",
    validation: float = 0.1,
    seed: int = 0,
    augment: Augmentation | None = None,
    layout: str = "T F",
) -> Data:
    """Spoken digits [Jackson2018]: 3,000 recordings of six speakers at 8 kHz, 10 classes.

    Args:
        folder: Holds the files, itself or in `fsdd`; DATA_PATH if not given. `fsdd_index.npz` has y, speaker, is_test
            (N,), offset (N + 1,) and speaker_names; `fsdd_mfcc_49x10.npz` has x (N, 49, 10);
            `fsdd_waveforms_s16le.bin` has all recordings end to end, int16.
        features: `mfcc`: ten coefficients of 49 frames of the first second, `Tensors`; or `waveform`: the recordings
            themselves between -1 and 1, `Sequences` of 1,148 to 18,262 steps of one feature.
        test: `official`: the first five recordings of each digit and speaker; or the name of a speaker, or several:
            these are tested on, and others of the rest, the groups of the samples, validated on.
        validation: Share of the other recordings to validate on; whole speakers if speakers are tested on.
        seed: Of that choice.
        augment: Changes training samples at random; of `mfcc` only.
        layout: Of a sample, one of `LAYOUTS`; of `mfcc` only.

    Raises:
        InputError: A file is missing or damaged, or there is no such speaker or feature.
    """
    if features not in ("mfcc", "waveform"):
        raise InputError(f"features are {features!r}; they must be mfcc or waveform")
    wanted = "fsdd_mfcc_49x10.npz" if features == "mfcc" else "fsdd_waveforms_s16le.bin"
    (index,), (path,) = find("FSDD", folder, ("", "fsdd"), ("fsdd_index.npz", wanted), _FSDD_SOURCE)
    y, speaker, official, offset, names = arrays(index, "y", "speaker", "is_test", "offset", "speaker_names")
    held_out = official.astype(bool) if test == "official" else np.isin(speaker, _speakers(test, names.tolist(), index))
    groups = None if test == "official" else _labels(speaker)
    tested, rest = (torch.as_tensor(np.flatnonzero(which)) for which in (held_out, ~held_out))
    everything: Tensors | Sequences
    if features == "mfcc":
        (x,) = arrays(path, "x")
        mean, std = x[~held_out].mean((0, 1)), x[~held_out].std((0, 1))
        everything = Tensors(_laid_out(x, mean, std, layout), _labels(y), augment=augment, groups=groups)
    else:
        _require_steps_first(layout, augment)
        everything = Sequences(_waveforms(path, offset), _labels(y), groups, std=2.0**15)
    return Data.from_tensors(
        everything.select(rest), everything.select(tested), num_classes=10, validation=validation, seed=seed
    )


def uea(
    name: str, folder: str | Path | None = None, validation: float = 0.2, seed: int = 0, layout: str = "T F"
) -> Data:
    """A small data set of the UEA archive [Bagnall2018] with its official split.

    Args:
        name: `JapaneseVowels` (12 cepstral coefficients of 7 to 29 frames of a vowel, which of 9 speakers [Kudo1999]),
            `BasicMotions` (100 steps of 6 signals of a smartwatch, 4 motions) or `PenDigits` (8 points of 2
            coordinates, 10 digits [Alpaydin1998]).
        folder: Holds `<name>.npz` with x_train (N, T, F), y_train, x_test, y_test, and the true lengths len_train and
            len_test where they differ, itself or in `uea_small`; DATA_PATH if not given.
        validation: Share of the training samples of each class to validate on.
        seed: Of the split.
        layout: Of a sample, one of `LAYOUTS`; `T F` where lengths differ.

    Returns:
        `Sequences` where lengths differ, else `Tensors`.

    Raises:
        InputError: The file is missing or damaged, or no known set has this name.
    """
    if name not in _UEA_NAMES:
        raise InputError(f"{name!r} is no data set{nearest(name, _UEA_NAMES)} Known: {', '.join(_UEA_NAMES)}")
    path = find(name, folder, ("", "uea_small"), (f"{name}.npz",), _UEA_SOURCE)[0][0]
    x, y, test_x, test_y = arrays(path, "x_train", "y_train", "x_test", "y_test")
    classes = int(max(y.max(), test_y.max())) + 1
    if name != "JapaneseVowels":
        mean, std = x.mean((0, 1)), x.std((0, 1))
        train, test = (
            Tensors(_laid_out(part, mean, std, layout), _labels(to)) for part, to in ((x, y), (test_x, test_y))
        )
        return Data.from_tensors(train, test, num_classes=classes, validation=validation, seed=seed)
    _require_steps_first(layout)
    lengths, test_lengths = arrays(path, "len_train", "len_test")
    trimmed = [
        [torch.as_tensor(sample[:length]) for sample, length in zip(part, ends.tolist(), strict=True)]
        for part, ends in ((x, lengths), (test_x, test_lengths))
    ]
    steps = torch.cat(trimmed[0])
    scale = {"mean": steps.mean(0), "std": steps.std(0, correction=0)}
    return Data.from_tensors(
        Sequences(trimmed[0], _labels(y), **scale),
        Sequences(trimmed[1], _labels(test_y), **scale),
        num_classes=classes,
        validation=validation,
        seed=seed,
    )


def _laid_out(x: np.ndarray, mean: np.ndarray, std: np.ndarray, layout: str) -> Tensor:
    """Samples (N, T, F), scaled, in the asked layout."""
    if layout not in LAYOUTS:
        raise InputError(f"layout is {layout!r}; it must be one of {', '.join(map(repr, LAYOUTS))}")
    scaled = torch.as_tensor((x - mean) / np.where(std > 0, std, 1), dtype=torch.float32)
    steps_last = scaled if layout.endswith("T F") else scaled.transpose(1, 2)
    return (steps_last.unsqueeze({"1 T F": 1, "F 1 T": 2}[layout]) if "1" in layout else steps_last).contiguous()


def _require_steps_first(layout: str, augment: Augmentation | None = None) -> None:
    if layout != "T F" or augment is not None:
        what = f"layout is {layout!r}" if layout != "T F" else "augment is given"
        raise InputError(f"{what}; sequences of different lengths are not augmented, and their layout is 'T F'")


def _labels(numbers: np.ndarray) -> Tensor:
    return torch.as_tensor(numbers.astype(np.int64))


def _speakers(asked: str | Sequence[str], names: Sequence[str], path: Path) -> list[int]:
    """Numbers of speakers by name."""
    asked = [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in asked if name not in names]
    if unknown or not asked:
        raise InputError(
            f"test names {', '.join(map(repr, unknown)) or 'nobody'}; it must be official or some of the speakers in "
            f"{path}: {', '.join(names)}"
        )
    return [names.index(name) for name in asked]


def _waveforms(path: Path, offset: np.ndarray) -> list[Tensor]:
    """Recordings (T, 1), int16, of a file that holds them end to end."""
    content, is_whole = unpacked(path)
    if not is_whole or len(content) != 2 * int(offset[-1]):
        raise InputError(f"{path} has {len(content)} bytes; the index says {2 * int(offset[-1])}: fetch it again")
    warn_if_unofficial(path, content, "FSDD", _FSDD_MD5)
    samples = torch.from_numpy(np.frombuffer(content, "<i2").astype(np.int16)).unsqueeze(1)
    return list(samples.split(np.diff(offset).tolist()))
