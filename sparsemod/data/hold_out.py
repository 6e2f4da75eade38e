"""Which samples are learned from and which are held out to validate or test."""

import numpy as np
import torch
from torch import Tensor

from sparsemod.errors import InputError

_GROUP_DRAWS = 20


def hold_out(y: Tensor, groups: Tensor | None, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of the samples to keep and of those to hold out, both in order.

    Of samples that have groups whole ones are held out; of others the same share of every class, or any, if y are real
    numbers and no classes.

    Args:
        y: Class numbers, (N,), or targets, (N, ...).
        groups: Who each sample comes from, (N,).
        share: Part of the samples to hold out.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: See `stratified_split` and `grouped_split`.
    """
    labels = y.numpy() if y.dim() == 1 and not y.is_floating_point() else np.zeros(len(y), dtype=int)
    if groups is None:
        kept, held_out = stratified_split(labels, share, seed)
    else:
        kept, held_out = grouped_split(labels, groups.numpy(), share, seed)
    return torch.as_tensor(kept), torch.as_tensor(held_out)


def stratified_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples to keep and of those to hold out: the same share of every class, both in order.

    Args:
        labels: Class numbers, (N,).
        share: Part of each class to hold out; of a class that has two samples at least one, but never all.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: The share is not between 0 and 1, or no class has two samples.
    """
    _check_share(share)
    rng = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: min(max(round(share * len(members)), 1), len(members) - 1)])
    if not any(map(len, held_out)):
        raise InputError(f"none of the {len(labels)} samples can be held out: no class has two")
    checked = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), checked), checked


def grouped_split(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the samples to keep and of those to hold out, both in order; no group is on both sides.

    Groups are drawn at random until they have the share of samples as nearly as may be, at least one and never all. Of
    some such draws the one is taken that comes nearest to the share of every class.

    Args:
        labels: Class numbers, (N,).
        groups: Who each sample comes from, (N,).
        share: Part of the samples to hold out.
        seed: Equal seeds, equal splits.

    Raises:
        InputError: The share is not between 0 and 1, or there are fewer than two groups.
    """
    _check_share(share)
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"none of the {len(labels)} samples can be held out: all come from one group; two are needed")
    classes = np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))  # samples of each group in each class
    np.add.at(counts, (members, classes), 1)
    rng = np.random.default_rng(seed)
    draws = [_nearest_draw(counts.sum(1), share, rng) for _ in range(_GROUP_DRAWS)]
    off = [np.abs(counts[chosen].sum(0) - share * counts.sum(0)).sum() for chosen in draws]
    held_out = np.isin(members, draws[int(np.argmin(off))])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _nearest_draw(sizes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Random groups that have the share of all samples as nearly as may be.

    Args:
        sizes: Samples of each group, (groups,).
        share: See `grouped_split`.
        rng: Draws them.
    """
    order = rng.permutation(len(sizes))
    held_out = sizes[order].cumsum()[:-1]  # by the first group, the first two, and so on
    return order[: int(np.argmin(np.abs(held_out - share * sizes.sum()))) + 1]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"the share of samples to hold out is {share}; it must lie between 0 and 1")
