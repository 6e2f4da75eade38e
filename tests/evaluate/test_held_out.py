"""Networks on samples that nothing has looked at before they are measured on them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from problems.own_errors import autoencoder
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sparsemod.compress.quantize import lower
from sparsemod.config import Config, from_keywords
from sparsemod.data import Data, Tensors
from sparsemod.errors import InputError
from sparsemod.evaluate import confusion, groups_of, measure_retrained, measure_saved
from sparsemod.graph import Graph
from sparsemod.problem import Problem
from sparsemod.space import Int, SearchSpace
from sparsemod.study import Candidate, Trial
from sparsemod.train import train

CANDIDATE = Candidate(7, {"width": 4}, 2, "sobol")


def build(parameters: Mapping[str, Any], input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(*input_shape, parameters["width"]), nn.ReLU(), nn.Linear(parameters["width"], 2))


def samples(count: int, group: int = 0, seed: int = 0) -> Tensors:
    """Points of two classes left and right of zero; the last of three figures is the group."""
    y = torch.arange(count) % 2
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed + group)) + 2 * y.reshape(-1, 1) - 1
    x[:, 2] = group
    return Tensors(x, y, groups=torch.full((count,), group))


def data(test: Tensors | None) -> Data:
    return Data(samples(40, 1), samples(10, 2), test, (3,), 2)


def config(test: Tensors | None, **parts: Any) -> Config:
    loaded = data(test)
    problem = Problem(SearchSpace({"width": Int(2, 8)}), build, lambda: loaded, **parts)
    return from_keywords(problem=problem, device="microbit-v2")


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Every network that is measured, as it is."""
    seen: list[Graph] = []

    def spying(graph: Graph, *rest: Any) -> Tensor:
        seen.append(graph)
        return confusion(graph, *rest)

    monkeypatch.setattr("sparsemod.evaluate.held_out.confusion", spying)
    return seen


def same(first: Graph, second: Graph) -> bool:
    (one, plain), (two, other) = first.to_tensors(), second.to_tensors()
    return plain == other and one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# --- nothing looks at the test set -----------------------------------------------------------------------------------


def test_other_test_samples_change_the_figures_alone_and_not_the_network(networks: list[Graph]) -> None:
    usual = measure_retrained(CANDIDATE, 1, None, config(samples(20, 3)))
    strange = Tensors(torch.full((20, 3), 1e30), torch.zeros(20, dtype=torch.int64), groups=torch.full((20,), 3))
    other = measure_retrained(CANDIDATE, 1, None, config(strange))
    assert usual.status == other.status == "complete"
    assert same(*networks)
    assert usual.costs == other.costs
    assert usual.error != other.error


def test_training_gets_train_and_validation_samples_and_never_one_of_the_test_set() -> None:
    seen: list[Tensor] = []

    def spying(network: nn.Module, split: Any, *rest: Any) -> None:
        seen.append(split.x)
        train(network, split, *rest)

    assert measure_retrained(CANDIDATE, 1, None, config(samples(20, 3), train=spying)).status == "complete"
    assert [len(x) for x in seen] == [50]
    assert set(seen[0][:, 2].tolist()) == {1, 2}


def test_autoencoder_does_not_learn_from_samples_that_say_what_is_strange() -> None:
    """300 samples are their own targets; 150 labels validate, 150 test."""
    seen: list[tuple[int, ...]] = []

    def spying(outputs: Tensor, y: Tensor) -> Tensor:
        seen.append(tuple(y.shape))
        return mse_loss(outputs, y)

    parameters = {"units": 12, "learning_rate": 0.03, "learning_step": 20, "batch_size": 50}
    settings = from_keywords(problem=replace(autoencoder, loss=spying), device="microbit-v2")
    found = measure_retrained(Candidate(1, parameters, 30, "test"), 1, None, settings)
    assert found.status == "complete", found.reason
    assert found.error is not None and found.error < 0.1  # half by chance
    assert seen == [(50, 8)] * 30 * 6


def test_collate_gets_each_test_sample_once_and_after_all_others() -> None:
    seen: list[float] = []

    def spying(batch: Any, parameters: Any) -> tuple[Tensor, Tensor]:
        seen.extend(float(x[2]) for x, _ in batch)
        return torch.stack([x for x, _ in batch]), torch.stack([y for _, y in batch])

    measure_retrained(CANDIDATE, 1, None, config(samples(20, 3), collate=spying))
    assert seen.count(3) == 20 and set(seen[-20:]) == {3}


