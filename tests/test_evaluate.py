import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsemod.config import Config, from_keywords
from sparsemod.data import Batch, Data, Split, Tensors
from sparsemod.errors import Infeasible
from sparsemod.evaluate import data_of, evaluate, measure, problem_of, random_seed
from sparsemod.graph import run
from sparsemod.problem import Problem, load
from sparsemod.space import Int, Parameters, SearchSpace, Value
from sparsemod.study import Candidate
from sparsemod.train import error, train

FILE = Path(__file__).parent / "problems" / "tiny.py"
TINY = load(f"{FILE}:problem")
DATA = data_of(TINY)

# A 3 x 3 convolution from 1 to 4 channels on 6 x 6, pooling to 3 x 3, 36 features to 3 classes.
PARAMETERS: Mapping[str, Value] = {
    "blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3, "b1_stride": 1,
    "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2, "global_pool": False, "fc_layers": 0, "dropout": 0.2,
    "learning_rate": 0.01, "learning_gamma": 0.5, "learning_step": 3, "batch_size": 16, "prune_threshold": 0.5,
}  # fmt: skip
WEIGHTS = 4 * 9 + 36 * 3
BIASES = 4 + 3


def configured(problem: Problem | str = TINY, **keywords: Any) -> Config:
    return from_keywords(problem=problem, device="microbit-v2", **keywords)


def candidate(number: int = 0, epochs: int = 2, **changes: Value) -> Candidate:
    return Candidate(number, {**PARAMETERS, **changes}, epochs, "test")


def network(parameters: Parameters, weights: Mapping[str, Tensor]) -> nn.Module:
    assert TINY.build is not None
    module = TINY.build(parameters, DATA.input_shape, DATA.num_classes)
    module.load_state_dict(dict(weights))
    return module.eval()


def nothing(*_: object) -> None:
    """A training loop that leaves the network as it is."""


def builder_that(act: Callable[[], None]) -> Problem:
    def build(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        act()
        raise AssertionError("act did not raise")

    return replace(TINY, build=build)


def test_parameters_of_these_tests_are_in_the_space() -> None:
    assert TINY.space.mistakes(PARAMETERS) == []


# --- a complete trial ------------------------------------------------------------------------------------------------


def test_complete_trial_has_all_figures() -> None:
    config = configured(flops=1_404_000)
    outcome = evaluate(candidate(), config)
    trial = outcome.trial
    assert (trial.status, trial.reason, trial.candidate) == ("complete", "", candidate())
    assert list(trial.score) == ["error", "model_size", "working_memory", "latency", "macs", "params", "nnz"]
    assert trial.score["macs"] == 36 * 4 * 9 + 36 * 3  # 1404
    assert trial.score["latency"] == pytest.approx(1.0)  # ms, at 1,404,000 operations per second
    assert trial.score["params"] == WEIGHTS + BIASES
    assert trial.score["working_memory"] == 4 * 36 + 36  # output of the convolution beside its input, then the pooled
    assert 0 <= trial.score["error"] <= 1
    assert trial.seconds > 0
    assert all(type(value) is float for value in trial.score.values())


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
    assert costs == {name: value for name, value in outcome.trial.score.items() if name != "error"}


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


def test_without_a_parent_the_child_starts_from_nothing() -> None:
    untrained = configured(replace(TINY, train=nothing), quant_scheme="none")
    assert evaluate(candidate(1), untrained).trial.score["error"] > 0.3


# --- what does not fit, what fails -----------------------------------------------------------------------------------


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


# --- what a problem may replace --------------------------------------------------------------------------------------


def test_custom_training_gets_all_it_needs() -> None:
    seen: dict[str, Any] = {}

    def train(
        _: nn.Module, split: Any, parameters: Parameters, epochs: int, rng: Any, after: Any, collate: Any
    ) -> None:
        seen.update(split=split, parameters=parameters, epochs=epochs, seed=rng.initial_seed(), collate=collate)
        after(1, 1)

    outcome = evaluate(candidate(3, epochs=5), configured(replace(TINY, train=train), seed=2))
    assert outcome.trial.status == "complete", outcome.trial.reason
    assert seen["split"] is data_of(replace(TINY, train=train)).train
    assert seen["parameters"] == PARAMETERS
    assert (seen["epochs"], seen["seed"], seen["collate"]) == (5, random_seed(2, 3), None)
    assert outcome.weights is not None
    kernels = [tensor for tensor in outcome.weights.values() if tensor.dim() >= 2]
    assert sum(int((kernel == 0).sum()) for kernel in kernels) == WEIGHTS // 2  # `after` is the pruning ramp


def test_training_parameters_that_the_space_leaves_out_have_defaults() -> None:
    seen: list[Parameters] = []
    small = SearchSpace({"units": Int(1, 9)})
    problem = Problem(
        small,
        lambda parameters, shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(36, classes)),
        lambda: DATA,
        train=lambda network, split, parameters, *rest: seen.append(parameters),
    )
    outcome = evaluate(Candidate(0, {"units": 2}, 1, "test"), configured(problem))
    assert outcome.trial.status == "complete", outcome.trial.reason
    assert seen == [
        {
            "learning_rate": 3e-3,
            "learning_gamma": 0.3,
            "learning_step": 5,
            "batch_size": 64,
            "prune_threshold": 0.0,
            "units": 2,
        }
    ]


