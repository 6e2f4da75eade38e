"""Recurrent layers in integers answer as well as the floats that were trained."""

import functools

import pytest
import torch
from problems.sequences import Classifier, waves

from sparsemod.compress.quantize import lower
from sparsemod.graph import run
from sparsemod.train import error, train


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_layers_lose_at_most_half_a_point(kind: str) -> None:
    """Two thousand noisy waves to learn from, four thousand to be wrong about."""
    torch.manual_seed(0)
    known, unknown, network = waves(2000, 1), waves(4000, 2), Classifier(kind, 2, 12)
    settings = {"learning_rate": 0.01, "learning_gamma": 0.5, "learning_step": 3, "batch_size": 64}
    train(network, known, settings, 8, torch.Generator().manual_seed(0))
    graph = lower(network.eval(), [known.x[:256], known.x[256:512]])
    float32, int8 = (error(predict, unknown) for predict in (network, functools.partial(run, graph)))
    assert 0.02 < float32 < 0.2  # it has learned something, and not everything
    assert int8 - float32 <= 0.005
