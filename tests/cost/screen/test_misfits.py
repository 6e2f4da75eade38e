"""Which candidates do not fit, and what is wrong with what the user brings."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from problems.screened import CLASSES, PLAIN, SHAPE, SPACE, of_shape, perceptron, screen
from torch import nn

from sparsemod.config import Config, from_keywords
from sparsemod.cost.screen import Screen, over_limits
from sparsemod.device import DEVICES
from sparsemod.errors import BuilderError, Infeasible, InputError
from sparsemod.problem import Problem
from sparsemod.space import Parameters


def test_candidate_within_all_limits_fits() -> None:
    assert screen(device="arduino-uno").misfit(PLAIN) is None


def test_candidate_exactly_at_a_limit_fits() -> None:
    costs = screen().costs(PLAIN)
    limits = {name: costs[name] for name in ("model_size", "working_memory", "latency")}
    assert screen(**limits).misfit(PLAIN) is None


def test_misfit_names_every_limit_broken_with_units() -> None:
    """56 weights take a byte, 11 outputs 4 for the bias and 5 for the scale, both ends 10; 56 MACs at 56 per second."""
    tight = screen(model_size="0.1 KB", working_memory="10", latency="0.5 s", flops=56)
    assert tight.misfit(PLAIN) == (
        "model_size: 165 bytes is over the limit of 100 bytes; "
        "working_memory: 12 bytes is over the limit of 10 bytes; "
        "latency: 1000 ms is over the limit of 500 ms"
    )


def test_network_that_cannot_process_its_input_does_not_fit() -> None:
    def wrong(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return nn.Linear(5, num_classes)

    assert str(screen(wrong).misfit(PLAIN)).startswith("the network cannot process an input of 4: ")


def test_over_limits_ignores_what_is_not_limited_or_not_known() -> None:
    assert over_limits({"error": 1.0, "energy": 5}, {"latency": 1}) is None
    assert over_limits({}, {}) is None
    assert over_limits({"ink": 5}, {"ink": 4.5}) == "ink: 5 is over the limit of 4.5"
    assert over_limits({"energy": 5}, {"energy": 4.5}) == "energy: 5 mJ is over the limit of 4.5 mJ"


def test_energy_is_limited_where_the_power_is_known() -> None:
    """56 MACs at 56 per second take a second, at 52 mW."""
    tight = screen(energy="50 mJ", flops=56)
    assert tight.costs(PLAIN)["energy"] == pytest.approx(52)
    assert tight.misfit(PLAIN) == "energy: 52 mJ is over the limit of 50 mJ"
    assert screen(energy="53 mJ", flops=56).misfit(PLAIN) is None


# --- what the user brings --------------------------------------------------------------------------------------------


def test_builder_that_ignores_the_number_of_classes_is_refused() -> None:
    def fixed(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return nn.Linear(4, 1000)

    with pytest.raises(InputError) as caught:
        screen(fixed).misfit(PLAIN)
    assert str(caught.value) == (
        "build returned a network with output (1000,); it must be (3,): one score for each class (does the builder use "
        "num_classes?)"
    )


def test_other_error_of_a_builder_is_named_with_its_cause() -> None:
    broken = {**PLAIN, "deep": True}
    with pytest.raises(BuilderError, match=r"^build raised KeyError: 'depth_width'$") as caught:
        screen().misfit(broken)
    assert isinstance(caught.value.__cause__, KeyError)
    assert [screen().can_build(parameters) for parameters in (PLAIN, broken)] == [True, False]


def test_infeasible_or_too_large_candidates_can_be_built() -> None:
    def never(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        raise Infeasible("too deep")

    assert screen(never).can_build(PLAIN)
    assert screen(model_size=1).can_build(PLAIN)


@pytest.mark.parametrize("asked", [{"energy": "1 mJ"}, {"objectives": "error, energy"}])
def test_energy_is_refused_where_the_power_is_not_known(asked: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        screen(device="rp2040", **asked)
    assert str(caught.value) == (
        "energy: the power of 'rp2040' is not known. Presets with a figure: arduino-uno, microbit-v1, nano-33-ble, "
        "stm32l4r5, esp32-s3; or give a device of your own with active_power_mw"
    )


def test_other_error_of_the_problems_costs_is_named_with_its_cause() -> None:
    problem = Problem(SPACE, costs=lambda parameters: {"energy": 1 / 0}, objective=lambda candidate: {"error": 0.5})
    with pytest.raises(BuilderError, match=r"^costs raised ZeroDivisionError: division by zero$"):
        Screen(problem, Config()).misfit(PLAIN)


def test_costs_of_the_problem_replace_those_of_a_network() -> None:
    def costs(parameters: Parameters) -> Mapping[str, float]:
        return {"model_size": 10 * int(parameters["width"]), "energy": 2.5}

    problem = Problem(SPACE, perceptron, load_data=lambda: pytest.fail("no data"), costs=costs)
    own = Screen(problem, from_keywords(model_size=100), of_shape(SHAPE, CLASSES))
    assert own.costs(PLAIN) == {"model_size": 80, "energy": 2.5}
    assert own.misfit({**PLAIN, "width": 11}) == "model_size: 110 bytes is over the limit of 100 bytes"


def test_costs_of_the_problem_may_refuse_a_candidate() -> None:
    def costs(parameters: Parameters) -> Mapping[str, float]:
        raise Infeasible("no board has this shape")

    problem = Problem(SPACE, costs=costs, objective=lambda candidate: {"error": 0.5})
    assert Screen(problem, Config()).misfit(PLAIN) == "no board has this shape"


def test_problem_without_network_and_costs_has_none() -> None:
    problem = Problem(SPACE, objective=lambda candidate: {"error": 0.5})
    assert Screen(problem, Config()).costs(PLAIN) == {}
    assert Screen(problem, Config()).misfit(PLAIN) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_cost_that_is_not_finite_is_refused(value: float) -> None:
    problem = Problem(SPACE, costs=lambda parameters: {"energy": value}, objective=lambda candidate: {"error": 0.5})
    with pytest.raises(InputError, match=rf"the costs of \{{'width': 8, .*\}} are not finite: \{{'energy': {value}\}}"):
        Screen(problem, Config()).misfit(PLAIN)


def test_cost_model_of_ones_own_is_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "energy.py").write_text(
        "def cost(graph, device):\n    return {'energy': graph.macs * 2, 'model_size': 1, 'clock': device.clock_hz}\n"
    )
    config = Config(**{**vars(from_keywords(cost="energy.py:cost")), "folder": tmp_path})
    problem = Problem(SPACE, perceptron, load_data=lambda: pytest.fail("no data"))
    own = Screen(problem, config, of_shape(SHAPE, CLASSES))
    assert own.costs(PLAIN) == {"energy": 112, "model_size": 1, "clock": DEVICES["arduino-uno"].clock_hz}
    assert own.misfit(PLAIN) is None


def test_energy_may_come_from_costs_of_the_problem() -> None:
    problem = Problem(SPACE, costs=lambda parameters: {"energy": 2.5}, objective=lambda candidate: {"error": 0.5})
    own = Screen(problem, from_keywords(device="rp2040", energy=2))
    assert own.misfit(PLAIN) == "energy: 2.5 mJ is over the limit of 2 mJ"


def test_cost_model_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    config = Config(**{**vars(from_keywords(cost="absent.py:cost")), "folder": tmp_path})
    with pytest.raises(InputError, match=r"absent.py does not exist"):
        Screen(Problem(SPACE, objective=lambda candidate: {}), config)
