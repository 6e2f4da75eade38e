from collections.abc import Mapping

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible
from sparsemod.problem import Problem
from sparsemod.samplers.telling import excesses, flat, misfit_costs, values_or_medians
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace
from sparsemod.study import Candidate, Study, Trial

SPACE = SearchSpace(
    {
        "depth": Int(1, 2),
        "width": Int(1, 9, when={"depth": (2,)}),
        "rate": Float(0.0, 1.0, when={"depth": (2,)}),
        "kind": Choice(("a", "b", "c"), when={"depth": (2,)}),
    }
)


def test_inactive_parameters_sit_in_their_middle() -> None:
    assert flat(SPACE, {"depth": 1}) == {"depth": 1, "width": 5, "rate": 0.5, "kind": "b"}


def test_active_parameters_stay() -> None:
    whole = {"depth": 2, "width": 9, "rate": 0.0, "kind": "c"}
    assert flat(SPACE, whole) == whole


def test_excess_is_a_share_of_the_limit() -> None:
    limits = {"model_size": 100.0, "working_memory": 10.0, "latency": 5.0}
    assert excesses({"model_size": 150.0, "working_memory": 5.0}, limits) == {
        "model_size": 0.5,
        "working_memory": -0.5,
        "latency": 0.0,
    }


def test_only_costs_over_a_limit_are_told() -> None:
    def costs(parameters: Parameters) -> Mapping[str, float]:
        width = int(parameters["width"])
        if width == 9:
            raise Infeasible("too wide")
        return {"model_size": 10 / (width - 1)}

    problem = Problem(SearchSpace({"width": Int(1, 9)}), costs=costs, objective=lambda candidate: {"error": 0.5})
    screen = Screen(problem, from_keywords(model_size=4))
    assert misfit_costs(screen, {"width": 3}) == {"model_size": 5.0}
    assert misfit_costs(screen, {"width": 6}) is None  # it fits
    assert misfit_costs(screen, {"width": 9}) is None  # no network
    assert misfit_costs(screen, {"width": 1}) is None  # the problem's own code divides by zero


def test_unknown_objectives_are_the_median_of_those_measured() -> None:
    study = Study(("error", "model_size"))
    for number, error in enumerate((0.1, 0.2, 0.9)):
        study.add(Trial(Candidate(number, {}, 1, "sobol"), "complete", {"error": error, "model_size": 10.0}))
    assert values_or_medians(study, {"model_size": 70.0, "latency": 3.0}) == [0.2, 70.0]
