import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from sparsemod.data import Batch, Tensors
from sparsemod.errors import InputError
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
