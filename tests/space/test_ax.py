"""Spaces of Ax become spaces of ours."""

import logging

import pytest

from sparsemod.errors import InputError
from sparsemod.space import Choice, Float, Int, SearchSpace


@pytest.fixture(autouse=True)
def quiet_ax(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="ax")


def test_ax_parameters_keep_bounds_scale_and_values() -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import ChoiceParameter, FixedParameter, ParameterType, RangeParameter

    space = SearchSpace.from_ax(
        ax.SearchSpace(
            [
                RangeParameter("layers", ParameterType.INT, 1, 5),
                RangeParameter("filters", ParameterType.INT, 1, 64, log_scale=True),
                RangeParameter("dropout", ParameterType.FLOAT, 0, 0.5),
                RangeParameter("rate", ParameterType.FLOAT, 1e-4, 1e-1, log_scale=True),
                ChoiceParameter("kind", ParameterType.STRING, ["conv", "pool"], is_ordered=False, sort_values=False),
                ChoiceParameter("bias", ParameterType.BOOL, [False, True], is_ordered=True, sort_values=True),
                FixedParameter("epochs", ParameterType.INT, 10),
            ]
        )
    )
    assert space == SearchSpace(
        {
            "layers": Int(1, 5),
            "filters": Int(1, 64, log=True),
            "dropout": Float(0.0, 0.5),
            "rate": Float(1e-4, 1e-1, log=True),
            "kind": Choice(("conv", "pool")),
            "bias": Choice((False, True)),
            "epochs": Choice((10,)),
        }
    )


@pytest.mark.parametrize("kind", ["SearchSpace", "HierarchicalSearchSpace"])
def test_hierarchical_ax_parameters_become_conditions_on_parents_that_stand_before_them(kind: str) -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import ChoiceParameter, FixedParameter, ParameterType, RangeParameter

    space = SearchSpace.from_ax(
        getattr(ax, kind)(
            [
                RangeParameter("width", ParameterType.INT, 1, 9),
                ChoiceParameter(
                    "depth", ParameterType.INT, [1, 2], is_ordered=True, sort_values=True, dependents={2: ["width"]}
                ),
                FixedParameter("root", ParameterType.STRING, "cnn", dependents={"cnn": ["depth", "rate"]}),
                RangeParameter("rate", ParameterType.FLOAT, 0, 1),
            ]
        )
    )
    assert space == SearchSpace(
        {
            "root": Choice(("cnn",)),
            "rate": Float(0.0, 1.0, when={"root": ("cnn",)}),
            "depth": Choice((1, 2), when={"root": ("cnn",)}),
            "width": Int(1, 9, when={"depth": (2,)}),
        }
    )
    assert space.contains({"root": "cnn", "rate": 0.5, "depth": 1})
    assert not space.contains({"root": "cnn", "rate": 0.5, "depth": 2})


def test_ax_constraints_are_refused_with_the_way_out() -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import ParameterType, RangeParameter
    from ax.core.parameter_constraint import ParameterConstraint

    parameters = [RangeParameter(name, ParameterType.INT, 1, 5) for name in ("a", "b")]
    constrained = ax.SearchSpace(parameters, parameter_constraints=[ParameterConstraint(inequality="a + b <= 6")])
    with pytest.raises(InputError, match=r"parameter constraints.*Infeasible\(reason\)"):
        SearchSpace.from_ax(constrained)


def test_ax_parameter_of_an_unknown_kind_is_named() -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import DerivedParameter, ParameterType, RangeParameter

    derived = DerivedParameter("twice", ParameterType.FLOAT, expression_str="2 * a")
    with pytest.raises(InputError, match=r"DerivedParameter\(name='twice'.*a kind sparsemod does not know"):
        SearchSpace.from_ax(ax.SearchSpace([RangeParameter("a", ParameterType.FLOAT, 0, 1), derived]))


def test_circular_ax_space_is_refused() -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import ChoiceParameter, ParameterType

    circle = [
        ChoiceParameter(name, ParameterType.INT, [1, 2], is_ordered=True, sort_values=True, dependents={1: [child]})
        for name, child in (("a", "b"), ("b", "a"))
    ]
    with pytest.raises(InputError, match="circular: a, b depend on each other"):
        SearchSpace.from_ax(ax.SearchSpace(circle))


def test_what_is_no_space_is_refused() -> None:
    with pytest.raises(InputError, match="the space is a dict; it must be a SearchSpace of sparsemod or of Ax"):
        SearchSpace.from_ax({"a": Int(1, 2)})  # type: ignore[arg-type]
