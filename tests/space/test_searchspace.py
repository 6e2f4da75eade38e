"""Search spaces: members, conditions, encodings, and definitions that are refused."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.errors import InputError
from sparsemod.space import Choice, Float, Int, Parameter, SearchSpace, identity

CNN = SearchSpace(
    {
        "depth": Int(1, 3),
        "filters_1": Int(1, 64, log=True),
        "filters_2": Int(1, 64, log=True, when={"depth": (2, 3)}),
        "filters_3": Int(1, 64, log=True, when={"depth": (3,)}),
        "kind_3": Choice(("conv", "depthwise", "pool"), when={"depth": (3,)}),
        "stride_3": Choice((1, 2), when={"depth": (3,), "kind_3": ("conv", "pool")}),
        "learning_rate": Float(1e-4, 1e-1, log=True),
    }
)


@st.composite
def parameters(draw: st.DrawFn, earlier: dict[str, Parameter]) -> Parameter:
    """Any parameter, some active only under a condition on those before it."""
    when = None
    if draw(st.booleans()) and earlier:
        parent = draw(st.sampled_from(sorted(earlier)))
        when = {parent: [earlier[parent].from_unit(draw(st.floats(0, 1)))]}
    log = draw(st.booleans())
    kind: str = draw(st.sampled_from(("int", "float", "choice")))
    match kind:
        case "int":
            low = draw(st.integers(1 if log else -20, 20))
            return Int(low, low + draw(st.integers(0, 100)), log, when)
        case "float":
            low_real = draw(st.floats(1e-6 if log else -10, 10))
            return Float(low_real, low_real + draw(st.floats(0, 100)), log, when)
        case _:
            options = st.lists(st.one_of(st.integers(2, 9), st.booleans(), st.text("abc", max_size=2)), unique=True)
            return Choice(draw(options.filter(len)), when)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Any small search space."""
    made: dict[str, Parameter] = {}
    for index in range(draw(st.integers(1, 5))):
        made[f"p{index}"] = draw(parameters(made))
    return SearchSpace(made)


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(spaces(), seeds)
def test_every_sample_is_a_canonical_member(space: SearchSpace, rng: np.random.Generator) -> None:
    sample = space.sample(rng)
    assert space.mistakes(sample) == []
    assert space.contains(sample)
    assert space.canonical(sample) == sample


@given(spaces(), seeds, st.integers(1, 6))
def test_every_mutation_is_another_member_and_leaves_its_parent_alone(
    space: SearchSpace, rng: np.random.Generator, changes: int
) -> None:
    parent = space.sample(rng)
    before = copy.deepcopy(parent)
    child = space.mutate(parent, rng, changes)
    assert parent == before
    assert space.mistakes(child) == []
    assert space.canonical(child) == child
    can_vary = any(
        len(space[name].options) > 1 if isinstance(space[name], Choice) else space[name].low < space[name].high  # type: ignore[union-attr]
        for name in parent
    )
    assert (child != parent) == can_vary


@given(spaces(), seeds, seeds)
def test_canonical_form_drops_inactive_values_and_is_idempotent(
    space: SearchSpace, rng: np.random.Generator, other: np.random.Generator
) -> None:
    sample = space.sample(rng)
    leftovers = {name: space[name].from_unit(other.random()) for name in space if name not in sample}
    assert space.canonical(leftovers | sample) == sample
    assert list(space.canonical(leftovers | sample)) == [name for name in space if name in sample]
    assert space.canonical(space.canonical(leftovers | sample)) == sample


@given(spaces(), seeds, seeds)
def test_encoding_lies_in_the_unit_cube_and_is_that_of_the_canonical_form(
    space: SearchSpace, rng: np.random.Generator, other: np.random.Generator
) -> None:
    sample = space.sample(rng)
    leftovers = {name: space[name].from_unit(other.random()) for name in space if name not in sample}
    encoded = space.encode(sample)
    assert encoded.shape == (space.width,)
    assert ((encoded >= 0) & (encoded <= 1)).all()
    assert (space.encode(leftovers | sample) == encoded).all()


