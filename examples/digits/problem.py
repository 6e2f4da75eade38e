"""Handwritten digits of 8 x 8 pixels that come with scikit-learn, and SpArSe's convolutional networks."""

from sparsemod import Problem, datasets
from sparsemod.spaces import cnn

problem = Problem(
    space=cnn.space(blocks=2, layers=2, filters=(2, 32), kernel=(2, 3), fc_layers=1, fc_units=(10, 64)),
    build=cnn.build,
    load_data=datasets.digits,
    morphisms=cnn.MORPHISMS,
)
