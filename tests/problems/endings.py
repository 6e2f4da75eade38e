"""Sequences of very different lengths whose last steps alone say their class."""

import torch
from problems.own_errors import recurrent

from sparsemod.data import Data, Sequences
from sparsemod.problem import Problem
from sparsemod.space import Float, Int, SearchSpace

LENGTHS = (3, 5, 9, 17, 33, 60)
TELLING = 2


def endings() -> Data:
    """Noise of two features, whose first is raised (class 1) or lowered (class 0) in the last steps; ten speakers."""
    rng = torch.Generator().manual_seed(3)
    y = torch.arange(300) % 2
    x = [torch.randn(LENGTHS[int(i)], 2, generator=rng) for i in torch.randint(len(LENGTHS), (300,), generator=rng)]
    for sequence, label in zip(x, y.tolist(), strict=True):
        sequence[-TELLING:, 0] += 4 * label - 2
    return Data.from_tensors(Sequences(x, y, groups=torch.arange(300) // 30), validation=0.2, test_share=0.2)


space = SearchSpace({"units": Int(2, 8), "learning_rate": Float(1e-2, 3e-2, log=True), "batch_size": Int(8, 64)})
problem = Problem(space, recurrent, endings)
