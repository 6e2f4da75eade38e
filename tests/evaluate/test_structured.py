"""Channels removed and patterns kept while a candidate is trained, and what was known of it beforehand."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from problems.trials import DATA, TINY, candidate, configured
from torch import nn

from sparsemod.cost.screen import Screen
from sparsemod.data import Split
from sparsemod.evaluate import evaluate
from sparsemod.problem import Problem
from sparsemod.space import Parameters
from sparsemod.spaces import cnn
from sparsemod.study import Candidate
from sparsemod.train import train

BLOCK = {"b1_layers": 2, "b1_l1_filters": 8, "b1_l2_type": "separable", "b1_l2_filters": 8, "b1_l2_kernel": 3}
RESIDUAL = {**BLOCK, "b1_skip": True, "prune_channels": 0.5}


def spied(problem: Problem) -> tuple[Problem, list[tuple[int, int]]]:
    """A problem that notes the epochs and the parameters of the network at each training."""
    calls: list[tuple[int, int]] = []

    def spy(network: nn.Module, split: Split, parameters: Parameters, epochs: int, *rest: Any) -> None:
        calls.append((epochs, sum(weight.numel() for weight in network.parameters())))
        train(network, split, parameters, epochs, *rest)

    return replace(problem, train=spy), calls


def test_channels_go_after_a_third_of_the_epochs() -> None:
    problem, calls = spied(TINY)
    assert evaluate(candidate(epochs=6, prune_channels=0.5), configured(problem)).trial.status == "complete"
    # 4 filters of 9 weights and a norm, and 36 features to 3 classes; then half of each
    assert calls == [(2, 4 * 11 + 36 * 3 + 3), (4, 2 * 11 + 18 * 3 + 3)]


def test_with_one_epoch_channels_go_at_once() -> None:
    problem, calls = spied(TINY)
    assert evaluate(candidate(epochs=1, prune_channels=0.5), configured(problem)).trial.status == "complete"
    assert [epochs for epochs, _ in calls] == [1]


def test_without_pruning_channels_stay() -> None:
    problem, calls = spied(TINY)
    pruned = candidate(epochs=3, prune_channels=0.5, prune_pattern="2:4")
    score = evaluate(pruned, configured(problem, pruning=False)).trial.score
    assert score == evaluate(candidate(epochs=3), configured(problem, pruning=False)).trial.score
    assert calls[0] == (3, 4 * 11 + 36 * 3 + 3)


def test_costs_known_beforehand_are_those_of_the_network_that_was_trained() -> None:
    space = cnn.space(filters=(2, 12), fc_units=(4, 16), channels=0.8, patterns=("element", "2:4"))
    problem = replace(TINY, space=space, build=cnn.build)
    config = configured(problem, model_size=10**9, working_memory=10**9)
    screen = Screen(problem, config, DATA)
    rng, done = np.random.default_rng(0), 0
    for number in itertools.count():
        member = space.sample(rng)
        if not screen.fits(member):
            continue
        trial = evaluate(Candidate(number, member, 1, "test"), config).trial
        assert trial.status == "complete", trial.reason
        known = screen.costs(member)
        for name in ("macs", "params", "working_memory", "latency"):
            assert trial.score[name] == known[name], name
        assert trial.score["model_size"] <= known["model_size"]
        done += 1
        if done == 5:
            break


def test_size_of_a_network_that_loses_channels_alone_is_exact() -> None:
    dense = candidate(epochs=2, **RESIDUAL, prune_threshold=0.0)
    config = configured()
    trial = evaluate(dense, config).trial
    screen = Screen(TINY, config, DATA)
    assert trial.score["model_size"] == pytest.approx(screen.costs(dense.parameters)["model_size"], abs=8)


def test_network_without_its_channels_still_learns() -> None:
    assert evaluate(candidate(epochs=12, **RESIDUAL), configured()).trial.score["error"] < 0.2  # 2/3 by chance


def test_same_candidate_loses_the_same_channels() -> None:
    first, second = (evaluate(candidate(3, epochs=3, **RESIDUAL), configured()) for _ in range(2))
    assert first.trial.score == second.trial.score
    assert first.weights is not None and second.weights is not None
    assert all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())


def test_child_inherits_from_a_parent_that_has_lost_channels() -> None:
    parent = evaluate(candidate(epochs=6, **RESIDUAL), configured())
    assert parent.weights is not None
    assert parent.weights["blocks.0.layers.0.conv.weight"].shape == (4, 1, 3, 3)
    child = evaluate(candidate(1, epochs=6, **{**RESIDUAL, "b1_l2_filters": 10}), configured(), parent.weights)
    assert child.trial.status == "complete", child.trial.reason
    assert child.trial.score["error"] < 0.2


def test_integer_network_has_the_pattern() -> None:
    outcome = evaluate(candidate(epochs=2, **{**BLOCK, "b1_l2_type": "conv"}, prune_pattern="2:4"), configured())
    assert outcome.graph is not None
    counts = {
        operator.name: max(int((part != 0).sum(1).max()) for part in operator.weight.split(4, 1))
        for operator in outcome.graph.operators
        if operator.weight is not None
    }
    assert counts == {"blocks.0.layers.0.conv": 1, "blocks.0.layers.1.conv": 2, "head.classifier": 2}


def test_searched_epochs_of_quantization_aware_training_replace_the_configured_ones() -> None:
    problem, calls = spied(TINY)
    evaluate(candidate(epochs=2, qat_epochs=1), configured(problem, qat_epochs=3))
    evaluate(candidate(epochs=2, qat_epochs=0), configured(problem, qat_epochs=3))
    assert [epochs for epochs, _ in calls] == [2, 1, 2]


def test_forward_that_fixes_its_widths_fails_with_the_reason() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).reshape(-1, 64))

    for costs in (None, lambda parameters: {"model_size": 1.0, "working_memory": 1.0, "latency": 1.0}):
        problem = replace(TINY, build=lambda parameters, shape, classes: Fixed(), costs=costs)
        trial = evaluate(candidate(prune_channels=0.5), configured(problem)).trial
        assert trial.status == "failed"
        assert trial.reason.startswith("prune_channels = 0.5 removes channels, and the forward of the network does not")


def test_network_that_is_trained_on_keeps_its_channels() -> None:
    """They are removed once: a second time would take others away, and put new ones in their place."""
    first = evaluate(candidate(epochs=3, **RESIDUAL), configured())
    assert first.weights is not None
    idle = replace(TINY, train=lambda *_: None)
    longer = replace(candidate(1, epochs=2, **RESIDUAL), parent=0)
    again = evaluate(longer, configured(idle), first.weights, first.trial.candidate.parameters)
    assert again.weights is not None
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in first.weights.items())
    assert again.trial.score["macs"] == first.trial.score["macs"]


def test_child_of_a_network_without_some_channels_computes_the_same() -> None:
    first = evaluate(candidate(epochs=3, **RESIDUAL), configured())
    assert first.weights is not None
    idle = replace(TINY, train=lambda *_: None)
    wider = candidate(1, epochs=1, **{**RESIDUAL, "b1_l1_filters": 16, "prune_channels": 0.0})
    child = evaluate(wider, configured(idle), first.weights, first.trial.candidate.parameters)
    assert (child.trial.status, child.trial.reason) == ("complete", "")
    assert child.trial.score["macs"] > first.trial.score["macs"]
    assert child.trial.score["error"] == pytest.approx(first.trial.score["error"], abs=0.05)  # but for other scales


def test_rungs_before_the_removal_are_left_out() -> None:
    trial = evaluate(candidate(epochs=6, prune_channels=0.5), configured(), bars={1: 1.0, 2: 1.0, 4: 1.0}).trial
    assert list(trial.curve) == [4]
