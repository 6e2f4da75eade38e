"""What the trial of a candidate finds, and that it finds it again."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from problems.trials import BIASES, DATA, FILE, PARAMETERS, TINY, WEIGHTS, candidate, configured
from torch import Tensor, nn

from sparsemod.config import from_keywords
from sparsemod.data import Data, Split
from sparsemod.evaluate import evaluate, measure, problem_of, random_seed
from sparsemod.graph import run
from sparsemod.problem import load
from sparsemod.space import Parameters, Value
from sparsemod.train import error, train


def network(parameters: Parameters, weights: Mapping[str, Tensor]) -> nn.Module:
    assert TINY.build is not None
    module = TINY.build(parameters, DATA.input_shape, DATA.num_classes)
    module.load_state_dict(dict(weights))
    return module.eval()


def nothing(*_: object) -> None:
    """A training loop that leaves the network as it is."""


def test_parameters_of_these_tests_are_in_the_space() -> None:
    assert TINY.space.mistakes(PARAMETERS) == []


# --- a complete trial ------------------------------------------------------------------------------------------------


def test_complete_trial_has_all_figures() -> None:
    config = configured(flops=1_404_000)
    outcome = evaluate(candidate(), config)
    trial = outcome.trial
    assert (trial.status, trial.reason, trial.candidate) == ("complete", "", candidate())
    assert list(trial.score) == [
        *("error", "model_size", "working_memory", "latency", "macs", "params", "nnz", "float_error"),
    ]
    assert trial.score["macs"] == 36 * 4 * 9 + 36 * 3  # 1404
    assert trial.score["latency"] == pytest.approx(1.0)  # ms, at 1,404,000 operations per second
    assert trial.score["params"] == WEIGHTS + BIASES
    assert trial.score["working_memory"] == 4 * 36 + 36  # output of the convolution beside its input, then the pooled
    assert 0 <= trial.score["error"] <= 1
    assert trial.seconds > 0
    assert all(type(value) is float for value in trial.score.values())


def test_float_error_is_that_before_quantization() -> None:
    """A network that is not quantized loses nothing by it."""
    score = evaluate(candidate(epochs=1), configured(quant_scheme="none")).trial.score
    assert 0 < score["float_error"] == score["error"]


def test_energy_is_scored_where_the_power_is_known() -> None:
    config = from_keywords(problem=TINY, device="nano-33-ble", objectives="error, energy")
    score = evaluate(candidate(), config).trial.score
    assert score["energy"] == pytest.approx(score["latency"] * 9.9 / 1000)  # ms x mW = uJ


def test_target_sparsity_is_reached_exactly() -> None:
    outcome = evaluate(candidate(), configured())
    assert outcome.weights is not None
    kernels = [tensor for tensor in outcome.weights.values() if tensor.dim() >= 2]
    assert sum(kernel.numel() for kernel in kernels) == WEIGHTS
    assert sum(int((kernel == 0).sum()) for kernel in kernels) == WEIGHTS // 2
    assert outcome.trial.score["nnz"] <= WEIGHTS // 2 + BIASES


def test_without_pruning_the_target_sparsity_means_nothing() -> None:
    outcome = evaluate(candidate(), configured(pruning=False))
    assert outcome.weights is not None
    assert all(bool((tensor != 0).all()) for tensor in outcome.weights.values() if tensor.dim() >= 2)


def test_network_that_is_sent_back_is_the_one_that_was_scored() -> None:
    config = configured()
    outcome = evaluate(candidate(epochs=4), config)
    assert outcome.graph is not None
    assert error(functools.partial(run, outcome.graph), DATA.validation) == outcome.trial.score["error"]
    costs = measure(outcome.graph, config)
    assert costs == {name: value for name, value in outcome.trial.score.items() if not name.endswith("error")}


def test_training_learns() -> None:
    assert evaluate(candidate(epochs=8), configured()).trial.score["error"] < 0.2  # 2/3 by chance


@pytest.mark.parametrize("scheme", ["post", "dynamic", "both", "none"])
def test_every_quantization_scheme_is_scored(scheme: str) -> None:
    outcome = evaluate(candidate(prune_threshold=0.0), configured(quant_scheme=scheme))
    assert outcome.trial.status == "complete", outcome.trial.reason
    bytes_per_weight = {"post": (1, 1), "both": (1, 1), "dynamic": (4, 1), "none": (4, 4)}[scheme]
    weights = bytes_per_weight[0] * 4 * 9 + bytes_per_weight[1] * 36 * 3
    assert outcome.trial.score["model_size"] == pytest.approx(weights, abs=100)  # and biases, scales, multipliers
    assert outcome.trial.score["working_memory"] == (4 if scheme in ("dynamic", "none") else 1) * (4 * 36 + 36)


def test_quantization_aware_training_follows_at_a_tenth_of_the_learning_rate() -> None:
    calls: list[tuple[float, int]] = []

    def spy(network: nn.Module, split: Split, parameters: Parameters, epochs: int, *rest: Any) -> None:
        calls.append((float(parameters["learning_rate"]), epochs))
        train(network, split, parameters, epochs, *rest)

    outcome = evaluate(candidate(epochs=4), configured(replace(TINY, train=spy), qat_epochs=3))
    rate = calls[0][0]
    assert calls == [(rate, 4), (pytest.approx(rate / 10), 3)]
    assert outcome.trial.status == "complete", outcome.trial.reason
    assert outcome.trial.score["nnz"] == evaluate(candidate(epochs=4), configured()).trial.score["nnz"]


# --- reproducible ----------------------------------------------------------------------------------------------------


def test_same_candidate_gives_the_same_bits() -> None:
    config = configured()
    first = evaluate(candidate(7), config)
    torch.manual_seed(999)  # what happened before in this process does not matter
    second = evaluate(candidate(7), config)
    assert first.trial.score == second.trial.score
    assert first.weights is not None and second.weights is not None
    assert list(first.weights) == list(second.weights)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_different_numbers_give_different_weights() -> None:
    config = configured()
    first, second = evaluate(candidate(0), config).weights, evaluate(candidate(1), config).weights
    assert first is not None and second is not None
    assert not torch.equal(first["head.classifier.weight"], second["head.classifier.weight"])


def test_different_seeds_give_different_weights() -> None:
    first, second = (evaluate(candidate(), configured(seed=seed)).weights for seed in (0, 1))
    assert first is not None and second is not None
    assert not torch.equal(first["head.classifier.weight"], second["head.classifier.weight"])


def test_random_seed_differs_between_candidates_and_between_studies() -> None:
    seeds = {random_seed(seed, number) for seed in range(5) for number in range(200)}
    assert len(seeds) == 5 * 200
    assert min(seeds) >= 0 and max(seeds) < 2**31


def test_candidate_and_parent_are_not_changed() -> None:
    parent = evaluate(candidate(), configured())
    assert parent.weights is not None
    before = {name: tensor.clone() for name, tensor in parent.weights.items()}
    child = candidate(1, b1_l1_filters=6)
    evaluate(child, configured(), parent.weights)
    assert child == candidate(1, b1_l1_filters=6)
    assert all(torch.equal(before[name], parent.weights[name]) for name in before)


# --- inheritance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"b1_l1_filters": 8}, {"b1_l1_kernel": 5}])
def test_child_starts_with_the_function_of_its_parent(change: Mapping[str, Value]) -> None:
    parent = evaluate(candidate(epochs=8), configured(quant_scheme="none", pruning=False))
    untrained = configured(replace(TINY, train=nothing), quant_scheme="none")
    child = evaluate(candidate(1, **change), untrained, parent.weights)
    assert parent.weights is not None and child.weights is not None
    assert child.trial.score["error"] == parent.trial.score["error"] < 0.2
    assert child.trial.score["macs"] > parent.trial.score["macs"]
    x = torch.cat([x for x, _ in DATA.validation.batches(100)])
    grown = network(child.trial.candidate.parameters, child.weights)(x)
    assert torch.allclose(grown, network(PARAMETERS, parent.weights)(x), atol=1e-5)


def test_structure_of_the_parent_tells_what_a_new_skip_starts_as() -> None:
    """From 1 to 1 channel it is the identity, from 1 to 3 a convolution. Without a skip before, it adds nothing."""
    untrained = configured(replace(TINY, train=nothing), quant_scheme="none")
    for skip in (True, False):
        parent = candidate(b1_l1_filters=1, b1_skip=skip, epochs=8)
        child = candidate(1, b1_l1_filters=3, b1_skip=True)
        old = evaluate(parent, configured(quant_scheme="none", pruning=False)).weights
        new = evaluate(child, untrained, old, parent.parameters).weights
        assert old is not None and new is not None
        x = torch.cat([x for x, _ in DATA.validation.batches(100)])
        grown, expected = network(child.parameters, new)(x), network(parent.parameters, old)(x)
        assert torch.allclose(grown, expected, atol=1e-5)


def test_without_a_parent_the_child_starts_from_nothing() -> None:
    untrained = configured(replace(TINY, train=nothing), quant_scheme="none")
    assert evaluate(candidate(1), untrained).trial.score["error"] > 0.3


# --- data ------------------------------------------------------------------------------------------------------------


class Forbidden:
    """A split that no search may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was counted")


def test_search_never_touches_the_test_split() -> None:
    def load_data() -> Data:
        return replace(DATA, test=Forbidden())

    outcome = evaluate(candidate(), configured(replace(TINY, load_data=load_data)))
    assert outcome.trial.status == "complete", outcome.trial.reason


def test_data_is_loaded_once_per_process() -> None:
    loads: list[int] = []

    def load_data() -> Data:
        loads.append(1)
        return DATA

    config = configured(replace(TINY, load_data=load_data))
    for number in range(3):
        evaluate(candidate(number, epochs=1), config)
    assert len(loads) == 1


def test_problem_is_found_by_name_beside_its_configuration() -> None:
    config = replace(configured("tiny.py:problem"), folder=FILE.parent)
    assert problem_of(config) is load(f"{FILE}:problem")
    assert problem_of(configured(TINY)) is TINY


def test_morphisms_of_the_tiny_problem_give_members() -> None:
    rng = np.random.default_rng(0)
    for morphism in TINY.morphisms:
        child = morphism(PARAMETERS, TINY.space, rng)
        assert child is None or TINY.space.mistakes(child) == []
