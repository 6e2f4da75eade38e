"""The loaders of a training script as data in memory."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from sparsemod.data import Data, Tensors
from sparsemod.errors import InputError

NUMBERS = TensorDataset(torch.arange(40).float()[:, None], torch.arange(40) % 4)


class Noisy(Dataset[tuple[Tensor, int]]):
    """Each sample is random, and another one each time."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.randn(3), index % 2


class Growing(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.zeros(index + 1), 0


def tensors(split: object) -> Tensors:
    assert isinstance(split, Tensors)
    return split


def test_shuffling_loader_is_read_in_the_order_of_its_data_set() -> None:
    """Every process must split the samples alike."""
    data = Data.from_loaders(DataLoader(NUMBERS, 7, shuffle=True), DataLoader(NUMBERS, 3), validation=0.25)
    plain = Data.from_tensors(Tensors(*NUMBERS.tensors), Tensors(*NUMBERS.tensors), validation=0.25)
    for found, expected in ((data.train, plain.train), (data.validation, plain.validation), (data.test, plain.test)):
        assert torch.equal(tensors(found).x, tensors(expected).x)
        assert torch.equal(tensors(found).y, tensors(expected).y)
    assert (data.input_shape, data.num_classes) == ((1,), 4)


def test_samples_that_a_loader_drops_or_draws_again_are_read_once() -> None:
    loader = DataLoader(NUMBERS, 16, drop_last=True, sampler=[0] * 100)  # type: ignore[arg-type]
    data = Data.from_loaders(loader, validation=0.5)
    assert sorted([*tensors(data.train).x.flatten().tolist(), *tensors(data.validation).x.flatten().tolist()]) == [
        *range(40)
    ]


def test_loader_of_its_own_validates() -> None:
    data = Data.from_loaders(DataLoader(NUMBERS, 8), validation=DataLoader(NUMBERS, 5))
    assert [len(part) for part in (data.train, data.validation)] == [40, 40]
    assert data.test is None


def test_collate_of_the_loader_joins_its_samples() -> None:
    def doubled(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return 2 * torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])

    assert tensors(Data.from_loaders(DataLoader(NUMBERS, 8, collate_fn=doubled)).train).x.max() > 40


def test_random_samples_are_drawn_once_by_the_seed() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (
        tensors(Data.from_loaders(DataLoader(Noisy(), 4, shuffle=True), validation=0.5, seed=seed).train).x.sum()
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_real_targets_are_split_at_random_and_counted() -> None:
    targets = TensorDataset(torch.zeros(50, 3), torch.rand(50, 2))
    data = Data.from_loaders(DataLoader(targets, 10), validation=0.2)
    assert data.num_classes == 2
    assert [len(part) for part in (data.train, data.validation)] == [40, 10]
    assert Data.from_tensors(Tensors(torch.zeros(50, 3), torch.rand(50)), validation=0.2).num_classes == 1


def test_samples_of_different_shapes_are_sent_to_sequences() -> None:
    with pytest.raises(InputError, match=r"4 shapes, such as \(1,\) and \(2,\); bring them as sparsemod.Sequences"):
        Data.from_loaders(DataLoader(Growing(), 1))


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        (TensorDataset(torch.zeros(4, 1)), "a list"),
        (TensorDataset(torch.zeros(0, 1), torch.zeros(0)), "nothing"),
        ([{"x": 1.0}], "a dict"),
    ],
)
def test_loader_that_gives_no_pairs_is_refused(dataset: Dataset[Tensor], found: str) -> None:
    with pytest.raises(InputError, match=rf"a loader gives {found}; it must give batches \(x, y\) of tensors"):
        Data.from_loaders(DataLoader(dataset, 2))
