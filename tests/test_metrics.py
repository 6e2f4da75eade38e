"""Errors against those of scikit-learn, and what is not defined."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from sparsemod.errors import InputError
from sparsemod.metrics import (
    auc_error,
    balanced_error,
    error_rate,
    f1_error,
    mean_absolute_error,
    mean_squared_error,
    reconstruction_auc_error,
)

NONE = torch.zeros(0)
seeds = st.integers(0, 10_000)


@given(seeds, st.integers(1, 40), st.integers(2, 5))
def test_errors_of_classes_are_those_of_scikit_learn(seed: int, count: int, classes: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores, y = torch.randn(count, classes, generator=rng), torch.randint(classes, (count,), generator=rng)
    answers = scores.argmax(1).numpy()
    assert error_rate(scores, y, NONE) == pytest.approx(1 - reference.accuracy_score(y, answers))
    assert f1_error(scores, y, NONE) == pytest.approx(1 - reference.f1_score(y, answers, average="macro"))
    labels = y.numpy()
    recalls = [(answers[labels == label] == label).mean() for label in np.unique(labels)]
    assert balanced_error(scores, y, NONE) == pytest.approx(1 - np.mean(recalls))


@given(seeds, st.integers(2, 40), st.integers(1, 9))
def test_auc_error_is_that_of_scikit_learn_with_ties(seed: int, count: int, kinds: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(kinds, (count,), generator=rng).float()
    y = torch.randint(2, (count,), generator=rng)
    y[:2] = torch.tensor([0, 1])
    assert auc_error(scores, y, NONE) == pytest.approx(1 - reference.roc_auc_score(y, scores))


@given(seeds, st.integers(1, 20), st.integers(1, 3))
def test_errors_of_numbers_are_those_of_scikit_learn(seed: int, count: int, outputs: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    found, y = (100 * torch.randn(count, outputs, generator=rng) for _ in range(2))
    assert mean_squared_error(found, y, NONE) == pytest.approx(reference.mean_squared_error(y, found))
    assert mean_absolute_error(found, y, NONE) == pytest.approx(reference.mean_absolute_error(y, found))


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    """Always class 0, of nine samples of class 0 and one of class 1."""
    scores, y = torch.tensor([[1.0, 0.0]]).repeat(10, 1), torch.tensor([0] * 9 + [1])
    assert error_rate(scores, y, NONE) == pytest.approx(0.1)
    assert balanced_error(scores, y, NONE) == 0.5
    assert f1_error(scores, y, NONE) == pytest.approx(1 - (18 / 19 + 0) / 2)


def test_targets_without_an_axis_are_not_compared_each_with_each() -> None:
    assert mean_squared_error(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 2.0]), NONE) == 0


def test_an_autoencoder_is_judged_by_how_badly_it_gives_back_what_is_strange() -> None:
    x = torch.tensor([[[0.0, 0.0]], [[1.0, 1.0]], [[9.0, 9.0]]])
    outputs = torch.tensor([[0.0, 0.1], [1.0, 1.2], [1.0, 1.0]])  # flat, as a linear layer gives them
    assert reconstruction_auc_error(outputs, torch.tensor([0, 0, 1]), x) == 0
    assert reconstruction_auc_error(outputs, torch.tensor([1, 0, 0]), x) == 1
    assert reconstruction_auc_error(outputs, torch.tensor([0, 1, 0]), x) == 0.5


def test_constant_scores_are_chance() -> None:
    assert auc_error(torch.zeros(6), torch.tensor([0, 0, 0, 0, 1, 1]), NONE) == 0.5


@pytest.mark.parametrize(
    ("outputs", "y", "message"),
    [
        (torch.zeros(3), torch.zeros(3), r"with normal samples \(y = 0\), but y holds \[0\.0\]"),
        (torch.zeros(3), torch.tensor([0, 1, 2]), r"but y holds \[0, 1, 2\]"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 1]), r"one score per sample, not outputs of shape \(3, 2\)"),
    ],
)
def test_auc_of_no_two_kinds_is_refused(outputs: torch.Tensor, y: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        auc_error(outputs, y, NONE)


def test_targets_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"outputs of shape \(3, 2\) for targets of \(3,\); they must be as many"):
        mean_squared_error(torch.zeros(3, 2), torch.zeros(3), NONE)
    with pytest.raises(InputError, match=r"outputs of shape \(3, 2\) for targets of \(3, 5\)"):
        reconstruction_auc_error(torch.zeros(3, 2), torch.tensor([0, 1, 1]), torch.zeros(3, 5))
