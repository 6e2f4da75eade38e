"""Clips of a low, a middle or a high tone in noise, a fifth of a second of raw samples each, behind a filter bank."""

import torch

from sparsemod.data import Data, Tensors
from sparsemod.problem import Problem
from sparsemod.space import SearchSpace
from sparsemod.spaces import audio, cnn

SAMPLES, RATE = 1_600, 8_000


def clips(count: int, seed: int) -> Tensors:
    """(N, S), int16; class k has a tone near 400, 900 or 1,800 Hz."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    hertz = torch.tensor([400.0, 900.0, 1_800.0])[labels] * (1 + 0.1 * torch.randn(count, generator=rng))
    time = torch.arange(SAMPLES) / RATE
    tones = torch.sin(2 * torch.pi * hertz[:, None] * time + 6 * torch.rand(count, 1, generator=rng))
    noise = torch.randn(count, SAMPLES, generator=rng)
    return Tensors((2_000 * (tones + 0.5 * noise)).short(), labels)


def load_data() -> Data:
    return Data.from_tensors(clips(300, 0), validation=0.2, test_share=0.1)


FRONT_ENDS = audio.FrontEnds(SAMPLES, RATE)
space = SearchSpace(
    {
        **cnn.space(
            blocks=1,
            layers=1,
            filters=(1, 8),
            fc_layers=1,
            fc_units=(4, 8),
            learning_rate=(3e-3, 3e-2),
            batch_size=(8, 32),
        ),
        **audio.parameters(filters=(10, 24), coefficients=(0, 6)),
    }
)
problem = Problem(space, cnn.build, load_data, (*cnn.MORPHISMS, audio.settings), frontend=FRONT_ENDS)
