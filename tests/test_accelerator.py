"""Where networks are trained: on an accelerator they learn the same, and nothing of it is left afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from problems.pretended import NAME, pretended
from problems.spaces import CLASSES, FAMILIES
from problems.trials import DATA, TINY, candidate, configured
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from sparsemod.accelerator import PROCESSOR, accelerator_of, on
from sparsemod.augment import Augment
from sparsemod.data import Data, Placed, Samples, Split, Tensors
from sparsemod.errors import InputError
from sparsemod.evaluate import Outcome, evaluate
from sparsemod.problem import Problem
from sparsemod.space import Parameters
from sparsemod.study import Candidate
from sparsemod.train import train

EVERYTHING = Augment(shift=1, rotate=0.5, rotate_share=0.5, flip=True, cutout=2)


@pytest.fixture
def accelerator() -> Iterator[torch.device]:
    with pretended() as device:
        yield device


def learned(problem: Problem, place: str, each: Candidate | None = None, **keywords: Any) -> Outcome:
    config = configured(problem, accelerator=place, **keywords)
    outcome = evaluate(each or candidate(epochs=3), config, bars={1: 1.0})
    assert outcome.trial.status == "complete", outcome.trial.reason
    return outcome


def require_same(one: Outcome, other: Outcome) -> None:
    """But for rounding, which depends on how a weight lies in memory."""
    assert one.weights is not None and other.weights is not None
    for name, weight in one.weights.items():
        torch.testing.assert_close(weight, other.weights[name], rtol=0, atol=1e-5)
    assert (one.trial.score, one.trial.curve) == (other.trial.score, other.trial.curve)


def with_data(data: Data, problem: Problem = TINY, **parts: Any) -> Problem:
    return replace(problem, load_data=lambda: data, **parts)


def augmented() -> Data:
    assert isinstance(DATA.train, Tensors)
    return replace(DATA, train=replace(DATA.train, augment=EVERYTHING, mean=torch.tensor([0.5]), std=2.0))


def joined(samples: Any, parameters: Parameters) -> tuple[Tensor, Tensor]:
    assert all(x.device == PROCESSOR for x, _ in samples)
    return torch.stack([x for x, _ in samples]), torch.stack([torch.as_tensor(y) for _, y in samples])


def of_dataset() -> Data:
    assert isinstance(DATA.train, Tensors)
    return replace(DATA, train=Samples(TensorDataset(DATA.train.x, DATA.train.y), range(len(DATA.train))))


def wrong(scores: Tensor, y: Tensor, x: Tensor) -> float:
    return float((scores.numpy().argmax(1) != y.numpy()).mean())  # NumPy reads the memory of the processor alone


def taught() -> Problem:
    return replace(TINY, teacher=lambda data: nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))


CASES = {
    "weights pruned": (TINY, {}, {}),
    "channels removed": (TINY, {"prune_channels": 0.5}, {}),
    "a pattern": (TINY, {"prune_pattern": "2:4"}, {}),
    "augmented": (with_data(augmented()), {}, {}),
    "of a data set": (with_data(of_dataset()), {}, {}),
    "joined by the user": (with_data(DATA, collate=joined), {}, {}),
    "own error": (with_data(DATA, error=wrong), {}, {}),
    "own loss": (with_data(DATA, loss=nn.MultiMarginLoss(), error=lambda scores, y, x: 0.25), {}, {}),
    "taught, and tuned as int8": (taught(), {}, {"qat_epochs": 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_networks_learn_the_same_on_an_accelerator(case: str) -> None:
    problem, parameters, keywords = CASES[case]
    each = candidate(epochs=3, dropout=0.0, **parameters)
    with pretended():
        there = learned(problem, NAME, each, **keywords)
    require_same(there, learned(problem, "cpu", each, **keywords))


@pytest.mark.parametrize("name", sorted({*FAMILIES} - {"rnn", "cnn_rnn"}))  # recurrent layers: no swaps
def test_families_make_nothing_in_the_memory_of_the_processor(accelerator: torch.device, name: str) -> None:
    family, trained = FAMILIES[name], 0
    for parameters in family.members(6):
        network = family.built(parameters)
        if network is None:
            continue
        split = Placed(Tensors(family.inputs(12), torch.arange(12) % CLASSES), accelerator)
        with on(accelerator, network):
            train(network, split, {**parameters, "batch_size": 6}, 1, torch.Generator())
        trained += 1
    assert trained >= 3


def test_network_and_batches_are_there_while_it_learns_and_nothing_is_left(accelerator: torch.device) -> None:
    places: list[set[str]] = []

    def spy(network: nn.Module, split: Split, parameters: Parameters, epochs: int, *rest: Any) -> None:
        batch = next(split.batches(4, torch.Generator().manual_seed(0)))
        places.append({tensor.device.type for tensor in (*network.parameters(), *network.buffers(), *batch)})
        train(network, split, parameters, epochs, *rest)

    outcome = learned(replace(TINY, train=spy), NAME)
    assert places == [{NAME}]
    assert outcome.weights is not None
    assert {tensor.device for tensor in outcome.weights.values()} == {PROCESSOR}


def test_network_goes_back_when_it_is_given_up(accelerator: torch.device) -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(ArithmeticError), on(accelerator, network):
        assert network.weight.device == accelerator
        raise ArithmeticError
    assert network.weight.device == PROCESSOR


def test_tensors_of_two_places_do_not_meet(accelerator: torch.device) -> None:
    """Else the tests above could not fail."""
    with pytest.raises(RuntimeError, match="in the memory of the processor"):
        torch.ones(2, device=accelerator) + torch.ones(2)
    with pytest.raises(RuntimeError, match="a generator of the processor"):
        torch.rand(2, device=accelerator, generator=torch.Generator())


def test_processor_trains_unless_candidates_have_a_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerator_of(configured()) == accelerator_of(configured(executor="ray")) == PROCESSOR
    monkeypatch.setattr(torch, "empty", lambda size, device: None)
    assert accelerator_of(configured(executor="ray", gpus_per_candidate=0.25)) == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator_of(configured(executor="ray", gpus_per_candidate=0.25)) == PROCESSOR


@pytest.mark.parametrize(("name", "why"), [("gpu", "Expected one of cpu, cuda"), ("cuda:99", "")])
def test_accelerator_that_is_not_there_is_refused(name: str, why: str) -> None:
    with pytest.raises(InputError, match=rf"\[RUN\] accelerator = {name}: .*{why}.*; say cpu"):
        accelerator_of(configured(accelerator=name))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_trains_as_the_processor_does() -> None:
    there, here = (learned(TINY, place, candidate(epochs=8, dropout=0.0)) for place in ("cuda", "cpu"))
    assert there.trial.score["error"] == pytest.approx(here.trial.score["error"], abs=0.05)
    assert {name: cost for name, cost in there.trial.score.items() if "error" not in name} == {
        name: cost for name, cost in here.trial.score.items() if "error" not in name
    }
