"""A problem so small that one candidate takes a tenth of a second: stripes in one of three places."""

import torch

from sparsemod.data import Data, Tensors
from sparsemod.problem import Problem
from sparsemod.spaces import cnn


def load_data() -> Data:
    """210 images of 1 x 6 x 6, 70 of each class; class k is bright in the rows 2k and 2k + 1."""
    labels = torch.arange(210) % 3
    images = 0.5 * torch.randn(210, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    for row in range(6):
        images[labels == row // 2, :, row] += 1
    return Data.from_tensors(Tensors(images, labels), validation=0.2, test_share=0.1)


space = cnn.space(
    blocks=1, layers=1, filters=(1, 8), fc_layers=1, fc_units=(4, 8), learning_rate=(1e-3, 3e-2), batch_size=(8, 32)
)
problem = Problem(space, cnn.build, load_data, cnn.MORPHISMS)
