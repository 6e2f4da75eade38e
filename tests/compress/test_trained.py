"""Integers answer as well as the floats that were trained, on 10,000 images that nothing was trained on."""

from pathlib import Path

import pytest
from problems.trained import NETWORKS, errors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", NETWORKS)
def test_quantization_after_training_loses_at_most_half_a_point(shared_data: Path, name: str) -> None:
    found = errors(name, shared_data)
    assert found.float32 < (0.5 if name.startswith("CIFAR") else 0.04)  # it has learned something
    assert found.integer - found.float32 <= 0.005


@pytest.mark.parametrize("name", NETWORKS)
def test_an_epoch_of_quantization_aware_training_loses_at_most_a_fifth_of_a_point(shared_data: Path, name: str) -> None:
    """Also of a float network that was trained as long: else the loss hides behind what the epoch gains."""
    found = errors(name, shared_data, qat_epochs=1)
    assert found.integer - min(found.float32, found.as_long) <= 0.002


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_four_bits_lose_at_most_a_point_after_it(shared_data: Path, name: str) -> None:
    """Also of a float network that was trained as long."""
    found = errors(name, shared_data, weight_bits=4, qat_epochs=1)
    assert found.integer - min(found.float32, found.as_long) <= 0.01
