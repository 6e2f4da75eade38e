"""CIFAR-10, and convolutional networks of up to three blocks.

The folder of the official binary files is named by DATA_PATH, in the environment or in a file `.env`.
"""

from sparsemod import Problem, datasets
from sparsemod.spaces import cnn

problem = Problem(
    space=cnn.space(blocks=3, layers=2, filters=(4, 64), fc_layers=1, learning_rate=(1e-3, 1e-2), batch_size=(32, 256)),
    build=cnn.build,
    load_data=datasets.cifar10,
    morphisms=cnn.MORPHISMS,
)
