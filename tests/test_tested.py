"""Measurements on the test set: what they come to, and how they are kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from sparsemod import tested
from sparsemod.errors import InputError
from sparsemod.tested import Tested, summaries

COSTS = {"model_size": 100.0, "latency": 2.5, "nnz": 40.0}
SAVED = Tested(3, None, None, 20, error=0.2, recalls=(0.9, None, 0.7), costs=COSTS, seconds=0.5)
FIRST = Tested(3, 1, None, 20, error=0.1, recalls=(1.0, None, 0.8), costs=COSTS)
SECOND = Tested(3, 2, None, 20, error=0.3, recalls=(0.8, None, 0.6), costs={**COSTS, "model_size": 110.0})
FAILED = Tested(3, 3, None, 20, "failed", reason='Traceback, "quoted"\nValueError: no')
GROUP = Tested(3, 1, 0, 20, error=0.5, recalls=(0.5, 0.5, None), costs=COSTS)
ALL = [SAVED, FIRST, SECOND, FAILED, GROUP]


def test_mean_and_deviation_are_those_of_the_complete_trainings() -> None:
    by_seeds, by_groups = summaries(ALL)
    assert (by_seeds.number, by_seeds.by, by_seeds.trainings, by_seeds.failed) == (3, "seeds", 2, 1)
    assert by_seeds.error == pytest.approx(0.2)
    assert by_seeds.deviation == pytest.approx(0.1 * 2**0.5)  # 0.1 and 0.3, n - 1
    assert by_seeds.costs["model_size"] == 105
    assert (by_groups.by, by_groups.trainings, by_groups.error, by_groups.deviation) == ("groups", 1, 0.5, None)


def test_recalls_are_means_and_the_weakest_class_is_named() -> None:
    by_seeds, by_groups = summaries(ALL)
    assert by_seeds.recalls == [pytest.approx(0.9), None, pytest.approx(0.7)]
    assert by_seeds.weakest == (2, pytest.approx(0.7))
    assert by_groups.weakest == (0, 0.5)


def test_saved_network_stands_beside() -> None:
    assert [row.saved for row in summaries(ALL)] == [SAVED, SAVED]


def test_network_that_was_not_trained_again_is_there_with_its_own_costs() -> None:
    (row,) = summaries([SAVED])
    assert (row.trainings, row.error, row.weakest, row.saved) == (0, None, None, SAVED)
    assert row.costs == COSTS


def test_network_of_which_every_training_failed_has_no_figures() -> None:
    (row,) = summaries([FAILED])
    assert (row.trainings, row.failed, row.error, row.recalls, row.costs) == (0, 1, None, [], {})
    assert summaries([]) == []


def test_measurements_read_back_as_they_were(tmp_path: Path) -> None:
    assert tested.load(tmp_path) == []
    tested.write(ALL, tmp_path)
    assert tested.load(tmp_path) == ALL
    assert not list(tmp_path.glob("*.tmp"))


def test_columns_are_the_same_whatever_came_first(tmp_path: Path) -> None:
    expected = (
        "number,network,seed,group,epochs,status,test_error,recall_0,recall_1,recall_2,"
        "model_size_bytes,latency_ms,nnz,seconds,reason"
    )
    for order in (ALL, ALL[::-1]):
        tested.write(order, tmp_path)
        assert (tmp_path / "test.csv").read_text().splitlines()[0] == expected


def test_rows_say_which_network_they_are_of(tmp_path: Path) -> None:
    tested.write([SAVED, GROUP], tmp_path)
    _, saved, group = (tmp_path / "test.csv").read_text().splitlines()
    assert saved == "3,saved,,,20,complete,0.2,0.9,,0.7,100.0,2.5,40.0,0.5,"
    assert group.startswith("3,retrained,1,0,20,complete,0.5,0.5,0.5,,")


@pytest.mark.parametrize("content", ["number,test_error\n1,0.25\n", "number,network,seed\n1,saved\n"])
def test_table_of_an_earlier_version_or_damaged_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "test.csv").write_text(content)
    with pytest.raises(
        InputError, match=r"row 2 of .*test\.csv is damaged, or .*; delete the file and run `sparsemod te"
    ):
        tested.load(tmp_path)


def test_one_test_at_a_time_writes_to_a_study(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    refused = pytest.raises(InputError, match="another test is writing to")
    with tested.claimed(tmp_path), refused, tested.claimed(tmp_path):
        raise AssertionError("it was let in")
    with tested.claimed(tmp_path):
        assert (tmp_path / "study.json").read_text() == "{}"


def test_measurements_sort_by_network_then_the_saved_one_then_seeds_then_groups() -> None:
    other = replace(FIRST, number=2)
    assert sorted([GROUP, SECOND, SAVED, FIRST, other], key=lambda each: each.place) == [
        other, SAVED, FIRST, SECOND, GROUP,
    ]  # fmt: skip
