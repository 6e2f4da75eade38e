"""A network is built once for all candidates that differ only in what their builder does not read."""

import copy

import numpy as np
import pytest
from problems.screened import DEEP, PLAIN, SPACE, Build, Counting, perceptron, screen
from torch import nn

from sparsemod.errors import Infeasible
from sparsemod.space import Int, Parameters, SearchSpace


def test_network_is_built_again_only_if_a_parameter_that_it_reads_changes() -> None:
    build = Counting()
    counted = screen(build)
    counted.costs(PLAIN)
    counted.costs(PLAIN)
    counted.costs({**PLAIN, "learning_rate": 5e-3})
    counted.costs({**PLAIN, "prune_threshold": 0.5})
    assert build.count == 1
    assert counted.costs({**PLAIN, "width": 9})["macs"] == 9 * 7
    assert build.count == 2
    assert counted.costs(PLAIN)["macs"] == 8 * 7
    assert build.count == 2


def test_parameter_that_only_some_networks_read_tells_them_apart() -> None:
    build = Counting()
    counted = screen(build)
    assert counted.costs(PLAIN)["macs"] == 8 * 7
    assert counted.costs(DEEP)["macs"] == 8 * 4 + 8 * 5 + 5 * 3
    assert counted.costs({**DEEP, "depth_width": 6})["macs"] == 8 * 4 + 8 * 6 + 6 * 3
    assert counted.costs({**PLAIN, "learning_rate": 5e-3})["macs"] == 8 * 7
    assert counted.costs({**DEEP, "learning_rate": 5e-3})["macs"] == 8 * 4 + 8 * 5 + 5 * 3
    assert build.count <= 4


def with_dict(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return perceptron(dict(parameters), input_shape, num_classes)


def with_stars(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return perceptron({"deep": False, **parameters}, input_shape, num_classes)


def with_keywords(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    def build(width: int, deep: bool, depth_width: int = 0, **_: object) -> nn.Module:
        return perceptron({"width": width, "deep": deep, "depth_width": depth_width}, input_shape, num_classes)

    return build(**parameters)


def with_items(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return perceptron({name: value for name, value in parameters.items()}, input_shape, num_classes)


def with_get(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    layers = {"width": parameters.get("width", 1), "deep": parameters.get("depth_width") is not None}
    return perceptron({**layers, "depth_width": parameters.get("depth_width", 0)}, input_shape, num_classes)


def with_membership(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    deep = "depth_width" in parameters
    widths = {name: parameters[name] for name in ("width", "depth_width") if name in parameters}
    return perceptron({"deep": deep, **widths}, input_shape, num_classes)


def with_deep_copy(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return perceptron(copy.deepcopy(parameters), input_shape, num_classes)


def with_copy(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return perceptron(copy.copy(parameters), input_shape, num_classes)


@pytest.mark.parametrize(
    "build",
    [
        perceptron,
        with_dict,
        with_stars,
        with_keywords,
        with_items,
        with_get,
        with_membership,
        with_deep_copy,
        with_copy,
    ],
)
def test_builder_may_read_its_parameters_in_any_way(build: Build) -> None:
    """A candidate's costs do not depend on what was screened before it."""
    space = SearchSpace({**SPACE, "width": Int(1, 3), "depth_width": Int(1, 3, when={"deep": (True,)})})
    rng, shared = np.random.default_rng(0), screen(build)
    for _ in range(60):
        parameters = space.sample(rng)
        assert shared.costs(parameters) == screen().costs(parameters)


def test_infeasible_network_is_built_once_and_refused_again() -> None:
    def never(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        raise Infeasible(f"width {parameters['width']} is too much")

    build = Counting(never)
    refusing = screen(build)
    for _ in range(3):
        with pytest.raises(Infeasible, match=r"^width 8 is too much$"):
            refusing.costs(PLAIN)
        assert refusing.misfit({**PLAIN, "learning_rate": 5e-3}) == "width 8 is too much"
    assert build.count == 1
    assert refusing.misfit({**PLAIN, "width": 9}) == "width 9 is too much"
