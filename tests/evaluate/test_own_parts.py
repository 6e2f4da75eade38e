"""The parts of an evaluation that a problem may replace: training, collation, costs, the objective."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems.trials import DATA, PARAMETERS, TINY, WEIGHTS, candidate, configured
from torch import nn

from sparsemod.data import Batch, Data
from sparsemod.errors import Infeasible
from sparsemod.evaluate import data_of, evaluate, random_seed, teacher_of
from sparsemod.problem import TRAINING_DEFAULTS, Problem
from sparsemod.space import Int, Parameters, SearchSpace
from sparsemod.study import Candidate


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
    assert seen["parameters"] == {**TRAINING_DEFAULTS, **PARAMETERS}
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
            "learning_schedule": "step",
            "label_smoothing": 0.0,
            "distillation": 0.5,
            "prune_threshold": 0.0,
            "prune_pattern": "element",
            "prune_channels": 0.0,
            "units": 2,
        }
    ]


def test_keys_of_training_hold_unless_the_space_has_the_parameter() -> None:
    seen: list[Parameters] = []
    problem = replace(TINY, train=lambda network, split, parameters, *rest: seen.append(parameters))
    config = configured(problem, schedule="cosine", label_smoothing=0.1, distillation=0.25, qat_epochs=1)
    for changes in ({}, {"learning_schedule": "one-cycle", "label_smoothing": 0.2, "distillation": 1.0}):
        assert evaluate(candidate(**changes), config).trial.status == "complete"
    names = ("learning_schedule", "label_smoothing", "distillation")
    found = [tuple(parameters[name] for name in names) for parameters in seen]
    assert found == [("cosine", 0.1, 0.25)] * 2 + [("one-cycle", 0.2, 1.0)] * 2  # training and QAT of both


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_every_schedule_trains_on_with_rounding(schedule: str) -> None:
    outcome = evaluate(candidate(epochs=4), configured(schedule=schedule, label_smoothing=0.1, qat_epochs=2))
    assert outcome.trial.status == "complete", outcome.trial.reason
    assert outcome.trial.score["error"] < 0.2


class Constant(nn.Module):
    """Says the same of every sample, if it is not asked to train."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return torch.tensor([0.0, 9.0, 0.0]).expand(len(x), -1)


def test_teacher_is_made_once_from_the_data_and_learned_from_with_its_weight() -> None:
    seen: list[Any] = []

    def teacher(data: Data) -> nn.Module:
        seen.append(data)
        return Constant()

    problem = replace(TINY, teacher=teacher)
    results = [evaluate(candidate(epochs=6), configured(problem, distillation=weight)) for weight in (0.0, 1.0, 1.0)]
    assert seen == [data_of(problem)]
    errors = [outcome.trial.score["error"] for outcome in results]
    assert errors == [evaluate(candidate(epochs=6), configured()).trial.score["error"], 28 / 42, 28 / 42]
    assert seen[0] is data_of(problem)


def test_teacher_is_of_the_same_weights_in_every_process() -> None:
    def teacher(data: Data) -> nn.Module:
        return nn.Linear(2, 2)

    one, other = (teacher_of(replace(TINY, teacher=made)) for made in (teacher, lambda data: teacher(data)))
    assert isinstance(one, nn.Linear) and isinstance(other, nn.Linear)
    assert torch.equal(one.weight, other.weight)


def test_teacher_that_is_no_network_fails_with_a_reason() -> None:
    trial = evaluate(candidate(), configured(replace(TINY, teacher=lambda data: 3))).trial  # type: ignore[arg-type]
    assert (trial.status, trial.reason) == ("failed", "teacher returns a int; it must return a trained torch.nn.Module")


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
    assert {name: score[name] for name in score if not name.endswith("error")} == {"model_size": 2 * 1404}


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


def test_costs_join_the_score_and_what_was_measured_goes_first() -> None:
    problem = Problem(
        TINY.space,
        costs=lambda parameters: {"price": 3, "energy": 1.0},
        objective=lambda candidate: {"error": 0.5, "energy": 2.0},
    )
    score = evaluate(candidate(), configured(problem, objectives=["error", "price"])).trial.score
    assert list(score.items()) == [("error", 0.5), ("energy", 2.0), ("price", 3.0)]


def test_negative_objective_fails_and_says_what_to_return() -> None:
    problem = Problem(TINY.space, objective=lambda candidate: {"error": 0.5, "gain": -0.25, "balance": -3})
    assert evaluate(candidate(), configured(problem, objectives=1)).trial.status == "complete"
    trial = evaluate(candidate(), configured(problem, objectives=["error", "gain"])).trial
    assert (trial.status, trial.reason) == (
        "failed",
        "objectives are minimised towards 0 and must not be negative, but gain is -0.25; return what is lost, such as "
        "1 - accuracy",
    )


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (0.5, "the objective returned a float; it must return figures by name, such as {'error': 0.1}"),
        ({"error": "low", "energy": None}, "a score must hold numbers alone, but error is a str, energy is a NoneType"),
        ({}, "the score has no 'error', which is an objective; it has nothing"),
    ],
)
def test_what_is_no_score_fails_with_a_reason(returned: Any, reason: str) -> None:
    trial = evaluate(candidate(), configured(Problem(TINY.space, objective=lambda each: returned), objectives=1)).trial
    assert (trial.status, trial.reason) == ("failed", reason)


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    problem = Problem(TINY.space, objective=lambda each: {"error": torch.tensor(0.5), "heat": np.float32(2)})
    score = evaluate(candidate(), configured(problem, objectives=1)).trial.score
    assert score == {"error": 0.5, "heat": 2.0} and all(type(value) is float for value in score.values())


def test_figure_with_a_limit_must_be_in_the_score() -> None:
    problem = Problem(TINY.space, objective=lambda candidate: {"heat": 1.0}, limits={"price": 3})
    trial = evaluate(candidate(), configured(problem, objectives=["heat"])).trial
    assert trial.reason == "the score has no 'price', which has a limit; it has heat"
    trial = evaluate(candidate(), configured(replace(problem, limits={}), objectives=["heat"], max_error=0.1)).trial
    assert trial.reason == "the score has no 'error', which has a limit; it has heat"
