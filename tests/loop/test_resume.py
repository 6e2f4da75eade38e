"""A search that is interrupted, killed or out of disk goes on as if it had not been."""

import csv
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from problems.searches import BUDGET, FORMULA, TINY, front, interrupted, origins, problem_of, results, searched

from sparsemod.config import from_keywords
from sparsemod.errors import SparsemodError
from sparsemod.loop import search
from sparsemod.results import load as load_study
from sparsemod.results import stops
from sparsemod.study import Candidate, Study


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, bytes]:
    root = tmp_path_factory.mktemp("uninterrupted")
    return searched(root), front(root)


def assert_resumes(tmp_path: Path, events: Sequence[int], uninterrupted: tuple[Study, bytes], **changes: Any) -> None:
    study, expected = uninterrupted
    for k in events:
        root = tmp_path / str(k)
        if interrupted(root, k, **changes):
            resumed = searched(root, **changes)
            assert front(root) == expected, k
            assert results(resumed) == results(study), k
            assert stops(root / "study") == stops(root / "study"), k


def test_search_resumes_as_if_it_had_not_been_interrupted(tmp_path: Path, uninterrupted: tuple[Study, bytes]) -> None:
    assert_resumes(tmp_path, range(1, 30, 7), uninterrupted)


@pytest.mark.slow
def test_search_resumes_wherever_it_was_interrupted(tmp_path: Path, uninterrupted: tuple[Study, bytes]) -> None:
    assert_resumes(tmp_path, range(1, 40), uninterrupted)
    assert not interrupted(tmp_path / "all", 40)


