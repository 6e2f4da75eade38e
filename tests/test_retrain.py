"""Found networks, trained again and measured on the test set, once each."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems.searches import TINY, searched
from torch import nn

import sparsemod
from sparsemod import tested
from sparsemod.config import Config, from_keywords
from sparsemod.data import Data, Tensors
from sparsemod.errors import InputError, SparsemodError
from sparsemod.problem import Problem, load
from sparsemod.results import Record
from sparsemod.retrain import Testing
from sparsemod.retrain import test as retest
from sparsemod.spaces import cnn
from sparsemod.study import Candidate, Trial
from sparsemod.tested import Tested

SPACE = cnn.space(blocks=1, layers=1, filters=(4, 8), fc_layers=0, sparsity=0.5)


def load_data() -> Data:
    """Three classes told apart by the mean; the labels of the test set are all wrong on purpose."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(150) % 3
    x = torch.randn(150, 1, 6, 6, generator=rng) * 0.3 + y.reshape(-1, 1, 1, 1)
    return Data.from_tensors(Tensors(x, y), Tensors(x[:30], (y[:30] + 1) % 3), validation=0.2)


PROBLEM = Problem(SPACE, cnn.build, load_data, cnn.MORPHISMS)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("found")
    sparsemod.search(problem=PROBLEM, root=str(root), name="s", r1=2, r2=0, r3=0, epochs1=6, device="microbit-v2")
    return root


@pytest.fixture
def root(found: Path, tmp_path: Path) -> Path:
    """A study of two networks, s."""
    shutil.copytree(found / "s", tmp_path / "s")
    return tmp_path


def settings(root: Path, problem: Problem | str = PROBLEM, executor: str = "serial", **values: object) -> Config:
    config = from_keywords(problem=problem, device="microbit-v2", executor=executor, workers=2)
    return replace(config, test=replace(config.test, root=str(root), name="s", **values))


def keys(tests: Sequence[Tested]) -> list[tuple[int, int | None, int | None]]:
    return [each.key for each in tests]


def timeless(tests: Sequence[Tested]) -> list[Tested]:
    return [replace(each, seconds=0.0) for each in tests]


class Watching:
    """What was told; presses Ctrl-C after some measurements."""

    def __init__(self, stop_after: int = 1000) -> None:
        self.told: list[Testing] = []
        self._left = stop_after

    def __call__(self, testing: Testing) -> None:
        self.told.append(testing)
        self._left -= testing.latest is not None
        if self._left == 0:
            raise KeyboardInterrupt

    @property
    def made(self) -> list[tuple[int, int | None, int | None]]:
        return [testing.latest.key for testing in self.told if testing.latest is not None]


# --- what is measured ------------------------------------------------------------------------------------------------


def test_each_network_is_measured_as_saved_and_after_each_seed(root: Path) -> None:
    tests = retest(settings(root, seeds=2))
    front = [trial.number for trial in sparsemod.load(root / "s").pareto_front()]
    assert keys(tests) == [(number, seed, None) for number in front for seed in (None, 1, 2)]
    assert tested.load(root / "s") == sorted(tests, key=lambda each: each.place)
    assert all(each.status == "complete" and len(each.recalls) == 3 for each in tests)
    assert tests[0].error == 1.0  # the best network; every label of the test set is wrong
    assert tests[0].costs["model_size"] == sparsemod.load(root / "s")[front[0]].score["model_size"]


def test_named_networks_alone(root: Path) -> None:
    assert keys(retest(settings(root, seeds=1), [1])) == [(1, None, None), (1, 1, None)]
    assert {each.number for each in retest(settings(root, seeds=1, arm=0))} == {0}
    assert [each.number for each in tested.load(root / "s")] == [0, 0, 1, 1]


