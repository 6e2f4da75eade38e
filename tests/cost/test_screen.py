import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparsemod.config import Config, from_keywords
from sparsemod.cost import cost
from sparsemod.cost.screen import Screen, over_limits, target_sparsity
from sparsemod.data import Data, Tensors
from sparsemod.device import DEVICES
from sparsemod.errors import BuilderError, Infeasible, InputError
from sparsemod.graph import trace
from sparsemod.problem import Problem
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace
from sparsemod.spaces import cnn

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


# --- costs -----------------------------------------------------------------------------------------------------------


def test_costs_are_those_of_the_traced_network() -> None:
    config = from_keywords(device="stm32f746")
    space = cnn.space()
    member = space.sample(np.random.default_rng(0)) | {"prune_threshold": 0.0}
    problem = Problem(space, cnn.build, load_data=lambda: pytest.fail("a screen needs no data"))
    costs = Screen(problem, config, of_shape((3, 32, 32), 10)).costs(member)
    with torch.device("meta"):
        network = cnn.build(member, (3, 32, 32), 10)
    assert costs == cost(trace(network, (3, 32, 32)), config.target())


def test_costs_are_those_counted_by_hand() -> None:
    costs = screen().costs(PLAIN)
    assert (costs["macs"], costs["params"]) == (4 * 8 + 8 * 3, (4 * 8 + 8) + (8 * 3 + 3))
    assert costs["working_memory"] == 8 + 4  # the hidden units and the wider of input and output


def test_quantization_scheme_sets_the_bytes_of_a_weight() -> None:
    dense, float32 = screen().costs(PLAIN), screen(quant_scheme="none").costs(PLAIN)
    assert float32["working_memory"] == 4 * dense["working_memory"]
    assert float32["model_size"] > dense["model_size"]


def test_network_is_built_without_memory_for_its_weights() -> None:
    def huge(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 10**12), nn.Linear(10**12, num_classes))  # 28 TB

    assert screen(huge).costs(PLAIN)["macs"] == 7 * 10**12
    assert nn.Linear(1, 1).weight.device.type == "cpu"  # the screen changes nothing outside


def test_pruning_lowers_the_model_size_and_nothing_else() -> None:
    wide = {**PLAIN, "width": 64}
    one, dense, sparse = screen(), screen().costs(wide), screen().costs({**wide, "prune_threshold": 0.75})
    assert sparse["model_size"] < dense["model_size"]
    assert sparse["nnz"] == dense["nnz"] - 0.75 * (4 * 64 + 64 * 3)
    assert all(sparse[name] == dense[name] for name in ("working_memory", "latency", "macs", "params"))
    assert one.costs({**wide, "prune_threshold": 0.75}) == sparse


def test_target_sparsity_counts_only_where_pruning_is_on() -> None:
    sparse = {**PLAIN, "width": 64, "prune_threshold": 0.75}
    assert screen(pruning=False).costs(sparse) == screen().costs({**sparse, "prune_threshold": 0.0})


def test_target_sparsity_is_zero_unless_the_space_has_one() -> None:
    assert target_sparsity({"prune_threshold": 0.25}) == 0.25
    assert target_sparsity({}) == 0


def test_pattern_says_how_many_weights_are_zero_whatever_the_threshold() -> None:
    wide = {**PLAIN, "width": 64, "prune_threshold": 0.9}
    dense, found = screen().costs({**wide, "prune_threshold": 0.0}), screen().costs({**wide, "prune_pattern": "1:4"})
    assert found["nnz"] == dense["nnz"] - 0.75 * (4 * 64 + 64 * 3)
    assert target_sparsity({**wide, "prune_pattern": "1:4"}) == 0
    assert screen(pruning=False).costs({**wide, "prune_pattern": "1:4"}) == dense


def test_unknown_pattern_is_refused() -> None:
    with pytest.raises(InputError, match="prune_pattern is '5:4'"):
        screen().costs({**PLAIN, "prune_pattern": "5:4"})


# --- channels that training will remove ------------------------------------------------------------------------------


def test_costs_are_those_of_the_channels_that_will_be_left() -> None:
    costs = screen().costs({**PLAIN, "prune_channels": 0.5})
    assert costs == screen().costs({**PLAIN, "width": 4})
    assert costs["working_memory"] == 4 + 4


