"""Integers answer as well as the floats that were trained."""

from pathlib import Path

import pytest
from problems.trained import NETWORKS, errors


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NETWORKS)
def test_quantization_after_training_loses_at_most_half_a_point(shared_data: Path, name: str) -> None:
    found = errors(name, shared_data)
    assert found.float32 < (0.5 if name.startswith("CIFAR") else 0.04)  # it has learned something
    assert found.int8 - found.float32 <= 0.005
