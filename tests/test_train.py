import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsemod.data import Batch, Tensors
from sparsemod.datasets import digits
from sparsemod.errors import InputError
from sparsemod.problem import TRAINING_DEFAULTS
from sparsemod.train import Diverged, error, train

PARAMETERS = {"learning_rate": 0.05, "learning_gamma": 0.5, "learning_step": 2, "batch_size": 10}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halves(samples: int = 100) -> Tensors:
    """Points of the plane; the class is 1 right of x = 0, with a gap in between."""
    labels = torch.arange(samples) % 2
    x = torch.rand(samples, 2, generator=generator())
    x[:, 0] = (x[:, 0] + 0.2) * (2 * labels - 1)
    return Tensors(x, labels)


def zero_layer() -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def with_batch_norm(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


# --- train -----------------------------------------------------------------------------------------------------------


def test_separable_classes_are_learned() -> None:
    network, data = zero_layer(), halves()
    assert error(network, data) == 0.5  # equal scores for both: the answer is always class 0
    train(network, data, PARAMETERS, epochs=5, rng=generator())
    assert error(network, data) == 0


def test_network_is_in_evaluation_mode_afterwards() -> None:
    network = with_batch_norm()
    train(network, halves(), PARAMETERS, epochs=1, rng=generator())
    assert not any(part.training for part in network.modules())


def test_hook_sees_every_step_and_their_number() -> None:
    seen: list[tuple[int, int]] = []
    train(zero_layer(), halves(25), PARAMETERS, 2, generator(), lambda step, steps: seen.append((step, steps)))
    assert seen == [(step, 6) for step in range(1, 7)]  # batches of 10, 10 and 5, twice


def test_learning_rate_decays_every_few_epochs() -> None:
    """While gradients hardly change, each step of Adam is as long as the learning rate."""
    network, bias = zero_layer(), []
    parameters = {"learning_rate": 1e-3, "learning_gamma": 0.1, "learning_step": 2, "batch_size": 2}
    ones = Tensors(torch.zeros(2, 2), torch.ones(2, dtype=torch.int64))
    train(network, ones, parameters, 6, generator(), lambda step, steps: bias.append(network.bias[1].item()))
    steps = [after - before for before, after in zip([0.0, *bias], bias, strict=False)]
    assert steps == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rel=0.01)


def rates(parameters: Mapping[str, Any], epochs: int) -> list[float]:
    """Learning rates of the steps, two in each epoch: how far a bias moves while gradients hardly change."""
    network, bias = zero_layer(), []
    ones = Tensors(torch.zeros(4, 2), torch.ones(4, dtype=torch.int64))
    given = {"learning_rate": 1e-4, "batch_size": 2, **parameters}
    train(network, ones, given, epochs, generator(), lambda step, steps: bias.append(network.bias[1].item()))
    return [after - before for before, after in zip([0.0, *bias], bias, strict=False)]


def test_cosine_falls_over_all_steps() -> None:
    expected = [1e-4 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates({"learning_schedule": "cosine"}, 4) == pytest.approx(expected, rel=0.02)


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_almost_nothing() -> None:
    found = rates({"learning_schedule": "one-cycle"}, 10)
    assert found[0] == pytest.approx(1e-4 / 25, rel=0.02)
    assert max(found) == pytest.approx(1e-4, rel=0.05)
    assert found.index(max(found)) == 5  # three tenths of the steps rise
    assert found[-1] < 1e-7


@pytest.mark.parametrize("schedule", ["step", "cosine", "one-cycle"])
@pytest.mark.parametrize(("samples", "epochs"), [(1, 1), (25, 1), (25, 3)])
def test_every_schedule_lasts_for_any_number_of_steps(schedule: str, samples: int, epochs: int) -> None:
    network = zero_layer()
    train(network, halves(samples), {**PARAMETERS, "learning_schedule": schedule}, epochs, generator())
    assert network.weight.isfinite().all()


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_other_schedules_learn_as_well(schedule: str) -> None:
    network, data = zero_layer(), halves()
    train(network, data, {**PARAMETERS, "learning_schedule": schedule}, epochs=5, rng=generator())
    assert error(network, data) == 0


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="learning_schedule is 'cosin'; it must be step, cosine or one-cycle"):
        train(zero_layer(), halves(), {**PARAMETERS, "learning_schedule": "cosin"}, 1, generator())


