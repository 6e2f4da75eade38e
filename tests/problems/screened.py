"""A screen of perceptrons whose costs can be counted by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Tensors
from sparsemod.problem import Problem
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace

SPACE = SearchSpace(
    {
        "width": Int(1, 64),
        "deep": Choice((False, True)),
        "depth_width": Int(1, 64, when={"deep": (True,)}),
        "learning_rate": Float(1e-4, 1e-2, log=True),
        "prune_threshold": Float(0.0, 0.9),
    }
)
SHAPE, CLASSES = (4,), 3
PLAIN: Parameters = {"width": 8, "deep": False, "learning_rate": 1e-3, "prune_threshold": 0.0}
DEEP: Parameters = {"width": 8, "deep": True, "depth_width": 5, "learning_rate": 1e-3, "prune_threshold": 0.0}

Build = Callable[[Any, tuple[int, ...], int], nn.Module]


def perceptron(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """4 inputs, `width` units, if `deep` another layer, 3 classes."""
    widths = [input_shape[0], int(parameters["width"])]
    if parameters["deep"]:
        widths.append(int(parameters["depth_width"]))
    layers = [nn.Linear(*pair) for pair in zip(widths, [*widths[1:], num_classes], strict=True)]
    return nn.Sequential(*layers)


def of_shape(input_shape: tuple[int, ...], num_classes: int) -> Data:
    """Data without samples: a screen reads shapes alone."""
    none = Tensors(torch.empty(0, *input_shape), torch.empty(0, dtype=torch.int64))
    return Data(none, none, None, input_shape, num_classes)


class Counting:
    """A builder that counts how often it builds."""

    def __init__(self, build: Build = perceptron) -> None:
        self.build, self.count = build, 0

    def __call__(self, parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        self.count += 1
        return self.build(parameters, input_shape, num_classes)


def screen(build: Build = perceptron, **keywords: Any) -> Screen:
    problem = Problem(SPACE, build, load_data=lambda: pytest.fail("a screen needs no data"))
    return Screen(problem, from_keywords(**keywords), of_shape(SHAPE, CLASSES))
