import pytest

from sparsemod.cost.screen import Screen
from sparsemod.samplers.pool import Pool
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Study

SMALL: Parameters = {"depth": 1, "width_1": 8, "kind": "gated", "rate": 1e-2}
WIDE: Parameters = {**SMALL, "width_1": 41}  # 205 bytes of RAM, of which there are 200


@pytest.fixture
def pool(study: Study, screen: Screen) -> Pool:
    study.propose(Candidate(6, {**SMALL, "kind": "plain"}, 5, "sobol"))
    return Pool(study, screen, 3, "test")


def test_candidates_carry_the_next_number_and_where_they_came_from(pool: Pool) -> None:
    pool.add("given", [SMALL])
    pool.add("given", [{**SMALL, "width_1": 9}], parent=6)
    assert pool.candidates == [
        Candidate(7, SMALL, 3, "test"),
        Candidate(7, {**SMALL, "width_1": 9}, 3, "test", parent=6),
    ]


def test_what_does_not_fit_or_was_seen_is_left_out(pool: Pool) -> None:
    pool.add("given", [SMALL, WIDE, SMALL, {**SMALL, "kind": "plain"}])
    pool.add("wide", [WIDE, SMALL])
    assert [candidate.parameters for candidate in pool.candidates] == [SMALL]
    assert str(pool) == "1 (1 of 4 given, 0 of 2 wide)"


def test_nothing_may_be_added(pool: Pool) -> None:
    pool.add("given", [])
    assert pool.candidates == []