def test_custom_collate_joins_every_batch() -> None:
    sizes: list[int] = []

    def collate(samples: Sequence[Any], values: Parameters) -> Batch:  # the second argument may have any name
        assert values == PARAMETERS
        sizes.append(len(samples))
        return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])

    plain = evaluate(candidate(epochs=1), configured())
    joined = evaluate(candidate(epochs=1), configured(replace(TINY, collate=collate)))
    assert joined.trial.score == plain.trial.score, joined.trial.reason
    train, validation = len(DATA.train), len(DATA.validation)
    assert sizes.count(16) == train // 16  # training
    assert sizes.count(64) == train // 64  # calibration
    assert sizes[-1] == validation


def test_costs_of_the_problem_replace_the_measured_ones() -> None:
    problem = replace(TINY, costs=lambda parameters: {"model_size": 77.0, "energy": 0.5})
    score = evaluate(candidate(), configured(problem)).trial.score
    assert (score["model_size"], score["energy"], score["working_memory"]) == (77.0, 0.5, 180.0)


def test_own_cost_model_is_used(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def cost(graph, device):\n    return {'model_size': 2.0 * graph.macs}\n")
    score = evaluate(candidate(), configured(cost=f"{tmp_path / 'model.py'}:cost", objectives=2)).trial.score
    assert {name: score[name] for name in score if name != "error"} == {"model_size": 2 * 1404}


def test_objective_replaces_everything() -> None:
    def raises(*_: object) -> Any:
        raise AssertionError("neither built nor loaded")

    problem = replace(TINY, build=raises, load_data=raises, objective=lambda c: {"error": 0.25, "energy": c.number})
    outcome = evaluate(candidate(3), configured(problem, objectives=["error", "energy"]))
    assert outcome.trial.score == {"error": 0.25, "energy": 3.0}
    assert (outcome.trial.status, outcome.weights, outcome.graph) == ("complete", None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_objective_that_is_not_finite_fails(value: float) -> None:
    problem = Problem(TINY.space, objective=lambda candidate: {"error": 0.5, "energy": value})
    outcome = evaluate(candidate(), configured(problem, objectives=1))
    assert outcome.trial.status == "failed"
    assert f"the score is not finite: {{'energy': {value}}}" in outcome.trial.reason


def test_score_without_an_objective_fails_and_names_it() -> None:
    problem = Problem(TINY.space, objective=lambda candidate: {"error": 0.5})
    outcome = evaluate(candidate(), configured(problem, objectives=["error", "energy"]))
    assert outcome.trial.status == "failed"
    assert "the score has no 'energy', which is an objective; it has error" in outcome.trial.reason


def test_objective_may_refuse_a_candidate() -> None:
    def objective(candidate: Candidate) -> Mapping[str, float]:
        raise Infeasible("the board has no such layer")

    trial = evaluate(candidate(), configured(Problem(TINY.space, objective=objective), objectives=1)).trial
    assert (trial.status, trial.reason) == ("infeasible", "the board has no such layer")


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


@pytest.mark.parametrize(("kind", "scheme"), [("lstm", "post"), ("gru", "post"), ("lstm", "dynamic"), ("gru", "none")])
def test_sequences_of_tokens_are_learned(kind: str, scheme: str) -> None:
    """Which of three tokens comes first, after pruning half of the weights and quantization-aware training."""
    problem = load(f"{FILE.parent / 'sequences.py'}:problem")
    config = configured(problem, quant_scheme=scheme, pruning=True, qat_epochs=int(scheme == "post"), seed=1)
    asked = Candidate(0, {"kind": kind, "units": 12, "learning_rate": 0.02, "prune_threshold": 0.5}, 12, "test")
    found = evaluate(asked, config)
    assert found.trial.status == "complete", found.trial.reason
    assert found.trial.score["error"] < 0.3  # two thirds by chance
    assert {operator.kind for operator in found.graph.operators} == {"embedding", kind, "linear"}
    x, y = next(data_of(problem).validation.batches(150))
    assert float((run(found.graph, x).argmax(1) != y).float().mean()) == pytest.approx(found.trial.score["error"])