def test_parameters_that_are_left_out_have_defaults() -> None:
    one, other = zero_layer(), zero_layer()
    train(one, halves(), {}, 1, generator())
    train(other, halves(), TRAINING_DEFAULTS, 1, generator())
    assert torch.equal(one.weight, other.weight)


def biases_learned(teacher: nn.Module | None = None, **parameters: Any) -> Tensor:
    """Probabilities that a bias alone learns of nothing but class 1 of two, given time."""
    network = zero_layer()
    ones = Tensors(torch.zeros(50, 2), torch.ones(50, dtype=torch.int64))
    parameters = {"learning_rate": 0.1, "batch_size": 5, "learning_step": 99, **parameters}
    train(network, ones, parameters, 40, generator(), teacher=teacher)
    return network.bias.detach().softmax(0)


def test_smoothed_labels_are_learned_no_further_than_that() -> None:
    assert biases_learned()[1] > 0.99
    assert biases_learned(label_smoothing=0.2)[1] == pytest.approx(0.9, abs=1e-3)


# --- distillation ----------------------------------------------------------------------------------------------------


class Says(nn.Module):
    """Gives the same scores for every sample."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores.expand(len(x), -1)


def test_teacher_of_all_the_weight_is_learned_and_the_labels_are_not() -> None:
    found = biases_learned(Says(0.3, 0.0), distillation=1.0)
    assert found.tolist() == pytest.approx(torch.tensor([0.3, 0.0]).softmax(0).tolist(), abs=1e-3)


def test_teacher_without_weight_changes_nothing() -> None:
    alone = biases_learned()
    assert torch.equal(biases_learned(Says(9.0, 0.0), distillation=0.0), alone)
    assert not torch.equal(biases_learned(Says(9.0, 0.0)), alone)  # half the weight, unless said otherwise


def test_loss_weighs_labels_and_the_teacher_at_temperature_four() -> None:
    """By its first gradient: of the bias, from scores of zero, with the formula of Hinton et al."""
    network, gradients = zero_layer(), []

    def keep(step: int, steps: int) -> None:
        assert network.bias.grad is not None
        gradients.append(network.bias.grad[1].item())

    ones = Tensors(torch.zeros(5, 2), torch.ones(5, dtype=torch.int64))
    train(network, ones, {"distillation": 0.25}, 1, generator(), keep, teacher=Says(8.0, 0.0))
    labels = 0.5 - 1  # probability less label
    taught = 4**2 * (0.5 - 1 / (1 + math.exp(8 / 4))) / 4
    assert gradients == [pytest.approx(0.75 * labels + 0.25 * taught, rel=1e-4)]


def test_teacher_stays_as_it_is() -> None:
    teacher = with_batch_norm().eval()
    before = copy.deepcopy(teacher.state_dict())
    train(zero_layer(), halves(), PARAMETERS, 1, generator(), teacher=teacher)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(InputError, match=r"teacher gives scores of shape \(10, 3\) where the network gives \(10, 2\)"):
        train(zero_layer(), halves(), PARAMETERS, 1, generator(), teacher=Says(1.0, 2.0, 3.0))


def small(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def test_student_follows_its_teacher_on_digits() -> None:
    """Also where the teacher is wrong on purpose: it takes threes for eights."""
    data = digits()
    assert isinstance(data.train, Tensors)
    teacher = small(64)
    wrong = replace(data.train, y=data.train.y.where(data.train.y != 3, torch.tensor(8)))
    train(teacher, wrong, {"learning_rate": 0.01}, 6, generator())
    x, y = next(data.validation.batches(len(data.validation)))
    assert (teacher(x).argmax(1) == y.where(y != 3, torch.tensor(8))).float().mean() > 0.9
    agreement = []
    for weight in (0.0, 0.9):
        student = small(16)
        train(student, data.train, {"learning_rate": 0.01, "distillation": weight}, 6, generator(), teacher=teacher)
        agreement.append((student(x).argmax(1) == teacher(x).argmax(1)).float().mean().item())
    assert agreement[0] < 0.9 < 0.93 < agreement[1]


def test_equal_generators_give_equal_weights() -> None:
    first, second, other = with_batch_norm(), with_batch_norm(), with_batch_norm()
    for network, seed in ((first, 0), (second, 0), (other, 1)):
        train(network, halves(), PARAMETERS, epochs=2, rng=generator(seed))
    assert all(
        torch.equal(one, two)
        for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert not torch.equal(first[0].weight, other[0].weight)


def test_samples_and_labels_stay_as_they_are() -> None:
    data = halves()
    x, y = data.x.clone(), data.y.clone()
    train(with_batch_norm(), data, PARAMETERS, epochs=1, rng=generator())
    assert torch.equal(data.x, x)
    assert torch.equal(data.y, y)


@pytest.mark.parametrize(("samples", "batch_size"), [(21, 10), (1, 10), (3, 1)])
def test_batch_of_one_sample_is_trained_on_despite_batch_norm(samples: int, batch_size: int) -> None:
    network = with_batch_norm()
    before, steps = network[0].weight.clone(), []
    parameters = {**PARAMETERS, "batch_size": batch_size}
    train(network, halves(samples), parameters, 1, generator(), lambda step, steps_: steps.append(step))
    assert len(steps) == math.ceil(samples / batch_size)
    assert not torch.equal(network[0].weight, before)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_statistics_of_batch_norm_come_from_batches_of_several_samples() -> None:
    network = with_batch_norm()
    train(network, halves(21), PARAMETERS, epochs=2, rng=generator())
    assert network[1].num_batches_tracked == 4  # batches of 10, 10 and 1, twice


@pytest.mark.parametrize("split", [halves(21), halves(20)], ids=["last batch of one", "full batches"])
def test_loss_that_is_not_finite_is_reported_with_its_epoch(split: Tensors) -> None:
    deep = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    with pytest.raises(Diverged, match=r"the loss became (nan|inf) in epoch 1; a smaller learning rate may help"):
        train(deep, split, {**PARAMETERS, "learning_rate": 1e30}, epochs=3, rng=generator())


def test_sample_that_is_not_a_number_diverges() -> None:
    data = halves()
    data.x[3] = math.nan
    with pytest.raises(Diverged, match="the loss became nan in epoch 1"):
        train(zero_layer(), data, PARAMETERS, epochs=1, rng=generator())


def test_samples_are_joined_by_the_collate_given() -> None:
    sizes: list[int] = []

    def collate(samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        sizes.append(len(samples))
        x, y = zip(*samples, strict=True)
        return torch.stack(x) * 0, torch.stack(y)  # nothing can be learned from zeros

    network, data = zero_layer(), halves(25)
    train(network, data, PARAMETERS, 1, generator(), collate=collate)
    assert sizes == [10, 10, 5]
    assert torch.equal(network.weight, torch.zeros(2, 2))
    assert error(lambda x: x, data, collate) == pytest.approx(12 / 25)  # equal scores: always class 0


# --- error -----------------------------------------------------------------------------------------------------------


def always(answer: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.eye(3)[answer].expand(len(x), 3)


@pytest.mark.parametrize(("answer", "expected"), [(0, 0.5), (1, 0.75), (2, 0.75)])
def test_error_is_the_share_of_wrong_answers(answer: int, expected: float) -> None:
    data = Tensors(torch.zeros(4, 1), torch.tensor([0, 0, 1, 2]))
    assert error(always(answer), data) == expected


def test_error_counts_all_samples_beyond_full_batches() -> None:
    labels = torch.zeros(1025, dtype=torch.int64)
    labels[-1] = 1  # alone in the last batch
    assert error(always(0), Tensors(torch.zeros(1025, 1), labels)) == 1 / 1025


def test_error_of_a_single_sample() -> None:
    data = Tensors(torch.zeros(1, 1), torch.tensor([2]))
    assert (error(always(2), data), error(always(0), data)) == (0, 1)


def test_error_needs_no_gradient() -> None:
    seen: list[bool] = []

    def predict(x: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return torch.eye(3)[0].expand(len(x), 3)

    error(predict, Tensors(torch.zeros(1, 1), torch.tensor([0])))
    assert seen == [False]


def test_nothing_to_train_on_is_said() -> None:
    empty = Tensors(torch.empty(0, 4), torch.empty(0, dtype=torch.long))
    with pytest.raises(InputError, match="training split is empty"):
        train(nn.Linear(4, 2), empty, PARAMETERS, epochs=1, rng=generator(0))
