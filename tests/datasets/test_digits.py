"""The digits of scikit-learn."""

import pytest
import torch
from problems.data_files import parts

from sparsemod.data import Tensors
from sparsemod.datasets import digits
from sparsemod.errors import InputError


def test_digits_are_all_there_once_as_bytes() -> None:
    data = digits()
    images = torch.cat([part.x for part in parts(data)])
    assert [len(part) for part in parts(data)] == [1151, 287, 359]
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 16)
    assert int(images.long().sum()) == 561_718
    assert (data.input_shape, data.num_classes) == ((1, 8, 8), 10)


def test_digits_have_every_class_in_every_part_and_depend_on_the_seed_alone() -> None:
    for part in parts(digits()):
        shares = part.y.bincount() / len(part)
        assert len(shares) == 10
        assert ((shares > 0.09) & (shares < 0.11)).all()
    first, again, other = (digits(seed=seed).validation for seed in (1, 1, 2))
    assert isinstance(first, Tensors)
    assert isinstance(again, Tensors)
    assert isinstance(other, Tensors)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)


def test_digits_scale_is_fixed_and_that_of_the_default_training_images() -> None:
    x, _ = next(digits().train.batches(2000))
    assert x.mean() == pytest.approx(0, abs=1e-3)
    assert x.std() == pytest.approx(1, abs=1e-3)
    assert digits(seed=5).train.mean == digits().train.mean  # type: ignore[attr-defined]


def test_digits_without_a_test_part() -> None:
    data = digits(validation=0.5, test=0)
    assert data.test is None
    assert len(data.train) + len(data.validation) == 1797


def test_share_that_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"the share of samples to hold out is 1\.5"):
        digits(validation=1.5)
