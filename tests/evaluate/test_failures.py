"""Candidates that do not fit or fail, and what their trial says."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems.trials import DATA, TINY, candidate, configured
from torch import nn

from sparsemod.data import Data, Tensors
from sparsemod.errors import Infeasible
from sparsemod.evaluate import evaluate
from sparsemod.problem import Problem
from sparsemod.space import Parameters


def builder_that(act: Callable[[], None]) -> Problem:
    def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        act()
        raise AssertionError("act did not raise")

    return replace(TINY, build=build)


def test_candidate_over_a_limit_is_infeasible_and_not_trained() -> None:
    trained: list[object] = []
    problem = replace(TINY, train=lambda *arguments: trained.append(arguments))
    outcome = evaluate(candidate(prune_threshold=0.0), configured(problem, model_size=100, working_memory=179))
    assert outcome.trial.status == "infeasible"
    assert "model_size: " in outcome.trial.reason and " bytes is over the limit of 100 bytes" in outcome.trial.reason
    assert "working_memory: 180 bytes is over the limit of 179 bytes" in outcome.trial.reason
    assert (outcome.trial.score, outcome.weights, outcome.graph, trained) == ({}, None, None, [])


def test_candidate_at_its_limit_fits() -> None:
    assert evaluate(candidate(), configured(working_memory=180)).trial.status == "complete"


def test_limit_that_only_the_trained_network_breaks_is_named() -> None:
    problem = replace(TINY, costs=lambda parameters: {"working_memory": 1.0})  # says nothing of the model size
    outcome = evaluate(candidate(), configured(problem, model_size=50))
    assert outcome.trial.status == "infeasible"
    assert outcome.trial.reason.startswith("after training: model_size: ")


def test_builder_may_refuse_parameters_with_a_reason() -> None:
    def refuse() -> None:
        raise Infeasible("conv_2: kernel 5 is larger than its 3 x 3 input")

    trial = evaluate(candidate(), configured(builder_that(refuse))).trial
    assert (trial.status, trial.reason) == ("infeasible", "conv_2: kernel 5 is larger than its 3 x 3 input")


def test_error_of_a_builder_is_a_failed_trial_with_its_traceback() -> None:
    def fail() -> None:
        raise ValueError("the builder is wrong here")

    trial = evaluate(candidate(), configured(builder_that(fail))).trial
    assert (trial.status, trial.score) == ("failed", {})
    assert trial.reason.startswith("Traceback") and "ValueError: the builder is wrong here" in trial.reason
    assert Path(__file__).name in trial.reason and "in fail" in trial.reason


@pytest.mark.parametrize("raised", [MemoryError("1 GiB more"), torch.OutOfMemoryError("1 GiB more")])
def test_lack_of_memory_is_a_failed_trial_that_says_so(raised: Exception) -> None:
    def fail() -> None:
        raise raised

    trial = evaluate(candidate(), configured(builder_that(fail))).trial
    assert (trial.status, trial.reason) == ("failed", "out of memory: 1 GiB more")


def test_loss_that_is_not_a_number_is_a_failed_trial_that_says_so() -> None:
    def load_data() -> Data:
        images = Tensors(torch.full((30, 1, 6, 6), math.nan), torch.arange(30) % 3)
        return replace(DATA, train=images)

    trial = evaluate(candidate(), configured(replace(TINY, load_data=load_data))).trial
    assert trial.status == "failed"
    assert trial.reason == "the loss became nan in epoch 1; a smaller learning rate may help"


def test_builder_that_ignores_the_classes_is_told_what_is_expected() -> None:
    def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 10))

    trial = evaluate(candidate(), configured(replace(TINY, build=build))).trial
    assert trial.status == "failed"
    assert "build returned a network with output (10,); it must be (3,): one score for each class" in trial.reason


def test_keyboard_interrupt_is_no_failed_trial() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(candidate(), configured(builder_that(interrupt)))