def test_candidate_that_fits_only_without_its_channels_fits() -> None:
    tight = screen(working_memory=11)
    assert tight.misfit({**PLAIN, "prune_channels": 0.5}) is None
    assert tight.misfit(PLAIN) == "working_memory: 12 bytes is over the limit of 11 bytes"
    assert not screen(working_memory=11, pruning=False).fits({**PLAIN, "prune_channels": 0.5})


def test_networks_that_differ_in_their_channels_alone_are_told_apart() -> None:
    build = Counting()
    counted = screen(build)
    found = [counted.costs({**PLAIN, "prune_channels": share})["macs"] for share in (0.0, 0.5, 0.0, 0.5)]
    assert found == [8 * 7, 4 * 7, 8 * 7, 4 * 7]
    assert counted.costs({**PLAIN, "prune_channels": 0.5, "prune_threshold": 0.3})["macs"] == 4 * 7
    assert build.count == 2


@pytest.mark.parametrize("share", [1.0, -0.1, 1.5])
def test_share_of_channels_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"^prune_channels is {share:g}; it must be at least 0 and below 1$"):
        screen().costs({**PLAIN, "prune_channels": share})


class Fixed(nn.Module):
    """Its forward knows how wide its layer is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.last = nn.Linear(4, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).reshape(-1, self.width))


def test_forward_that_fixes_its_widths_is_told_so() -> None:
    fixed = screen(lambda parameters, shape, classes: Fixed(int(parameters["width"])))
    assert fixed.misfit(PLAIN) is None
    with pytest.raises(InputError, match=r"^prune_channels = 0\.5 removes channels, and the forward of the network"):
        fixed.costs({**PLAIN, "prune_channels": 0.5})


def test_forward_that_insists_on_its_widths_is_told_so() -> None:
    class Insisting(Fixed):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            if x.shape[1] != self.width:
                raise TypeError("my width")
            return self.last(x)

    fixed = screen(lambda parameters, shape, classes: Insisting(int(parameters["width"])))
    with pytest.raises(InputError, match=r"^prune_channels = .*: my width\. Let it read sizes off its tensors"):
        fixed.costs({**PLAIN, "prune_channels": 0.5})


def test_what_is_wrong_without_removal_is_said_first() -> None:
    cumulated = screen(lambda parameters, shape, classes: Cumulated(4, classes))
    with pytest.raises(InputError, match="'cumsum' cannot be costed"):
        cumulated.costs({**PLAIN, "prune_channels": 0.5})


class Cumulated(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).cumsum(1)


# --- caching ---------------------------------------------------------------------------------------------------------


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


# --- misfits ---------------------------------------------------------------------------------------------------------


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


def test_energy_is_limited_where_the_power_is_known() -> None:
    """56 MACs at 56 per second take a second, at 52 mW."""
    tight = screen(energy="50 mJ", flops=56)
    assert tight.costs(PLAIN)["energy"] == pytest.approx(52)
    assert tight.misfit(PLAIN) == "energy: 52 mJ is over the limit of 50 mJ"
    assert screen(energy="53 mJ", flops=56).misfit(PLAIN) is None


@pytest.mark.parametrize("asked", [{"energy": "1 mJ"}, {"objectives": "error, energy"}])
def test_energy_is_refused_where_the_power_is_not_known(asked: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        screen(device="rp2040", **asked)
    assert str(caught.value) == (
        "energy: the power of 'rp2040' is not known. Presets with a figure: arduino-uno, microbit-v1, nano-33-ble, "
        "stm32l4r5, esp32-s3; or give a device of your own with active_power_mw"
    )


def test_energy_may_come_from_costs_of_the_problem() -> None:
    problem = Problem(SPACE, costs=lambda parameters: {"energy": 2.5}, objective=lambda candidate: {"error": 0.5})
    own = Screen(problem, from_keywords(device="rp2040", energy=2))
    assert own.misfit(PLAIN) == "energy: 2.5 mJ is over the limit of 2 mJ"


def test_cost_model_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    config = Config(**{**vars(from_keywords(cost="absent.py:cost")), "folder": tmp_path})
    with pytest.raises(InputError, match=r"absent.py does not exist"):
        Screen(Problem(SPACE, objective=lambda candidate: {}), config)


def test_screening_leaves_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    screen().costs(PLAIN)
    assert torch.equal(torch.rand(3), expected)
