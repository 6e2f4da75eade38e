import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.data import Data, Tensors, grouped_split, joined
from sparsemod.errors import InputError


def of_people(sizes: list[int], classes: int = 2) -> Tensors:
    """Sample i is the number i, of class i modulo `classes`; the first `sizes[0]` come from person 0, and so on."""
    people = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return Tensors(torch.arange(len(people)).float()[:, None], torch.arange(len(people)) % classes, groups=people)


def people_of(split: object) -> set[int]:
    assert isinstance(split, Tensors) and split.groups is not None
    return set(split.groups.tolist())


def test_nobody_is_in_two_parts() -> None:
    data = Data.from_tensors(of_people([10] * 10), validation=0.25, test_share=0.2, seed=3)
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts if part is not None] == [60, 20, 20]
    assert [len(people_of(part)) for part in parts] == [6, 2, 2]
    assert set.union(*map(people_of, parts)) == set(range(10))


def test_equal_seeds_hold_out_the_same_people() -> None:
    chosen = [
        people_of(Data.from_tensors(of_people([10] * 10), validation=0.3, seed=seed).validation) for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_samples_without_groups_are_split_class_by_class_as_ever() -> None:
    data = Data.from_tensors(Tensors(torch.zeros(20, 1), torch.arange(20) % 2), validation=0.2)
    assert isinstance(data.validation, Tensors)
    assert data.validation.groups is None
    assert data.validation.y.bincount().tolist() == [2, 2]


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=12), st.floats(0.01, 0.99), st.integers(1, 4), st.integers(0, 9)
)
def test_split_by_groups_is_disjoint_complete_and_has_about_the_share(
    sizes: list[int], share: float, classes: int, seed: int
) -> None:
    samples = of_people(sizes, classes)
    assert samples.groups is not None
    groups = samples.groups.numpy()
    kept, held_out = grouped_split(samples.y.numpy(), groups, share, seed)
    assert sorted([*kept, *held_out]) == list(range(len(groups)))
    assert len(kept) and len(held_out)
    assert not set(groups[kept]) & set(groups[held_out])
    # The nearest of all sums in some order is at most one group off, where neither end is in the way.
    assert abs(len(held_out) - share * len(groups)) <= max(sizes)


def test_of_several_draws_the_one_with_every_class_is_held_out() -> None:
    """Persons 0 to 3 have class 0 alone, persons 4 to 7 class 1; two of the eight are held out."""
    labels = np.repeat([0, 1], 40)
    groups = np.repeat(np.arange(8), 10)
    for seed in range(5):
        held_out = grouped_split(labels, groups, 0.25, seed)[1]
        assert np.bincount(labels[held_out]).tolist() == [10, 10]


def test_group_of_one_person_cannot_be_split() -> None:
    with pytest.raises(InputError, match="none of the 9 samples can be held out: all come from one group; two are"):
        Data.from_tensors(of_people([9]))


def test_two_people_are_one_to_learn_from_and_one_to_validate_on() -> None:
    data = Data.from_tensors(of_people([30, 2]), validation=0.1)
    assert [people_of(part) for part in (data.train, data.validation)] == [{0}, {1}]
    with pytest.raises(InputError, match="all come from one group"):
        Data.from_tensors(of_people([30, 2]), validation=0.1, test_share=0.1)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_share_outside_the_open_unit_interval_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"hold out is {share}; it must lie between 0 and 1"):
        grouped_split(np.array([0, 1]), np.array([0, 1]), share, seed=0)


def test_each_sample_has_one_group() -> None:
    with pytest.raises(InputError, match="the data has 3 samples but 2 groups"):
        Tensors(torch.zeros(3, 1), torch.zeros(3), groups=torch.zeros(2))


def test_groups_go_with_the_samples_that_are_chosen_and_joined() -> None:
    people = of_people([2, 2, 2])
    first, second = people.select(torch.tensor([4, 0])), people.select(torch.tensor([3]))
    assert first.groups is not None and first.groups.tolist() == [2, 0]
    both = joined(first, second)
    assert isinstance(both, Tensors) and both.groups is not None
    assert both.groups.tolist() == [2, 0, 1]
    assert both.x.flatten().tolist() == [4, 0, 3]


def test_a_split_with_groups_and_one_without_are_not_joined() -> None:
    plain = Tensors(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))
    for pair in ((of_people([1, 1]), plain), (plain, of_people([1, 1]))):
        with pytest.raises(InputError, match="one split has groups and the other has none"):
            joined(*pair)
