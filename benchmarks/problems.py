"""The problems of published.py: data sets with their own splits, and the space of convolutional networks.

Folders are found below DATA_PATH: `mnist` and `cifar10` with the official files, `fsdd` and `uci_har_subset` as .npz.

[Fedorov2019] SpArSe: sparse architecture search for CNNs on resource-constrained microcontrollers, NeurIPS 2019.
[Liberis2021] uNAS: constrained neural architecture search for microcontrollers, EuroMLSys 2021.
[Jackson2018] Free spoken digit dataset, Zenodo, doi 10.5281/zenodo.1342401.
[Anguita2013] A public domain dataset for human activity recognition using smartphones, ESANN 2013.
"""

from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F

from sparsemod import Augment, Data, Problem, Tensors, datasets
from sparsemod.spaces import cnn

_SIDE = 20
"""Of the images of the two-class problem: 32 x 32 in colour would be 3,072 bytes of working memory alone."""


def mnist() -> Data:
    """Shifted and rotated as in [Liberis2021]."""
    data = datasets.mnist()
    assert isinstance(data.train, Tensors)
    return replace(data, train=replace(data.train, augment=Augment(shift=2, rotate=0.2, rotate_share=0.3)))


def cifar10_two_classes() -> Data:
    """The first five classes against the others, in grey, 20 x 20 pixels, as in [Fedorov2019]."""
    data = datasets.cifar10()
    train, validation, test = (_small_and_grey(split) for split in (data.train, data.validation, data.test))
    augmented = replace(train, augment=Augment(shift=1, flip=True))
    return Data(augmented, validation, test, (1, _SIDE, _SIDE), 2)


def cifar10_two_classes_in_colour() -> Data:
    """As they are, 32 x 32 in colour; shifted and mirrored as in [Liberis2021]."""
    data = datasets.cifar10(augment=Augment(shift=4, flip=True))
    train, validation, test = (_two_classes(split) for split in (data.train, data.validation, data.test))
    return Data(train, validation, test, data.input_shape, 2)


def _two_classes(split: object) -> Tensors:
    assert isinstance(split, Tensors)
    return replace(split, y=(split.y >= 5).long())


def _small_and_grey(split: object) -> Tensors:
    assert isinstance(split, Tensors)
    grey = split.x.float().mean(1, keepdim=True)
    small = F.interpolate(grey, size=(_SIDE, _SIDE), mode="area").round().to(torch.uint8)
    return Tensors(small, (split.y >= 5).long(), 121.0, 60.0)


def spoken_digits() -> Data:
    """MFCC of the spoken digits, 49 x 10, with the official test part [Jackson2018]."""
    return datasets.fsdd(augment=Augment(shift=2), layout="1 T F")


def activities() -> Data:
    """A third of the smartphone windows, 128 x 9 [Anguita2013]."""
    return datasets.har(layout="1 T F")


_small = partial(cnn.space, layers=2, fc_layers=1, learning_rate=(1e-3, 3e-2), batch_size=(32, 256))

mnist_problem = Problem(_small(blocks=3, filters=(2, 32), fc_units=(10, 64)), cnn.build, mnist, cnn.MORPHISMS)
two_class_problem = Problem(
    _small(blocks=3, filters=(1, 16), fc_units=(2, 16)), cnn.build, cifar10_two_classes, cnn.MORPHISMS
)
_tiny = partial(_small, blocks=3, filters=(2, 24), batch_size=(64, 512))

tiny_mnist_problem = Problem(_tiny(fc_units=(4, 16)), cnn.build, mnist, cnn.MORPHISMS, limits={"nnz": 480})
two_class_colour_problem = Problem(
    _tiny(fc_units=(2, 16)), cnn.build, cifar10_two_classes_in_colour, cnn.MORPHISMS, limits={"nnz": 685}
)
spoken_digits_problem = Problem(
    _small(blocks=3, filters=(4, 48), fc_units=(10, 64)), cnn.build, spoken_digits, cnn.MORPHISMS
)
activities_problem = Problem(_small(blocks=3, filters=(4, 48), fc_units=(6, 64)), cnn.build, activities, cnn.MORPHISMS)