def test_search_resumes_wherever_its_record_ends(
    tmp_path: Path, uninterrupted: tuple[Study, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writes = os.fsync, 0

    def stop_after(file: int) -> None:
        nonlocal writes
        write(file)
        writes -= 1
        if writes == 0:
            raise KeyboardInterrupt

    for end in (3, 9, 10, 14, 17):
        root, writes = tmp_path / str(end), end
        with monkeypatch.context() as crash:
            crash.setattr(os, "fsync", stop_after)
            with pytest.raises(KeyboardInterrupt):
                searched(root)
        searched(root)
        assert front(root) == uninterrupted[1], end


def test_search_that_is_interrupted_again_and_again_gets_there(
    tmp_path: Path, uninterrupted: tuple[Study, bytes]
) -> None:
    runs = 1
    while interrupted(tmp_path, 9):
        runs += 1
    assert front(tmp_path) == uninterrupted[1]
    assert runs > 3


def test_resumed_search_does_not_evaluate_twice(tmp_path: Path) -> None:
    evaluated: list[int] = []

    def count(candidate: Candidate) -> Mapping[str, float]:
        evaluated.append(candidate.number)
        assert FORMULA.objective is not None
        return FORMULA.objective(candidate)

    problem = problem_of(count)
    assert interrupted(tmp_path, 12, problem=problem)
    searched(tmp_path, problem=problem)
    assert evaluated == list(range(11))


def test_interrupt_leaves_tables_and_a_folder_to_go_on_with(tmp_path: Path) -> None:
    assert interrupted(tmp_path, 8)
    folder = tmp_path / "study"
    study = load_study(folder)
    assert 0 < len(study.trials) < 4
    with (folder / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(study.trials)
    assert len(json.loads((folder / "pareto.json").read_text())["front"]) == len(study.pareto_front())


def test_networks_survive_an_interrupt(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 2, "r2": 0, "r3": 3}
    study = searched(tmp_path / "whole", **budget)
    for k in (4, 7, 10):
        assert interrupted(tmp_path / str(k), k, **budget)
        assert results(searched(tmp_path / str(k), **budget)) == results(study)
        assert front(tmp_path / str(k)) == front(tmp_path / "whole")


def test_finished_search_finds_nothing_to_do(tmp_path: Path) -> None:
    searched(tmp_path)
    before = front(tmp_path)
    record = (tmp_path / "study" / "trials.jsonl").read_bytes()
    assert len(searched(tmp_path).trials) == 11
    assert (front(tmp_path), (tmp_path / "study" / "trials.jsonl").read_bytes()) == (before, record)
    assert len(stops(tmp_path / "study")) == 3


def test_finished_search_goes_on_with_more_rounds(tmp_path: Path) -> None:
    searched(tmp_path / "short", r3=1)
    more = searched(tmp_path / "short", r3=3)
    assert origins(more) == ["sobol"] * 4 + ["bayes"] * 4 + ["morph"] * 3
    searched(tmp_path / "long", r3=3)
    assert front(tmp_path / "short") == front(tmp_path / "long")


def test_networks_of_a_finished_search_have_more_children(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 3, "r2": 0, "finish_epochs": 0}
    searched(tmp_path, r3=1, **budget)  # models off the front are deleted here
    study = searched(tmp_path, r3=3, **budget)
    assert origins(study) == ["sobol"] * 3 + ["morph"] * 3
    assert study.count("complete") == 6, [trial.reason for trial in study.trials]


def test_training_on_and_giving_up_are_the_same_after_an_interruption(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 8, "r2": 2, "r3": 2, "epochs1": 4}
    whole = searched(tmp_path / "whole", **budget)
    assert {"finish", "morph"} < set(origins(whole))
    assert whole.count("stopped")
    for k in (12, 32):
        assert interrupted(tmp_path / str(k), k, **budget)
        assert results(searched(tmp_path / str(k), **budget)) == results(whole)


KILLED = """
import os, signal, sys
from sparsemod import search

def watch(progress):
    if progress.trial and len(progress.study.trials) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

search(sys.argv[2], watch=watch)
"""


@pytest.mark.parametrize(
    "trials", [6, pytest.param(2, marks=pytest.mark.slow), pytest.param(9, marks=pytest.mark.slow)]
)
def test_killed_search_resumes(tmp_path: Path, uninterrupted: tuple[Study, bytes], trials: int) -> None:
    path = tmp_path / "config.cfg"
    path.write_text(from_keywords(root=str(tmp_path), **BUDGET).to_ini())
    killed = subprocess.run([sys.executable, "-c", KILLED, str(trials), str(path)], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert len(load_study(tmp_path / "study").trials) == trials
    search(path)
    assert front(tmp_path) == uninterrupted[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_search_killed_at_any_time_gets_there(tmp_path: Path, executor: str) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 6, "r2": 2, "r3": 4, "executor": executor, "workers": 2}
    path = tmp_path / "config.cfg"
    path.write_text(from_keywords(root=str(tmp_path / "killed"), **{**BUDGET, **budget}).to_ini())
    command = [sys.executable, "-c", "import sys, sparsemod\nsparsemod.search(sys.argv[1])", str(path)]
    kills, patience = 0, 4.0
    while True:
        try:
            subprocess.run(command, check=True, timeout=patience)  # kills the process when time is up
            break
        except subprocess.TimeoutExpired:
            kills, patience = kills + 1, patience + 1.0
    study = load_study(tmp_path / "killed" / "study")
    assert kills > 0
    assert Counter(origin for origin in origins(study) if origin != "finish") == {"sobol": 6, "bayes": 4, "morph": 4}
    assert sorted(trial.number for trial in study.trials) == list(range(len(study)))
    assert study.count("complete") + study.count("stopped") == len(study), [trial.reason for trial in study.trials]
    if executor == "serial":
        searched(tmp_path / "whole", **budget)
        assert front(tmp_path / "killed") == front(tmp_path / "whole")


def test_full_disk_loses_nothing_and_the_search_resumes(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    budget: dict[str, Any] = {"r1": 40, "r2": 0, "r3": 2}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))  # no file beyond 5 kB
    try:
        with pytest.raises(SparsemodError, match=r"the disk is full .*free some space and run the same command again"):
            searched(tmp_path / "full", **budget)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    saved = len(load_study(tmp_path / "full" / "study").trials)
    assert 5 < saved < 40
    searched(tmp_path / "full", **budget)
    searched(tmp_path / "empty", **budget)
    assert front(tmp_path / "full") == front(tmp_path / "empty")


def test_clock_that_is_set_changes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forth at every look, and once all the way back."""
    hours = itertools.chain(range(0, 36_000, 3_600), itertools.repeat(0))
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    study = searched(tmp_path, time_limit="30 min")
    elapsed = [trial.elapsed for trial in study.trials]
    assert len(study.trials) == 11
    assert elapsed == sorted(elapsed)
    assert 0 <= elapsed[0] <= elapsed[-1] < 100
    assert all(0 <= trial.seconds < 100 for trial in study.trials)
