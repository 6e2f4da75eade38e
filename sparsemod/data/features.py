"""What a front end makes of raw samples, once for all candidates that have the same one.

N: clips; S: raw samples of a clip.
"""

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from sparsemod.data.sequences import Sequences
from sparsemod.data.split import Split, Tensors
from sparsemod.errors import InputError

if TYPE_CHECKING:
    from sparsemod.frontend import FrontEnd

_KEPT = 4
"""Splits whose features stay in memory: training and validation samples under two front ends."""


@functools.lru_cache(maxsize=_KEPT)
def features(split: Tensors | Sequences, frontend: "FrontEnd", window: int = 0) -> Tensors:
    """The features of raw samples, int8, scaled as they are read; computed once per process as long as they are kept.

    Args:
        split: Raw samples; what is longer than the clips of the front end is cut at the end, zeros follow what is
            shorter.
        frontend: What makes the features.
        window: Samples of the windows that sequences are cut into first; 0: they are not.

    Returns:
        Features; `augment` of the split changes these.
    """
    if isinstance(split, Sequences):
        split = split.windows(window) if window else split
        clips = torch.stack([_of_length(sequence.flatten(), frontend.samples) for sequence in split.x])
        augment = None
    else:
        clips, augment = _of_length(split.x.flatten(1), frontend.samples), split.augment
    return Tensors(frontend(clips), split.y, 0.0, 1 / frontend.scale, augment, split.groups)


def require_samples(split: Split) -> Tensors | Sequences:
    """A split that holds raw samples.

    Raises:
        InputError: It does not lie in memory, or it holds something else than one int16 for each sample.
    """
    if not isinstance(split, Tensors | Sequences):
        raise InputError(
            "a front end reads raw samples in memory, `Tensors` or `Sequences`, but the data are "
            f"{type(split).__name__}"
        )
    first = split.x[0]
    if first.dtype != torch.int16 or first.numel() != max(first.shape, default=0):
        raise InputError(
            f"a front end reads raw samples, int16, one after the other, but the data hold {first.dtype} of shape "
            f"{tuple(first.shape)} for each clip; keep the samples as they came from the converter"
        )
    return split


def _of_length(samples: Tensor, length: int) -> Tensor:
    """The first samples along the last axis, or all of them and zeros."""
    return F.pad(samples[..., :length], (0, max(0, length - samples.shape[-1])))