# --- repetitions -----------------------------------------------------------------------------------------------------


def test_seeds_give_different_networks_and_each_the_same_again(networks: list[Graph]) -> None:
    settings = config(samples(20, 3))
    first, second, again = (measure_retrained(CANDIDATE, seed, None, settings) for seed in (1, 2, 1))
    assert (first.seed, second.seed, first.number, first.epochs) == (1, 2, 7, 2)
    assert not same(networks[0], networks[1])
    assert same(networks[0], networks[2])
    assert replace(first, seconds=0) == replace(again, seconds=0)


def test_group_is_measured_by_a_network_that_has_seen_all_others() -> None:
    seen: list[Tensor] = []

    def spying(network: nn.Module, split: Any, *rest: Any) -> None:
        seen.append(split.x)
        train(network, split, *rest)

    found = measure_retrained(CANDIDATE, 1, 2, config(samples(20, 3), train=spying))
    assert (found.status, found.group) == ("complete", 2)
    assert [len(x) for x in seen] == [60]
    assert set(seen[0][:, 2].tolist()) == {1, 3}


def test_groups_are_those_of_all_samples() -> None:
    assert groups_of(data(samples(20, 3))) == [1, 2, 3]
    assert groups_of(data(None)) == [1, 2]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (replace(samples(20), groups=None), r"give Tensors\(x, y, groups=\.\.\.\), such as numbers of subjects"),
        (samples(20), "samples of two groups or more, but all are of one"),
    ],
)
def test_groups_that_are_not_known_are_refused(part: Tensors, message: str) -> None:
    with pytest.raises(InputError, match=message):
        groups_of(Data(part, part, None, (3,), 2))


def test_teacher_of_a_group_has_not_seen_it() -> None:
    seen: list[set[float]] = []

    def teacher(given: Data) -> nn.Module:
        assert given.test is None
        seen.append({group for part in (given.train, given.validation) for group in part.x[:, 2].tolist()})
        return build({"width": 2}, (3,), 2)

    assert measure_retrained(CANDIDATE, 1, 1, config(samples(20, 3), teacher=teacher)).status == "complete"
    assert seen == [{2, 3}]


# --- figures ---------------------------------------------------------------------------------------------------------


def identity() -> Graph:
    """A float network that says which of two figures is the larger."""
    network = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(2))
        network[0].bias.zero_()
    return lower(network, [torch.zeros(1, 2)], "none")


def test_recalls_and_error_are_those_counted_by_hand() -> None:
    """Class 0: three samples, one taken for class 1. Class 1: one sample, found. No sample of class 2."""
    split = Tensors(torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 0, 1]))
    assert confusion(identity(), split, 2, None).tolist() == [[2, 1], [0, 1]]
    settings = config(None)
    loaded = Data(samples(4), samples(4), split, (2,), 3)
    problem = replace(settings.problem.problem, load_data=lambda: loaded)
    trial = Trial(CANDIDATE, "complete", {"error": 0.5, "float_error": 0.5, "model_size": 24.0})
    found = measure_saved(trial, 9, identity(), replace(settings, problem=replace(settings.problem, problem=problem)))
    assert (found.number, found.seed, found.group, found.epochs) == (7, None, None, 9)
    assert found.error == 0.25
    assert found.recalls == (pytest.approx(2 / 3), 1.0, None)
    assert found.costs == {"model_size": 24.0}


def test_tokens_reach_the_network_as_whole_numbers() -> None:
    network = nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(6, 2))
    graph = lower(network, [torch.zeros(1, 3, dtype=torch.int64)], "none")
    split = Tensors(torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]]), torch.tensor([0, 1]))
    assert confusion(graph, split, 2, None).sum() == 2


def failing(kind: Callable[..., Exception], *_: Any) -> nn.Module:
    raise kind("no such network")


def test_training_that_fails_is_a_measurement_with_its_reason() -> None:
    settings = config(samples(20, 3))
    problem = replace(settings.problem.problem, build=partial(failing, ValueError))
    found = measure_retrained(CANDIDATE, 2, None, replace(settings, problem=replace(settings.problem, problem=problem)))
    assert (found.status, found.seed, found.error) == ("failed", 2, None)
    assert "no such network" in found.reason
