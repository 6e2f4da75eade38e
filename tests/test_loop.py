import csv
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsemod.config import from_keywords
from sparsemod.errors import ConfigError, InputError, SparsemodError
from sparsemod.evaluate import data_of, measure
from sparsemod.graph import run
from sparsemod.loop import Progress, search
from sparsemod.problem import Problem, load
from sparsemod.results import load as load_study
from sparsemod.results import stops
from sparsemod.space import Choice, Int, Parameters, SearchSpace, identity
from sparsemod.study import Candidate, Study, Trial
from sparsemod.train import error

PROBLEMS = Path(__file__).parent / "problems"
SYNTHETIC, KILLER = (f"{PROBLEMS / 'synthetic.py'}:{name}" for name in ("problem", "killer"))
TINY = f"{PROBLEMS / 'tiny.py'}:problem"
FORMULA = load(SYNTHETIC)

BUDGET: Mapping[str, Any] = {
    **{"problem": SYNTHETIC, "objectives": 3, "device": "microbit-v2"},
    **{"r1": 4, "r2": 2, "r3": 3, "batch_size": 2, "epochs1": 1, "epochs2": 2, "epochs3": 4},
}
"""4 + 2 x 2 + 3 candidates."""


def searched(root: Path, watch: Callable[[Progress], None] | None = None, **changes: Any) -> Study:
    return search(watch=watch, root=str(root), **{**BUDGET, **changes})


def origins(study: Study) -> list[str]:
    return [trial.candidate.origin for trial in study.trials]


def front(root: Path) -> bytes:
    return (root / "study" / "pareto.csv").read_bytes()


def results(study: Study) -> list[tuple[Candidate, str, Mapping[str, float]]]:
    """Everything but wall-clock times."""
    return [(trial.candidate, trial.status, trial.score) for trial in study.trials]


def problem_of(objective: Callable[[Candidate], Mapping[str, float]], **changes: Any) -> Problem:
    """The synthetic problem with another objective."""
    return replace(FORMULA, objective=objective, **changes)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, bytes]:
    root = tmp_path_factory.mktemp("uninterrupted")
    return searched(root), front(root)


# --- stages ----------------------------------------------------------------------------------------------------------


def test_stages_follow_each_other_with_their_own_epochs(tmp_path: Path) -> None:
    study = searched(tmp_path)
    assert [trial.number for trial in study.trials] == list(range(11))
    assert origins(study) == ["sobol"] * 4 + ["bayes"] * 4 + ["morph"] * 3
    assert [trial.candidate.epochs for trial in study.trials] == [1] * 4 + [2] * 4 + [4] * 3
    assert stops(tmp_path / "study") == [
        "quasi-random: all rounds done",
        "Gaussian process: all rounds done",
        "morphism: all rounds done",
    ]


def test_only_children_have_parents_and_those_ended_before(tmp_path: Path) -> None:
    study = searched(tmp_path)
    assert all(trial.candidate.parent is None for trial in study.trials[:8])
    for position, trial in enumerate(study.trials[8:], start=8):
        assert trial.candidate.parent in [earlier.number for earlier in study.trials[:position]]


@pytest.mark.parametrize(
    ("r1", "r2", "r3", "expected"),
    [
        (0, 0, 0, []),
        (2, 0, 0, ["sobol"] * 2),
        (0, 1, 0, ["bayes"] * 2),
        (0, 0, 2, []),
        (2, 0, 1, ["sobol"] * 2 + ["morph"]),
        (1, 1, 0, ["sobol"] + ["bayes"] * 2),
    ],
)
def test_any_stage_may_be_left_out(tmp_path: Path, r1: int, r2: int, r3: int, expected: list[str]) -> None:
    assert origins(searched(tmp_path, r1=r1, r2=r2, r3=r3)) == expected


def test_morphisms_without_a_front_say_why_they_end(tmp_path: Path) -> None:
    searched(tmp_path, r1=0, r2=0, r3=2)
    assert stops(tmp_path / "study")[-1] == "morphism: no new candidate that fits is left"


