"""Known data sets as `Data`. Nothing is downloaded: files lie below DATA_PATH, packed (.gz, .xz) or not.

Images: `digits` (comes with scikit-learn), `mnist`, `cifar10`. Sequences: `har` (smartphone sensors), `fsdd` (spoken
digits), `uea` (JapaneseVowels, BasicMotions, PenDigits).

x: samples, (N, *input shape); y: class numbers, (N,), int64.
"""

from sparsemod.datasets.images import cifar10, digits, idx, mnist
from sparsemod.datasets.sequences import fsdd, har, uea

__all__ = ["cifar10", "digits", "fsdd", "har", "idx", "mnist", "uea"]