def test_epochs_are_those_that_the_network_has_seen_with_its_ancestors(root: Path) -> None:
    study = sparsemod.load(root / "s")
    parent = study.pareto_front()[0]
    config = from_keywords(problem=PROBLEM, root=str(root), name="s", r1=2, r2=0, r3=0, epochs1=6, device="microbit-v2")
    record = Record(root / "s", config, SPACE, dict)
    child = Candidate(9, parent.candidate.parameters, 3, "finish", parent.number)
    record.add(Trial(child, "complete", {**parent.score, "error": 0.0}))
    record.close()
    (only,) = retest(settings(root, seeds=1), [9])  # its model was not saved
    assert (only.seed, only.epochs) == (1, 9)


def test_network_is_quantized_as_it_was_in_the_search_unless_said_otherwise(root: Path) -> None:
    float32 = replace(settings(root, seeds=1), train=replace(settings(root).train, quant_scheme="none"))
    sizes = [
        retest(config, [1], again=True)[-1].costs["model_size"]
        for config in (float32, replace(float32, test=replace(float32.test, quant_scheme="post")))
    ]
    assert sizes[0] > 2 * sizes[1]


def test_teacher_of_the_search_never_sees_the_test_set(root: Path) -> None:
    """It is the one of the search, also where it looks at what validates."""
    seen = []

    def teacher(data: Data) -> nn.Module:
        assert data.test is not None
        seen.append((len(data.train), len(data.validation), len(data.test)))
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    tests = retest(settings(root, replace(PROBLEM, teacher=teacher), seeds=2), [1])
    assert [each.status for each in tests] == ["complete"] * 3
    assert seen == [(120, 30, 30)]


def grouped() -> Data:
    data = load_data()
    parts = [replace(part, groups=torch.arange(len(part)) % 3) for part in (data.train, data.validation)]
    return Data(*parts, None, data.input_shape, data.num_classes)


def test_each_group_is_held_out_once(root: Path) -> None:
    tests = retest(settings(root, replace(PROBLEM, load_data=grouped), folds="groups", epochs=2), [0, 1])
    assert keys(tests) == [(number, 1, group) for number in (0, 1) for group in (0, 1, 2)]
    assert all(each.status == "complete" for each in tests)


# --- what is there is not made again ---------------------------------------------------------------------------------


def test_test_that_was_interrupted_goes_on_and_ends_as_if_it_had_not_been(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "s", tmp_path / "other" / "s")
    whole = retest(settings(tmp_path / "other", seeds=2))
    first, second, third = Watching(stop_after=3), Watching(), Watching()
    with pytest.raises(KeyboardInterrupt):
        retest(settings(root, seeds=2), watch=first)
    assert len(tested.load(root / "s")) == 3
    tests = retest(settings(root, seeds=2), watch=second)
    assert sorted(first.made + second.made, key=str) == sorted(keys(tests), key=str)
    assert timeless(tests) == timeless(whole)
    assert (second.told[0].done, second.told[0].total) == (3, len(whole))
    assert retest(settings(root, seeds=2), watch=third) == tests and third.made == []


def test_another_seed_is_all_that_is_missing(root: Path) -> None:
    retest(settings(root, seeds=1), [1])
    watching = Watching()
    assert len(retest(settings(root, seeds=2), [1], watch=watching)) == 3
    assert watching.made == [(1, 2, None)]


def test_trainings_of_another_length_do_not_stay_beside(root: Path) -> None:
    retest(settings(root, seeds=2), [1])
    tests = retest(settings(root, seeds=1, epochs=2), [1])
    assert [(each.seed, each.epochs) for each in tests] == [(None, 6), (1, 2)]


def test_again_makes_what_is_asked_for_anew_and_leaves_the_rest(root: Path) -> None:
    retest(settings(root, seeds=1), [0, 1])
    watching = Watching()
    retest(settings(root, seeds=1), [1], again=True, watch=watching)
    assert watching.made == [(1, None, None), (1, 1, None)]
    assert len(tested.load(root / "s")) == 4


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_training_that_fails_is_a_row_and_the_others_go_on(root: Path) -> None:
    def build(*arguments: object) -> nn.Module:
        raise ValueError("out of luck")

    tests = retest(settings(root, replace(PROBLEM, build=build), seeds=1), [0, 1])
    assert [(each.seed, each.status) for each in tests] == [(None, "complete"), (1, "failed")] * 2
    assert "ValueError: out of luck" in tested.load(root / "s")[1].reason


