"""One parameter of each kind: its values, its encoding, its mutation."""

import math
from collections import Counter

import numpy as np
import pytest

from sparsemod.space import Choice, Float, Int, Parameter


@pytest.mark.parametrize(
    "parameter",
    [Int(3, 9), Int(-2, 2), Int(5, 5), Choice(("a", "b", "c")), Choice((True, False)), Choice((7,))],
    ids=str,
)
def test_from_unit_gives_every_value_an_equal_share(parameter: Int | Choice) -> None:
    values = parameter.options if isinstance(parameter, Choice) else range(parameter.low, parameter.high + 1)
    count = 100 * len(values)
    found = Counter(parameter.from_unit((index + 0.5) / count) for index in range(count))
    assert found == dict.fromkeys(values, 100)


def test_from_unit_on_a_log_scale_covers_every_value_and_halves_by_ratio() -> None:
    parameter = Int(1, 64, log=True)
    found = [parameter.from_unit(unit) for unit in np.linspace(0, 1, 5_000, endpoint=False)]
    assert sorted(set(found)) == list(range(1, 65))
    assert found == sorted(found)
    assert parameter.from_unit(0.5) == round(math.sqrt(0.5 * 64.5))
    assert Int(4, 4, log=True).from_unit(0.99) == 4


@pytest.mark.parametrize(
    "parameter", [Int(1, 8), Int(1, 8, log=True), Float(0.5, 2), Float(0.5, 2, log=True)], ids=repr
)
def test_ends_of_the_unit_interval_are_the_bounds(parameter: Int | Float) -> None:
    assert parameter.from_unit(0) == parameter.low
    assert parameter.from_unit(1) == parameter.high


def test_middle_of_a_real_range_is_arithmetic_or_geometric() -> None:
    assert Float(1e-4, 1e-2).from_unit(0.5) == 0.00505
    assert Float(1e-4, 1e-2, log=True).from_unit(0.5) == 0.001
    assert Float(2.5, 2.5).from_unit(0.3) == 2.5


def test_encoding_of_each_kind() -> None:
    assert Int(2, 6).encode(3) == [0.25]
    assert Int(1, 16, log=True).encode(4) == [pytest.approx(0.5)]
    assert Float(1e-4, 1, log=True).encode(1e-3) == [pytest.approx(0.25)]
    assert Int(5, 5).encode(5) == [0.5]
    assert Choice(("a", "b", "c")).encode("b") == [0, 1, 0]
    assert Choice((False, True)).encode(True) == [1]
    assert Choice(("only",)).encode("only") == [0]


@pytest.mark.parametrize("parameter", [Int(1, 8), Float(0.0, 1.0), Float(1e-4, 1e-1, log=True)], ids=repr)
@pytest.mark.parametrize("end", ["low", "high"])
def test_mutation_moves_away_from_a_bound(parameter: Int | Float, end: str) -> None:
    rng = np.random.default_rng(0)
    value = getattr(parameter, end)
    children = [parameter.mutate(value, rng) for _ in range(200)]
    assert value not in children
    assert all(child in parameter for child in children)


@pytest.mark.parametrize("parameter", [Int(1, 8), Float(0.0, 1.0), Float(1e-4, 1e-1, log=True)], ids=repr)
def test_mutation_over_a_bound_ends_there(parameter: Int | Float) -> None:
    """The best is often at a bound: of steps much longer than the range, half go to each."""
    rng = np.random.default_rng(0)
    middle = parameter.from_unit(0.5)
    children = [parameter.mutate(middle, rng, step=100) for _ in range(200)]
    assert min(children.count(parameter.low), children.count(parameter.high)) > 70


def test_mutation_prefers_near_values() -> None:
    rng = np.random.default_rng(0)
    steps = [abs(Int(1, 100).mutate(50, rng) - 50) for _ in range(500)]
    assert np.median(steps) < 25  # a uniform draw would have 25


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        (True, Int(0, 1)),
        ("1", Int(0, 1)),
        (1.0, Int(0, 1)),
        (True, Float(0, 1)),
        (math.inf, Float(0, 1)),
        (None, Float(0, 1)),
        (1, Choice((True, False))),
        (True, Choice((0, 1))),
        ("", Choice(("a",))),
    ],
)
def test_value_of_another_kind_is_not_contained(value: object, parameter: Parameter) -> None:
    assert value not in parameter


def test_whole_number_is_a_real_number() -> None:
    assert 1 in Float(0, 2)
