import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.cost.encoding import Encoding, smallest, stored
from sparsemod.graph import Operator


def layer(weights: list[int], bits: int = 8) -> Operator:
    return Operator("linear", "fc", (0,), 1, weight=torch.tensor([weights], dtype=torch.int8), weight_bits=bits)


def spread(count: int, every: int, value: int = 1) -> list[int]:
    """So many weights, of which the last of every few is not zero."""
    return [value if (position + 1) % every == 0 else 0 for position in range(count)]


@pytest.mark.parametrize(
    ("weights", "bits", "expected"),
    [
        ([5] * 20, 8, Encoding("dense", 8, 20)),
        ([5] * 21, 4, Encoding("packed", 4, 11)),
        ([1, -1, 1], 2, Encoding("packed", 2, 1)),
        (spread(80, 2), 8, Encoding("bitmap", 8, 10 + 40)),
        (spread(80, 2), 4, Encoding("bitmap", 4, 10 + 20)),
        (spread(80, 2), 2, Encoding("bitmap", 1, 10 + 5)),
        (spread(80, 10), 8, Encoding("runs4", 8, 4 + 8)),
        (spread(80, 10), 4, Encoding("runs4", 4, 4 + 4)),
        (spread(80, 10), 2, Encoding("runs4", 1, 4 + 1)),
        (spread(1000, 100), 8, Encoding("runs8", 8, 10 + 10)),
    ],
)
def test_the_smallest_of_four_by_hand(weights: list[int], bits: int, expected: Encoding) -> None:
    assert smallest(layer(weights, bits)) == expected


def test_before_there_are_values_all_weights_are_stored() -> None:
    weight = torch.empty(3, 7, device="meta")
    sizes = [smallest(Operator("linear", "fc", (0,), 1, weight=weight, weight_bits=bits)).nbytes for bits in (8, 4, 2)]
    assert sizes == [21, 11, 6]


def test_bytes_by_hand() -> None:
    """From the lowest bits: 0001 and 1111 are 1 and -1; 01 11 00 01 are 1, -1, 0, 1; a set bit is a minus sign."""
    assert [part.tolist() for part in stored(np.int8([1, -1, 7]), Encoding("packed", 4, 2))] == [[], [0xF1, 0x07]]
    assert [part.tolist() for part in stored(np.int8([1, -1, 0, 1]), Encoding("packed", 2, 1))] == [[], [0b01001101]]
    assert [part.tolist() for part in stored(np.int8([0, -2, 3]), Encoding("bitmap", 8, 3))] == [[0b110], [254, 3]]
    assert [part.tolist() for part in stored(np.int8([0, -1, 1]), Encoding("bitmap", 1, 2))] == [[0b110], [0b01]]


@pytest.mark.parametrize(
    ("zeros", "runs"),
    [([0], [0]), ([14], [14]), ([15], [15, 0]), ([30], [15, 15, 0]), ([3, 0, 20], [3, 0, 15, 5])],
)
def test_fifteen_zeros_have_a_run_of_their_own(zeros: list[int], runs: list[int]) -> None:
    weights = np.int8([value for count in zeros for value in [0] * count + [1]])
    index, values = stored(weights, Encoding("runs4", 8, 0))
    assert [nibble for byte in index.tolist() for nibble in (byte & 15, byte >> 4)][: len(runs)] == runs
    assert values.tolist() == [1] * len(zeros)


@pytest.mark.parametrize(("zeros", "runs"), [(0, 1), (1, 2), (255, 2), (256, 3)])
def test_zeros_after_the_last_weight_need_no_weight_behind_them(zeros: int, runs: int) -> None:
    index, values = stored(np.int8([1] + [0] * zeros), Encoding("runs8", 8, 0))
    assert (len(index), len(values)) == (runs, 1)


@given(st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]), min_size=1, max_size=400), st.sampled_from([8, 4, 2]))
def test_bytes_are_as_many_as_counted_and_another_zero_never_adds_one(weights: list[int], bits: int) -> None:
    encoding = smallest(layer(weights, bits))
    assert sum(map(len, stored(np.int8(weights), encoding))) == encoding.nbytes
    fewer = [0 if position == len(weights) // 2 else weight for position, weight in enumerate(weights)]
    assert smallest(layer(fewer, bits)).nbytes <= encoding.nbytes