def test_cluster_that_is_lost_ends_the_test(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*arguments: object) -> Tested:
        raise SparsemodError("the Ray cluster is lost")

    monkeypatch.setattr("sparsemod.retrain.measure_retrained", lost)
    with pytest.raises(SparsemodError, match="the Ray cluster is lost"):
        retest(settings(root, seeds=1))
    assert [each.seed for each in tested.load(root / "s")] == [None, None]  # what was measured before is kept


@pytest.mark.parametrize(
    ("problem", "numbers", "values", "message"),
    [
        (PROBLEM, [77], {}, "no finished trial 77"),
        (
            replace(PROBLEM, load_data=lambda: replace(load_data(), test=None)),
            [],
            {},
            "has no test set; `load_data` must",
        ),
        (PROBLEM, [], {"folds": "groups"}, r"give Tensors\(x, y, groups=\.\.\.\)"),
        (Problem(SPACE, objective=lambda candidate: {"error": 0.5}), [], {}, "has an objective of its own"),
    ],
)
def test_what_cannot_be_tested_is_refused_at_once(
    root: Path, problem: Problem, numbers: list[int], values: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        retest(settings(root, problem, **values), numbers)
    assert not (root / "s" / "test.csv").exists()


def test_trial_that_was_not_completed_is_refused(root: Path) -> None:
    config = from_keywords(problem=PROBLEM, root=str(root), name="s", r1=2, r2=0, r3=0, epochs1=6, device="microbit-v2")
    record = Record(root / "s", config, SPACE, dict)
    record.add(Trial(Candidate(5, {}, 4, "sobol"), "infeasible", reason="too large"))
    record.close()
    with pytest.raises(InputError, match="only completed trials can be tested, but trial 5 is infeasible"):
        retest(settings(root), [1, 5])


def test_study_without_a_front_asks_for_numbers(tmp_path: Path) -> None:
    searched(tmp_path, name="s", r1=0, r2=0, r3=0)
    with pytest.raises(InputError, match="no network of this study is on the front; name those to test"):
        retest(settings(tmp_path))


def test_study_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        retest(settings(tmp_path))


# --- processes -------------------------------------------------------------------------------------------------------


def test_processes_measure_the_same_as_one(tmp_path: Path) -> None:
    searched(tmp_path, problem=TINY, name="s", objectives=4, r1=2, r2=0, r3=0)
    alone = retest(settings(tmp_path, load(TINY), seeds=1))
    (tmp_path / "s" / "test.csv").unlink()
    together = retest(settings(tmp_path, TINY, "processes", seeds=1))
    assert timeless(together) == timeless(alone)


KILLER = """
import os
from dataclasses import replace
from sparsemod.problem import load

tiny = load({place!r})

def fatal(parameters, *rest):
    if parameters["learning_rate"] == {deadly!r}:
        os._exit(1)
    return tiny.build(parameters, *rest)

problem = replace(tiny, build=fatal)
"""


@pytest.mark.slow
def test_training_that_kills_its_process_is_a_row_and_what_ran_beside_it_is_made(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=TINY, name="s", objectives=4, r1=3, r2=0, r3=0)
    deadly = study[1].candidate.parameters["learning_rate"]
    (tmp_path / "killer.py").write_text(KILLER.format(place=TINY, deadly=deadly))
    config = settings(tmp_path, f"{tmp_path / 'killer.py'}:problem", "processes", seeds=1)
    tests = {each.key: each for each in retest(config, [0, 1, 2])}
    assert "its worker process died twice" in tests[1, 1, None].reason
    assert [each.status for each in tests.values()].count("complete") == 5
