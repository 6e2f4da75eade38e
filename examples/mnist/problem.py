"""MNIST, and SpArSe's convolutional networks with strides and skip connections.

The folder of the official files is named by DATA_PATH, in the environment or in a file `.env`.
"""

from sparsemod import Problem, datasets
from sparsemod.spaces import cnn

problem = Problem(
    space=cnn.space(filters=(2, 48), fc_units=(10, 100), learning_rate=(1e-3, 1e-2), batch_size=(64, 256)),
    build=cnn.build,
    load_data=datasets.mnist,
    morphisms=cnn.MORPHISMS,
)
