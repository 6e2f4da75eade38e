"""Costs of candidates before they are trained, with the weights and channels that training will remove."""

import numpy as np
import pytest
import torch
from problems.screened import PLAIN, Counting, of_shape, screen
from torch import nn

from sparsemod.config import from_keywords
from sparsemod.cost import cost
from sparsemod.cost.screen import Screen, target_sparsity
from sparsemod.errors import InputError
from sparsemod.graph import trace
from sparsemod.problem import Problem
from sparsemod.space import Parameters
from sparsemod.spaces import cnn


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


def test_screening_leaves_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    screen().costs(PLAIN)
    assert torch.equal(torch.rand(3), expected)


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
