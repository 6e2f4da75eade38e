"""Regression, autoencoders and sequences from their parameters to their score."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from problems.own_errors import autoencoder, perceptron, regression, variable
from problems.trials import configured
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.data import Data, Tensors
from sparsemod.errors import InputError
from sparsemod.evaluate import Outcome, data_of, evaluate
from sparsemod.graph import run
from sparsemod.metrics import balanced_error, mean_absolute_error
from sparsemod.problem import Problem
from sparsemod.study import Candidate

UNITS = {"units": 12, "learning_rate": 0.03, "learning_step": 20, "batch_size": 16}
SHORT, LONG = ({"units": 6, "max_len": steps, "learning_rate": 0.02} for steps in (6, 12))


def scored(problem: Problem, parameters: dict[str, Any], epochs: int = 15, **keywords: Any) -> Outcome:
    outcome = evaluate(Candidate(0, parameters, epochs, "test"), configured(problem, **keywords))
    assert outcome.trial.status == "complete", outcome.trial.reason
    return outcome


def test_regression_is_scored_by_its_own_error_of_the_integer_network_and_may_be_above_one() -> None:
    """Targets have a mean absolute value of about 9, which a network that always says 0 would lose."""
    outcome = scored(regression, UNITS)
    validation = data_of(regression).validation
    assert isinstance(validation, Tensors) and outcome.graph is not None
    found = run(outcome.graph, validation.x)
    assert outcome.trial.score["error"] == pytest.approx((found[:, 0] - validation.y).abs().mean().item(), rel=1e-5)
    assert outcome.trial.score["error"] < 2
    assert scored(regression, UNITS, epochs=1).trial.score["error"] > 1


def test_regression_may_have_several_outputs() -> None:
    x = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    data = Data.from_tensors(Tensors(x, x[:, :3] * 2), validation=0.2)
    assert data.num_classes == 3
    assert scored(replace(regression, load_data=lambda: data), UNITS).trial.score["error"] < 0.3


def test_autoencoder_learns_inputs_and_is_judged_by_the_anomalies_it_finds() -> None:
    assert scored(autoencoder, UNITS).trial.score["error"] < 0.1


def test_float_network_is_measured_by_the_same_error_while_it_trains() -> None:
    candidate = Candidate(0, UNITS, 10, "test")
    trial = evaluate(candidate, configured(regression), bars={1: 100.0, 6: 100.0}).trial
    assert trial.curve[1] > 1 > 0 and trial.curve[6] < trial.curve[1]
    given_up = evaluate(candidate, configured(regression), bars={1: 0.5}).trial
    assert given_up.status == "stopped"


def test_unequal_classes_are_scored_by_what_the_problem_says() -> None:
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    data = Data.from_tensors(Tensors(x, (torch.arange(200) % 10 == 0).long()), validation=0.3)
    problem = Problem(regression.space, perceptron, lambda: data, error=balanced_error)
    assert scored(problem, UNITS, epochs=1).trial.score["error"] > 0.35  # there is nothing to learn
    assert scored(replace(problem, error=None), UNITS, epochs=1).trial.score["error"] < 0.2


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, y: (outputs[:, 0] - y[:, 0]).square(), "the loss has shape (16,); it must be a tensor of one"),
        (lambda outputs, y: 1.0, "the loss has type float; it must be a tensor of one number"),
    ],
)
def test_loss_that_is_not_one_number_is_refused(loss: Any, message: str) -> None:
    problem = replace(regression, loss=loss)
    trial = evaluate(Candidate(0, UNITS, 1, "test"), configured(problem)).trial
    assert trial.status == "failed"
    assert message in trial.reason


def test_loss_gets_targets_in_the_shape_of_the_outputs() -> None:
    shapes: list[tuple[int, ...]] = []

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        shapes.append((*outputs.shape, *y.shape))
        return F.mse_loss(outputs, y)

    scored(replace(regression, loss=loss), UNITS, epochs=1)
    assert shapes[0] == (16, 1, 16, 1)


def test_error_that_is_not_finite_fails_with_the_figure() -> None:
    problem = replace(regression, error=lambda outputs, y, x: float("nan"))
    trial = evaluate(Candidate(0, UNITS, 1, "test"), configured(problem)).trial
    assert trial.status == "failed" and "the score is not finite: {'error': nan" in trial.reason


def test_teacher_and_own_loss_do_not_go_together() -> None:
    with pytest.raises(InputError, match="a teacher teaches classes, by cross entropy; leave out the teacher or the"):
        replace(regression, teacher=lambda data: nn.Linear(4, 1))


def test_wrong_number_of_outputs_says_what_they_must_be() -> None:
    def build(parameters: Any, input_shape: Any, num_classes: int) -> nn.Module:
        return perceptron(parameters, input_shape, 5)

    trial = evaluate(Candidate(0, UNITS, 1, "test"), configured(replace(autoencoder, build=build))).trial
    assert trial.status == "failed" and "network with output (5,); it must be (8,)" in trial.reason


# --- sequences -------------------------------------------------------------------------------------------------------


def test_network_sees_as_many_steps_as_its_length_says_and_costs_what_they_cost() -> None:
    short, long = (scored(variable, parameters) for parameters in (SHORT, LONG))
    assert short.graph is not None and long.graph is not None
    assert short.graph.activations[0].shape == (6, 2)
    assert long.graph.activations[0].shape == (12, 2)
    assert short.trial.score["working_memory"] < long.trial.score["working_memory"]
    assert short.trial.score["model_size"] == long.trial.score["model_size"]
    assert long.trial.score["error"] < 0.1


def test_error_is_that_of_the_padded_validation_sequences() -> None:
    outcome = scored(variable, SHORT)
    assert outcome.graph is not None
    x, y = next(data_of(variable).seen_by(SHORT).validation.batches(1000))
    wrong = (run(outcome.graph, x).argmax(1) != y).float().mean().item()
    assert outcome.trial.score["error"] == pytest.approx(wrong)


def test_splitter_trains_and_scores_windows() -> None:
    """Of five steps, of which the rise alone tells the class: harder than the whole."""
    parameters = {"units": 6, "max_len": 4, "learning_rate": 0.02}
    windows, cut = (scored(variable, parameters, splitter=way).trial.score for way in (True, False))
    count = len(data_of(variable).seen_by(parameters, splitter=True).validation)
    assert count > len(data_of(variable).validation)
    assert windows["error"] * count == pytest.approx(round(windows["error"] * count))
    assert windows["error"] > cut["error"]


def test_child_of_another_length_starts_from_what_its_parent_knows() -> None:
    """The weights of a recurrent layer fit any length: nothing is trained, and the child is no worse."""
    parent = scored(variable, LONG)
    learned = parent.trial.score["error"]
    still = replace(variable, train=lambda *arguments: None)
    child = evaluate(Candidate(1, {**LONG, "max_len": 16}, 1, "test"), configured(still), parent.weights, LONG).trial
    untaught = evaluate(Candidate(1, {**LONG, "max_len": 16}, 1, "test"), configured(still)).trial
    assert child.status == "complete", child.reason
    assert child.score["error"] <= learned + 0.1 < untaught.score["error"]


def test_collate_that_pads_each_batch_to_its_own_longest_is_refused_with_what_to_do() -> None:
    def longest(samples: Any, parameters: Any) -> tuple[Tensor, Tensor]:
        return nn.utils.rnn.pad_sequence([x for x, _ in samples], True), torch.stack([y for _, y in samples])

    trial = evaluate(Candidate(0, SHORT, 1, "test"), configured(replace(variable, collate=longest))).trial
    assert trial.status == "failed"
    assert "has one input shape, so cut or pad all to the same" in trial.reason


def test_splitter_without_a_length_to_cut_to_fails_with_what_to_do() -> None:
    trial = evaluate(Candidate(0, UNITS, 1, "test"), configured(regression, splitter=True)).trial
    assert trial.status == "failed"
    assert "splitter = true cuts `Sequences` into windows" in trial.reason and "set it to false" in trial.reason


def test_absolute_error_reads_back_in_the_units_of_the_targets() -> None:
    outcome = scored(regression, UNITS, quant_scheme="none")
    assert outcome.graph is not None
    validation = data_of(regression).validation
    assert isinstance(validation, Tensors)
    outputs = run(outcome.graph, validation.x)
    assert outcome.trial.score["error"] == pytest.approx(mean_absolute_error(outputs, validation.y, validation.x))
