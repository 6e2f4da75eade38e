import pytest
import torch
from torch import nn

from sparsemod.errors import InputError
from sparsemod.graph import trace
from sparsemod.graph.pattern import Pattern, pattern


@pytest.mark.parametrize(("name", "expected"), [("2:4", Pattern(2, 4)), ("1:16", Pattern(1, 16)), ("element", None)])
def test_name_says_how_many_of_how_many(name: str, expected: Pattern | None) -> None:
    assert pattern(name) == expected


@pytest.mark.parametrize("name", ["4:4", "0:4", "4:2", "2-4", "2:", ":4", "2:4:8", "-1:4", "elements", "", 2])
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"prune_pattern is .*; it must be 'element', or N:M with 0 < N < M"):
        pattern(name)


@pytest.mark.parametrize(
    ("shape", "zeros"),
    [
        ((1, 4), 2),
        ((1, 8), 4),
        ((1, 7), 3),  # 2 of 4 and 2 of 3 stay
        ((1, 5), 2),  # 2 of 4 and 1 of 1
        ((5, 2), 0),
        ((3, 8, 3, 3), 3 * 4 * 9),
        ((16, 1, 3, 3), 0),  # depthwise
    ],
)
def test_zeros_are_those_counted_by_hand(shape: tuple[int, ...], zeros: int) -> None:
    chosen = Pattern(2, 4)
    torch.manual_seed(0)
    assert chosen.zeros(shape) == zeros
    assert int(chosen.smallest(torch.randn(shape)).sum()) == zeros


def test_largest_weights_of_each_group_stay() -> None:
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.1, 0.3, -0.2]])
    assert Pattern(2, 4).smallest(weight).tolist() == [[True, False, False, True, True, False, False]]
    assert Pattern(1, 4).smallest(weight).tolist() == [[True, False, True, True, True, False, True]]


def test_rows_run_along_the_inputs_of_each_tap() -> None:
    weight = torch.zeros(1, 4, 1, 2)
    weight[0, :, 0, 0] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    weight[0, :, 0, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    small = Pattern(2, 4).smallest(weight)
    assert small[0, :, 0, 0].tolist() == [False, False, True, True]
    assert small[0, :, 0, 1].tolist() == [True, True, False, False]


def test_equal_weights_leave_no_more_than_the_pattern_allows() -> None:
    assert int(Pattern(2, 4).smallest(torch.zeros(3, 8)).sum()) == 12


def test_share_counts_all_weights_that_may_be_pruned() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(32, 10), nn.LayerNorm(10))
    # 72 weights in rows of one, and 10 rows of 32
    assert Pattern(1, 4).share(trace(network, (1, 4, 4))) == 10 * 24 / (72 + 320)


def test_share_of_a_recurrent_layer_counts_input_and_state_apart() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 6, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0][:, -1]

    with torch.device("meta"):
        network = Last()
    # rows of 3, of which 2 stay, and rows of 6, of which 2 + 2 stay
    assert Pattern(2, 4).share(trace(network, (5, 3))) == (1 + 2) / 9


def test_network_without_weights_has_no_share() -> None:
    assert Pattern(2, 4).share(trace(nn.Flatten(), (2, 2))) == 0