@pytest.mark.parametrize("changes", [{"morphisms": False}, {"problem": replace(FORMULA, morphisms=())}])
def test_morphism_stage_can_be_switched_off(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert origins(searched(tmp_path, r2=0, **changes)) == ["sobol"] * 4
    assert len(stops(tmp_path / "study")) == 2


def test_no_candidate_is_repeated_and_all_are_members(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=10, r2=3, r3=5)
    assert len({identity(candidate.parameters) for candidate in study.candidates}) == 10 + 6 + 5
    assert all(FORMULA.space.mistakes(candidate.parameters) == [] for candidate in study.candidates)


def test_all_proposals_fit_the_limits(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=10, r3=5, model_size=300, working_memory="80 B")
    assert study.limits == {"model_size": 300, "working_memory": 80}
    assert all(10 * c.parameters["width"] * c.parameters["depth"] <= 300 for c in study.candidates)  # type: ignore[operator]
    assert all(5 * c.parameters["width"] <= 80 for c in study.candidates)  # type: ignore[operator]
    assert study.count("complete") == 10 + 4 + 5


def test_same_seed_same_search_other_seed_other_search(tmp_path: Path) -> None:
    first, again, other = (
        results(searched(tmp_path / name, r2=1, r3=1, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_reference_point_is_the_limits_and_the_largest_error_that_counts(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=1, r2=0, r3=0, model_size=300, working_memory=90, max_error=0.5)
    assert study.reference == {"error": 0.5, "model_size": 300, "working_memory": 90}


# --- networks --------------------------------------------------------------------------------------------------------


def test_networks_are_trained_inherited_scored_and_kept(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=TINY, objectives=4, r1=3, r2=1, r3=2)
    assert origins(study) == ["sobol"] * 3 + ["bayes"] * 2 + ["morph"] * 2
    assert study.count("complete") == 7, [trial.reason for trial in study.trials]
    best = study.pareto_front()
    kept = sorted(int(path.stem) for path in (tmp_path / "study" / "models").iterdir())
    assert kept == sorted(trial.number for trial in best)
    config = from_keywords(problem=TINY, device="microbit-v2")
    validation = data_of(load(TINY)).validation
    for trial in best:
        graph = load_study(tmp_path / "study").load_model(trial.number)
        assert error(lambda x, graph=graph: run(graph, x), validation) == trial.score["error"]
        assert {"error": trial.score["error"], **measure(graph, config)} == trial.score
    with (tmp_path / "study" / "pareto.csv").open() as file:
        header = next(csv.reader(file))
    assert {"error", "model_size_bytes", "working_memory_bytes", "latency_ms"} < set(header)
    assert not any("second" in name or "elapsed" in name for name in header)


def test_child_starts_from_the_weights_of_its_parent(tmp_path: Path) -> None:
    tiny = load(TINY)
    seen: list[dict[str, torch.Tensor]] = []

    def remember(network: torch.nn.Module, *_: object) -> None:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    def same(parameters: Parameters, space: SearchSpace, rng: Any) -> dict[str, Any] | None:
        rate = 0.5 * (0.001 + float(parameters["learning_rate"]))
        return {**parameters, "learning_rate": rate}

    problem = replace(tiny, train=remember, morphisms=(same,))
    study = searched(tmp_path, problem=problem, objectives=2, r1=2, r2=0, r3=1, pruning=False)
    child = study.trials[2].candidate
    assert child.parent is not None
    parent, fresh = seen[child.parent], seen[1 - child.parent]
    assert all(torch.equal(seen[2][name], parent[name]) for name in parent)
    assert any(fresh[name].shape != parent[name].shape or not torch.equal(fresh[name], parent[name]) for name in fresh)


def test_problem_may_have_builder_and_objective_without_data(tmp_path: Path) -> None:
    problem = replace(FORMULA, costs=None, build=lambda *_: torch.nn.Identity())
    assert searched(tmp_path, problem=problem, r1=2, r2=0, r3=0).count("complete") == 2


# --- interrupted and resumed -----------------------------------------------------------------------------------------


class Interruption:
    """A watcher that presses Ctrl-C at event `k`."""

    def __init__(self, k: int) -> None:
        self.left = k

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def interrupted(root: Path, k: int, **changes: Any) -> bool:
    """Whether a search was interrupted at event `k`, rather than ending before."""
    try:
        searched(root, Interruption(k), **changes)
    except KeyboardInterrupt:
        return True
    return False


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
    budget: dict[str, Any] = {"problem": TINY, "r1": 3, "r2": 0}
    searched(tmp_path, r3=1, **budget)  # models off the front are deleted here
    study = searched(tmp_path, r3=3, **budget)
    assert origins(study) == ["sobol"] * 3 + ["morph"] * 3
    assert study.count("complete") == 6, [trial.reason for trial in study.trials]


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
    assert Counter(origins(study)) == {"sobol": 6, "bayes": 4, "morph": 4}
    assert sorted(trial.number for trial in study.trials) == list(range(14))
    assert study.count("complete") == 14, [trial.reason for trial in study.trials]
    if executor == "serial":
        searched(tmp_path / "whole", **budget)
        assert front(tmp_path / "killed") == front(tmp_path / "whole")


# --- stopping --------------------------------------------------------------------------------------------------------


def slow(candidate: Candidate) -> Mapping[str, float]:
    time.sleep(0.02)
    return {"error": 0.5, "model_size": 100, "working_memory": 50}


def test_time_limit_ends_the_search(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=problem_of(slow), r1=1000, time_limit=0.3)
    assert 1 <= len(study.trials) <= 16
    assert set(origins(study)) == {"sobol"}
    assert stops(tmp_path / "study") == ["quasi-random: time limit of 0.3 s reached"]


def test_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": problem_of(slow), "r1": 1000, "r2": 0, "r3": 0}
    first = len(searched(tmp_path, time_limit="300 ms", **budget).trials)
    assert len(searched(tmp_path, time_limit="300 ms", **budget).trials) <= first + 1
    assert first < len(searched(tmp_path, time_limit="600 ms", **budget).trials) <= first + 17


def test_small_error_ends_the_search(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=20, min_error=0.1)
    assert study.trials[-1].score["error"] <= 0.1 < min(trial.score["error"] for trial in study.trials[:-1])
    reason = f"an error of {study.trials[-1].score['error']:.4g} is small enough (min_error 0.1)"
    assert stops(tmp_path / "study") == [f"quasi-random: {reason}"]


def test_network_over_the_limits_does_not_end_the_search(tmp_path: Path) -> None:
    def over(candidate: Candidate) -> Mapping[str, float]:
        return {"error": 0.01, "model_size": 1e9, "working_memory": 50}

    assert len(searched(tmp_path, problem=problem_of(over), r1=3, r2=0, r3=0, min_error=0.1).trials) == 3


def by_epochs(candidate: Candidate) -> Mapping[str, float]:
    return {"error": 0.8 / candidate.epochs, "model_size": 100, "working_memory": 50}


STAGNANT: Mapping[str, Any] = {
    "problem": problem_of(by_epochs), "r1": 20, "r2": 20, "r3": 20, "batch_size": 1, "tolerance": 0.01, "patience": 3,
}  # fmt: skip


def test_stage_ends_when_the_hypervolume_stops_growing(tmp_path: Path) -> None:
    study = searched(tmp_path, **STAGNANT)
    # the first trial of a stage is as good as all that follow, and the three after it show that
    assert Counter(origins(study)) == {"sobol": 4, "bayes": 4, "morph": 4}
    grew = "hypervolume grew by less than 0.01 in 3 rounds"
    assert stops(tmp_path / "study") == [f"quasi-random: {grew}", f"Gaussian process: {grew}", f"morphism: {grew}"]


@pytest.mark.parametrize(("batch_size", "bayes"), [(1, 4), (2, 8)])
def test_stage_that_ended_early_stays_ended_when_the_search_resumes(
    tmp_path: Path, batch_size: int, bayes: int
) -> None:
    settings = {**STAGNANT, "batch_size": batch_size}
    searched(tmp_path / "whole", **settings)
    for k in (19, 26):
        assert interrupted(tmp_path / str(k), k, **settings)
        study = searched(tmp_path / str(k), **settings)
        assert Counter(origins(study)) == {"sobol": 4, "bayes": bayes, "morph": 4}, k
        assert front(tmp_path / str(k)) == front(tmp_path / "whole"), k


def test_round_that_was_begun_is_finished_before_a_stage_ends(tmp_path: Path) -> None:
    study = searched(tmp_path, **{**STAGNANT, "r1": 2, "batch_size": 3, "patience": 1, "morphisms": False})
    assert Counter(origins(study)) == {"sobol": 2, "bayes": 6}  # the second round of three shows no growth
    assert study.pending == []


def test_space_smaller_than_the_budget_is_searched_to_its_end(tmp_path: Path) -> None:
    space = SearchSpace({"width": Choice((1, 2, 3)), "depth": Int(1, 2), "kind": Choice(("plain",))})
    study = searched(tmp_path, problem=replace(FORMULA, space=space, morphisms=()), r1=100)
    assert len(study.trials) == 6
    assert stops(tmp_path / "study") == [
        "quasi-random: no new candidate that fits is left",
        "Gaussian process: no new candidate that fits is left",
    ]


def test_impossible_limits_are_refused_with_the_amounts(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        searched(tmp_path, model_size=5, working_memory=6)
    assert str(refusal.value).split("\n") == [
        "none of 10,000 candidates of the search space fits the limits",
        "  model_size: limit 5 bytes, smallest seen 10 bytes; 0.0% of samples fit",
        "  working_memory: limit 6 bytes, smallest seen 5 bytes; 4.1% of samples fit",
        "  raise the limits in [DEVICE], or let the search space hold smaller networks",
    ]


# --- failures --------------------------------------------------------------------------------------------------------


def broken(candidate: Candidate) -> Mapping[str, float]:
    raise ValueError(f"candidate {candidate.number} is broken")


def test_failures_in_a_row_end_the_search_and_show_the_last(tmp_path: Path) -> None:
    with pytest.raises(SparsemodError) as failure:
        searched(tmp_path, problem=problem_of(broken), max_failures=3)
    assert not isinstance(failure.value, InputError)
    lines = str(failure.value).split("\n")
    assert lines[0] == "3 candidates in a row failed, so the search stops; the last one said"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: candidate 2 is broken"
    study = load_study(tmp_path / "study")
    assert [trial.status for trial in study.trials] == ["failed"] * 3
    assert (tmp_path / "study" / "trials.csv").is_file()


def test_search_goes_on_once_the_problem_is_mended(tmp_path: Path) -> None:
    with pytest.raises(SparsemodError, match="2 candidates in a row failed"):
        searched(tmp_path, problem=problem_of(broken), max_failures=2)
    study = searched(tmp_path, max_failures=2)
    assert (study.count("failed"), study.count("complete")) == (2, 2 + 4 + 3)
    with pytest.raises(SparsemodError, match="2 candidates in a row failed"):  # and counts anew
        searched(tmp_path, problem=problem_of(broken), max_failures=2, r3=9)


def test_sporadic_failures_do_not_end_the_search(tmp_path: Path) -> None:
    def moody(candidate: Candidate) -> Mapping[str, float]:
        if candidate.number % 3:
            raise ValueError("not today")
        return by_epochs(candidate)

    study = searched(tmp_path, problem=problem_of(moody), r1=9, r2=0, r3=0, max_failures=3)
    assert (study.count("failed"), study.count("complete")) == (6, 3)


# --- parallel --------------------------------------------------------------------------------------------------------


def test_processes_do_the_same_work_once(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=7, r2=2, r3=3, executor="processes", workers=2)
    assert Counter(origins(study)) == {"sobol": 7, "bayes": 4, "morph": 3}
    assert sorted(trial.number for trial in study.trials) == list(range(14))
    assert len({identity(candidate.parameters) for candidate in study.candidates}) == 14
    assert study.count("complete") == 14
    assert study.pending == []
    assert FORMULA.objective is not None
    assert all(trial.score == FORMULA.objective(trial.candidate) for trial in study.trials)


def test_quasi_random_candidates_do_not_depend_on_the_executor(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 4, "r2": 0, "r3": 0}
    serial = searched(tmp_path / "serial", **budget)
    parallel = searched(tmp_path / "processes", executor="processes", workers=2, **budget)
    assert sorted(results(serial), key=lambda result: result[0].number) == sorted(
        results(parallel), key=lambda result: result[0].number
    )
    assert front(tmp_path / "serial") == front(tmp_path / "processes")


def test_candidate_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    events: list[Progress] = []
    study = searched(tmp_path, events.append, problem=KILLER, r1=12, r2=0, executor="processes", workers=2)
    assert len(study.trials) == 12
    deadly = [trial for trial in study.trials if trial.candidate.parameters["depth"] == 3]
    assert 1 < len(deadly) < 12
    assert all(trial.status == "failed" and "its worker process died twice" in trial.reason for trial in deadly)
    assert study.count("complete") == 12 - len(deadly)
    assert study.pending == []
    assert any("a worker process died" in event.message for event in events)
    first_death = next(position for position, event in enumerate(events) if "died" in event.message)
    assert max(event.running for event in events[first_death:]) == 2  # no slot is lost


def no_children_are_left() -> bool:
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


def test_interrupt_ends_the_workers(tmp_path: Path) -> None:
    assert no_children_are_left()
    assert interrupted(tmp_path, 6, executor="processes", workers=2)
    assert no_children_are_left()


def test_interrupt_ends_the_workers_that_replaced_dead_ones(tmp_path: Path) -> None:
    died: list[Progress] = []

    def watch(progress: Progress) -> None:
        died.extend([progress] if "a worker process died" in progress.message else [])
        if died and progress.trial is not None and progress.trial.status == "complete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupt:
        searched(tmp_path, watch, problem=KILLER, r1=12, executor="processes", workers=2)
    assert no_children_are_left()
    assert died and interrupt  # the error is still held, as a notebook does


def test_problem_that_cannot_travel_is_refused_before_anything_runs(tmp_path: Path) -> None:
    problem = problem_of(lambda candidate: {"error": 0.5})
    with pytest.raises(InputError, match="cannot be sent to worker processes"):
        searched(tmp_path, problem=problem, executor="processes", workers=2)


@pytest.mark.ray
def test_ray_finds_what_one_process_finds(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"problem": TINY, "r1": 4, "r2": 1, "r3": 1}
    serial = searched(tmp_path / "serial", **budget)
    ray = searched(tmp_path / "ray", executor="ray", workers=1, **budget)
    assert results(ray) == results(serial)
    assert front(tmp_path / "ray") == front(tmp_path / "serial")


@pytest.mark.ray
def test_ray_goes_on_after_a_worker_was_killed(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=KILLER, r1=6, r2=0, r3=0, executor="ray", workers=2)
    deadly = [trial for trial in study.trials if trial.candidate.parameters["depth"] == 3]
    assert len(deadly) > 0
    assert all(trial.status == "failed" for trial in deadly)
    assert study.count("complete") == 6 - len(deadly)


# --- full disk -------------------------------------------------------------------------------------------------------


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


# --- calling ---------------------------------------------------------------------------------------------------------


def test_search_takes_a_path_a_configuration_or_keywords(tmp_path: Path) -> None:
    small = {**BUDGET, "r1": 2, "r2": 0, "r3": 0}
    by_keywords = search(**small, root=str(tmp_path / "keywords"))
    by_config = search(from_keywords(**small, root=str(tmp_path / "config")))
    (tmp_path / "config.cfg").write_text(from_keywords(**small, root=str(tmp_path / "path")).to_ini())
    by_path = search(tmp_path / "config.cfg")
    assert results(by_keywords) == results(by_config) == results(by_path)
    assert search(str(tmp_path / "config.cfg")).trials == by_path.trials


def test_problem_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((PROBLEMS / "synthetic.py").read_text())
    small = {**BUDGET, "r1": 2, "r2": 0, "r3": 0, "problem": "mine.py:problem", "root": str(tmp_path)}
    (tmp_path / "config.cfg").write_text(from_keywords(**small).to_ini())
    assert search(tmp_path / "config.cfg").count("complete") == 2


def test_configuration_and_keywords_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give search a configuration or keyword arguments, not both"):
        search(from_keywords(**BUDGET), r1=3)


def test_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.cfg has 1 mistake\n.*does not exist"):
        search(tmp_path / "nowhere.cfg")


def test_search_without_a_problem_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="problem"):
        search(r1=1)


def test_returned_study_is_the_one_on_disk(tmp_path: Path) -> None:
    study = searched(tmp_path, r2=0, r3=0)
    loaded = load_study(tmp_path / "study")
    assert (study.trials, study.pending, study.reference) == (loaded.trials, loaded.pending, loaded.reference)


# --- watching --------------------------------------------------------------------------------------------------------


def test_watcher_is_told_every_stage_and_every_trial(tmp_path: Path) -> None:
    events: list[Progress] = []
    study = searched(tmp_path, events.append)
    ended = [event.trial for event in events if event.trial is not None]
    assert [trial.number for trial in ended] == [trial.number for trial in study.trials]
    assert Counter(event.stage for event in events if event.trial is not None) == {0: 4, 1: 4, 2: 3}
    assert [event.stage for event in events] == sorted(event.stage for event in events)
    assert [event.message for event in events if event.message] == [
        "stage 1 of 3: quasi-random",
        "quasi-random: all rounds done",
        "stage 2 of 3: Gaussian process",
        "Gaussian process: all rounds done",
        "stage 3 of 3: morphism",
        "morphism: all rounds done",
    ]
    assert [event.elapsed for event in events] == sorted(event.elapsed for event in events)
    assert {event.running for event in events} == {0, 1}
    assert [stage.candidates for stage in events[0].stages] == [4, 4, 3]
    assert [stage.done(study) for stage in events[0].stages] == [4, 4, 3]
    assert [stage.remaining(study) for stage in events[0].stages] == [0, 0, 0]
    assert all(event.study is study for event in events)


def test_failed_and_infeasible_trials_are_told_too(tmp_path: Path) -> None:
    told: list[Trial] = []
    with pytest.raises(SparsemodError):
        searched(
            tmp_path,
            lambda event: told.extend([event.trial] if event.trial else []),
            problem=problem_of(broken),
            max_failures=2,
        )
    assert [trial.status for trial in told] == ["failed", "failed"]


def test_each_trial_is_logged_with_units_and_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="sparsemod.loop"):
        searched(tmp_path, r1=2, r2=0, r3=0)
    lines = [record.getMessage() for record in caplog.records if record.name == "sparsemod.loop"]
    assert len(lines) == 2
    assert re.match(r"trial 0 complete in 0\.\d s error=0\.\d+ model_size=\d+ working_memory=\d+$", lines[0])


def test_hypervolume_never_falls(tmp_path: Path) -> None:
    volumes: list[float] = []
    searched(tmp_path, lambda event: volumes.append(event.study.hypervolume()))
    assert volumes == sorted(volumes)
    assert 0 < volumes[-1] < 1 and math.isfinite(volumes[-1])


def test_objectives_that_cannot_be_modelled_are_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown before training: error, latency"):
        searched(tmp_path, objectives=["error", "model_size", "latency"])
    assert not (tmp_path / "study" / "study.json").exists()
    study = searched(tmp_path, objectives=["error", "model_size"])
    assert study.count("complete") > 0