@given(spaces(), seeds)
def test_completing_nothing_gives_a_member_and_completing_a_member_changes_nothing(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    sample = space.sample(rng)
    assert space.complete(sample, rng) == sample
    assert space.contains(space.complete({}, rng))


@given(spaces())
def test_space_survives_pickling_and_equals_its_copy(space: SearchSpace) -> None:
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space
    assert hash(twin) == hash(space)


def test_inactive_parameters_are_encoded_in_the_middle() -> None:
    sample = {"depth": 1, "filters_1": 64, "learning_rate": 1e-4}
    assert CNN.width == 1 + 3 + 3 + 1 + 1
    assert CNN.encode(sample).tolist() == [0, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0]


def test_mutation_passes_over_parameters_of_one_value() -> None:
    space = SearchSpace({"fixed": Choice((3,)), "also": Int(2, 2), "free": Int(1, 2)})
    rng = np.random.default_rng(0)
    parent = {"fixed": 3, "also": 2, "free": 1}
    assert all(space.mutate(parent, rng)["free"] == 2 for _ in range(20))


def test_mutation_of_a_space_with_one_member_is_that_member() -> None:
    space = SearchSpace({"fixed": Choice((3,)), "also": Float(0.5, 0.5)})
    assert space.mutate({"fixed": 3, "also": 0.5}, np.random.default_rng(0)) == {"fixed": 3, "also": 0.5}


def test_parameters_that_become_active_are_drawn_and_not_taken_from_leftovers() -> None:
    space = SearchSpace({"deep": Choice((False, True)), "width": Int(1, 1000, when={"deep": [True]})})
    rng = np.random.default_rng(0)
    children = [space.mutate({"deep": False, "width": 7}, rng) for _ in range(10)]
    assert len({child["width"] for child in children}) > 5


def test_equal_seeds_give_equal_samples() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [CNN.sample(first) for _ in range(5)] == [CNN.sample(second) for _ in range(5)]


def test_point_has_one_coordinate_per_parameter() -> None:
    assert CNN.from_unit([0.0] * 7) == {"depth": 1, "filters_1": 1, "learning_rate": 1e-4}
    with pytest.raises(ValueError, match="shorter"):
        CNN.from_unit([0.0] * 6)


def test_condition_on_two_parents_needs_both() -> None:
    deep = {"depth": 3, "filters_1": 1, "filters_2": 1, "filters_3": 1, "learning_rate": 1e-3, "stride_3": 2}
    assert "stride_3" in CNN.canonical(deep | {"kind_3": "pool"})
    assert "stride_3" not in CNN.canonical(deep | {"kind_3": "depthwise"})
    assert "stride_3" not in CNN.canonical(deep | {"kind_3": "pool", "depth": 2})


def test_inactive_value_is_no_mistake_even_out_of_bounds() -> None:
    assert CNN.contains({"depth": 1, "filters_1": 1, "filters_2": 9999, "learning_rate": 1e-3})


def test_mistakes_are_found_all_together_in_the_order_given() -> None:
    wrong = {"zeta": 1, "dept": 2, "depth": 4, "filters_1": 2.0, "learning_rate": math.nan}
    assert CNN.mistakes(wrong) == [
        "zeta is not a parameter of the space",
        "dept is not a parameter of the space; did you mean depth?",
        "depth is 4; it must be a whole number from 1 to 3",
        "filters_1 is 2.0; it must be a whole number from 1 to 64",
        "learning_rate is nan; it must be a number from 0.0001 to 0.1",
    ]
    assert CNN.mistakes({"depth": 2, "filters_1": 1, "learning_rate": 1e-3}) == [
        "filters_2 is missing; it must be a whole number from 1 to 64"
    ]


def test_numpy_numbers_of_a_users_morphism_are_members_and_become_python_numbers() -> None:
    given: dict[str, Any] = {"depth": np.int64(1), "filters_1": np.int32(8), "learning_rate": np.float32(0.01)}
    assert CNN.contains(given)
    for result in (CNN.canonical(given), CNN.complete(given, np.random.default_rng(0))):
        assert result == {"depth": 1, "filters_1": 8, "learning_rate": pytest.approx(0.01)}
        assert [type(value) for value in result.values()] == [int, int, float]


def test_equal_candidates_have_one_identity_however_they_are_written() -> None:
    space = SearchSpace({"rate": Float(0, 2), "stride": Choice((1, 2)), "width": Int(1, 9, when={"stride": (2,)})})
    first: dict[str, Any] = {"rate": 1.0, "stride": 1}
    second: dict[str, Any] = {"width": 7, "stride": 1.0, "rate": np.int64(1)}
    assert identity(space.canonical(first)) == identity(space.canonical(second))
    assert identity(space.canonical(first)) != identity(space.canonical(first | {"rate": 0.5}))


def test_complete_replaces_what_is_missing_or_out_of_bounds_and_keeps_the_rest() -> None:
    completed = CNN.complete({"depth": 2, "filters_1": 999, "extra": 1}, np.random.default_rng(0))
    assert completed["depth"] == 2
    assert list(completed) == ["depth", "filters_1", "filters_2", "learning_rate"]
    assert CNN.contains(completed)


def test_all_mistakes_of_a_definition_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        SearchSpace(
            {
                "upside_down": Int(5, 1),
                "log_zero": Float(0, 1, log=True),
                "half": Int(1, 2.5),  # type: ignore[arg-type]
                "endless": Float(0, math.inf),
                "unknown": Float(math.nan, 1),
                "none": Choice(()),
                "twice": Choice((1, 2, True)),
                "number": 3,  # type: ignore[dict-item]
                "early": Int(1, 2, when={"later": (1,)}),
                "later": Int(1, 2),
                "never": Int(1, 2, when={"later": (7, 8)}),
                "bare": Int(1, 2, when={"later": 1}),  # type: ignore[dict-item]
                "text": Int(1, 2, when={"twice": "12"}),
            }
        )
    assert str(caught.value).splitlines() == [
        "the search space cannot be used",
        "  upside_down: low 5 is above high 1",
        "  log_zero: a log scale needs low above 0, not 0",
        "  half: low 1 and high 2.5 must be whole numbers",
        "  endless: low 0 and high inf must be finite numbers",
        "  unknown: low nan and high 1 must be finite numbers",
        "  none: has no options",
        "  twice: has an option twice",
        "  number: 3 is not an Int, Float or Choice",
        "  early: active only for a value of 'later', which is not a parameter before it",
        "  never: can never be active, 'later' is a whole number from 1 to 2, never [7, 8]",
        "  bare: the values of 'later' under which it is active must be a list, not 1",
        "  text: the values of 'twice' under which it is active must be a list, not '12'",
    ]


def test_empty_space_is_refused() -> None:
    with pytest.raises(InputError, match="it has no parameters"):
        SearchSpace({})


def test_description_tells_spaces_apart() -> None:
    assert SearchSpace({"a": Int(1, 2)}) == SearchSpace({"a": Int(1, 2)})
    assert SearchSpace({"a": Int(1, 2)}) != SearchSpace({"a": Int(1, 3)})
    assert SearchSpace({"a": Int(1, 2)}) != SearchSpace({"a": Choice((1, 2))})
    assert SearchSpace({"a": Int(1, 2)}) != {"a": Int(1, 2)}


def test_condition_may_be_a_range() -> None:
    space = SearchSpace({"depth": Int(1, 4), "width": Int(1, 9, when={"depth": range(2, 4)})})
    assert space.contains({"depth": 1})
    assert space.contains({"depth": 4})
    assert not space.contains({"depth": 3})
    assert '"depth": [2, 3]' in space.describe()


def test_space_is_a_mapping_that_its_source_cannot_change() -> None:
    source: dict[str, Parameter] = {"a": Int(1, 2)}
    space = SearchSpace(source)
    source["b"] = Int(1, 2)
    assert list(space) == ["a"]
    assert len(space) == 1
    assert space["a"] == Int(1, 2)
