"""What a candidate is measured for while it trains, and what becomes of it when it is given up."""

import math
from dataclasses import replace

import pytest
import torch
from problems.trials import TINY, candidate, configured
from torch import nn

from sparsemod.evaluate import evaluate

FREE = {1: math.inf, 3: math.inf}


def test_error_at_each_rung_is_recorded() -> None:
    trial = evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars=FREE).trial
    assert trial.status == "complete"
    assert list(trial.curve) == [1, 3]
    assert all(0 <= error <= 1 for error in trial.curve.values())


def test_without_rungs_there_is_no_curve() -> None:
    assert evaluate(candidate(epochs=2), configured()).trial.curve == {}


def test_measuring_changes_nothing() -> None:
    plain, watched = (
        evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars=bars) for bars in ({}, FREE)
    )
    assert plain.trial.score == watched.trial.score
    assert plain.weights is not None and watched.weights is not None
    assert all(torch.equal(tensor, watched.weights[name]) for name, tensor in plain.weights.items())


def test_candidate_above_the_bar_is_given_up() -> None:
    free = evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars=FREE).trial
    bar = free.curve[3] - 0.01
    assert bar > 0  # the tiny network still errs by then
    outcome = evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars={1: math.inf, 3: bar})
    assert (outcome.trial.status, outcome.trial.score, outcome.weights, outcome.graph) == ("stopped", {}, None, None)
    assert outcome.trial.curve == free.curve
    assert outcome.trial.reason.startswith(f"given up after 3 of 4 epochs: its error was {free.curve[3]:.4g}")


def test_candidate_at_the_bar_goes_on() -> None:
    free = evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars=FREE).trial
    assert evaluate(candidate(epochs=4, learning_rate=0.001), configured(), bars=free.curve).trial.status == "complete"


def test_parts_that_are_not_training_stay_so() -> None:
    """Such as a batch norm that a builder has frozen."""
    modes = []

    def watching(network: nn.Module, *rest: object) -> None:
        network.train()
        frozen = next(part for part in network.modules() if isinstance(part, nn.BatchNorm2d))
        frozen.eval()
        after_step = rest[4]
        assert callable(after_step)
        after_step(1, 2)
        modes.append((network.training, frozen.training))

    evaluate(candidate(epochs=2), configured(replace(TINY, train=watching)), bars={1: math.inf})
    assert modes == [(True, False)]


@pytest.mark.parametrize("bars", [{}, FREE])
def test_own_training_may_leave_the_hook_alone(bars: dict[int, float]) -> None:
    trial = evaluate(
        candidate(epochs=4, learning_rate=0.001), configured(replace(TINY, train=lambda *_: None)), bars=bars
    ).trial
    assert (trial.status, trial.curve) == ("complete", {})
