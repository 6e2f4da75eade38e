"""The length of sequences as a parameter of any family."""

import numpy as np

from sparsemod.space import Int, SearchSpace
from sparsemod.spaces import cnn1d, rnn
from sparsemod.spaces.length import max_len


def test_length_moves_within_its_bounds_and_nothing_else_does() -> None:
    rng = np.random.default_rng(0)
    for family in (rnn, cnn1d):
        space = SearchSpace({**family.space(), "max_len": Int(8, 40)})
        for _ in range(50):
            parent = space.sample(rng)
            child = max_len(parent, space, rng)
            assert child is None or {**child, "max_len": parent["max_len"]} == parent
            assert child is None or (8 <= int(child["max_len"]) <= 40 and child["max_len"] != parent["max_len"])


def test_length_does_not_move_where_there_is_none_or_one() -> None:
    rng = np.random.default_rng(0)
    space = rnn.space()
    assert max_len(space.sample(rng), space, rng) is None
    fixed = SearchSpace({**space, "max_len": Int(16, 16)})
    assert max_len(fixed.sample(rng), fixed, rng) is None
