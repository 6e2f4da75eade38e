"""A small search inside Ray Tune."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from problems.searches import SYNTHETIC, TINY, results

from sparsemod.errors import InputError
from sparsemod.loop import search as search_alone
from sparsemod.study import Candidate, Study, Trial
from sparsemod.tune import CostAwareStopping, SparseSearch, trainable

BUDGET: Mapping[str, Any] = {"device": "microbit-v2", "objectives": 3, "r1": 3, "r2": 2, "r3": 2, "finish_epochs": 0}


def score(settings: Mapping[str, Any]) -> dict[str, float]:
    from sparsemod.problem import load

    objective = load(SYNTHETIC).objective
    assert objective is not None
    names = ("number", "parameters", "epochs", "origin", "parent")
    return dict(objective(Candidate(*(settings[name] for name in names))))


def told(search: SparseSearch, count: int) -> list[Any]:
    """What a searcher proposes one by one, each told before the next."""
    proposed = []
    for _ in range(count):
        trial_id = f"trial-{len(search.study.candidates)}"
        settings = search.suggest(trial_id)
        proposed.append(settings)
        if isinstance(settings, dict):
            search.on_trial_complete(trial_id, score(settings))
    return proposed


def test_searcher_goes_through_the_stages_and_says_when_it_is_done() -> None:
    search = SparseSearch(SYNTHETIC, **BUDGET)
    proposed = told(search, 8)
    assert [each["origin"] for each in proposed[:7]] == ["sobol"] * 3 + ["bayes"] * 2 + ["morph"] * 2
    assert proposed[7] == "FINISHED"
    assert search.study.count("complete") == 7
    assert all(set(trial.score) == {"error", "model_size", "working_memory"} for trial in search.study)


def test_stage_waits_for_the_last_results_of_the_one_before() -> None:
    search = SparseSearch(SYNTHETIC, **BUDGET)
    settings = [search.suggest(f"{n}") for n in range(3)]
    assert search.suggest("early") is None
    for n, each in enumerate(settings):
        assert isinstance(each, dict)
        search.on_trial_complete(f"{n}", score(each))
    following = search.suggest("later")
    assert isinstance(following, dict)
    assert following["origin"] == "bayes"


def test_restored_searcher_proposes_what_the_saved_one_would_have(tmp_path: Path) -> None:
    search = SparseSearch(SYNTHETIC, **BUDGET)
    told(search, 4)
    search.suggest("running")
    search.save(str(tmp_path / "state.pkl"))
    again = SparseSearch(SYNTHETIC, **BUDGET)
    again.restore(str(tmp_path / "state.pkl"))
    assert again.study.trials == search.study.trials
    assert [each.number for each in again.study.pending] == [4]
    running = again.candidate("running")
    assert running is not None
    for each in (search, again):
        settings = {"number": 4, "parameters": running.parameters, "epochs": 5, "origin": "bayes", "parent": None}
        each.on_trial_complete("running", score(settings))
    assert told(search, 3) == told(again, 3)


def test_trial_that_reports_too_little_fails_with_its_reason() -> None:
    search = SparseSearch(SYNTHETIC, **BUDGET)
    for trial_id, result in (("0", {"error": 0.5}), ("1", None)):
        search.suggest(trial_id)
        search.on_trial_complete(trial_id, result, error=result is None)
    search.on_trial_complete("unknown", {"error": 0.5})
    reasons = [trial.reason for trial in search.study]
    assert reasons == ["it reported no model_size, working_memory", "it reported no error, model_size, working_memory"]


class Running:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def test_scheduler_ends_a_trial_that_a_cheaper_one_was_clearly_better_than() -> None:
    search = SparseSearch(SYNTHETIC, **{**BUDGET, "epochs1": 20})
    scheduler = CostAwareStopping(search)
    candidates = [search.suggest(f"{n}") for n in range(3)]
    assert all(isinstance(each, dict) for each in candidates)
    search.study = with_rival(search.study, error=0.1)
    report = {"training_iteration": 2, "error": 0.9}
    search.on_trial_result("0", report)
    assert scheduler.on_trial_result(None, Running("0"), {**report, "training_iteration": 3}) == "CONTINUE"  # no rung
    assert scheduler.on_trial_result(None, Running("0"), {**report, "error": 0.14}) == "CONTINUE"  # 0.1 / 0.7
    assert scheduler.on_trial_result(None, Running("0"), report) == "STOP"
    search.on_trial_complete("0", report)
    ended = search.study[0]
    assert (ended.status, ended.curve, ended.score) == ("stopped", {2: 0.9}, {})


def with_rival(study: Study, error: float) -> Study:
    """Beside what runs, the smallest network there is, which learned quickly."""
    grown = study.copy()
    rival = Candidate(99, {"width": 1, "depth": 1, "kind": "plain"}, 20, "sobol")
    score = {"error": error, "model_size": 10.0, "working_memory": 5.0}
    grown.add(Trial(rival, "complete", score, curve=dict.fromkeys((2, 6, 12), error)))
    return grown


def test_mistakes_are_found_before_anything_runs() -> None:
    with pytest.raises(InputError, match="'microbitt' is not allowed"):
        SparseSearch(SYNTHETIC, device="microbitt")


# --- with Tune -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


@pytest.mark.ray
def test_tuner_finds_what_the_study_holds(cluster: None, tmp_path: Path) -> None:
    from ray import tune

    settings: dict[str, Any] = {**BUDGET, "epochs1": 1, "epochs2": 1, "epochs3": 1}
    search = SparseSearch(TINY, **settings)
    tuner = tune.Tuner(
        tune.with_resources(trainable(TINY, **settings), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=CostAwareStopping(search),
            num_samples=10,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="tiny", verbose=0),
    )
    results = tuner.fit()
    assert len(results) == len(search.study) == 7
    assert search.study.count("complete") == 7, [trial.reason for trial in search.study]
    found = {each.config["number"]: {name: each.metrics[name] for name in search.study[0].score} for each in results}
    assert found == {trial.number: trial.score for trial in search.study}
    assert [candidate.origin for candidate in search.study.candidates] == ["sobol"] * 3 + ["bayes"] * 2 + ["morph"] * 2
    restored = tune.Tuner.restore(str(tmp_path / "tiny"), trainable=trainable(TINY, **settings))
    assert len(restored.get_results()) == 7


INTERRUPTED = """
import os, signal, sys
import ray
from ray import tune
from sparsemod.tune import SparseSearch, trainable

class Interruption(tune.Callback):
    ended = 0

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.ended += 1
        if self.ended == {trials}:
            os.kill(os.getpid(), {signal})

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False,
         runtime_env={{"env_vars": {{"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}}}})
tune.Tuner(
    tune.with_resources(trainable({problem!r}, **{settings}), {{"cpu": 1}}),
    tune_config=tune.TuneConfig(
        search_alg=SparseSearch({problem!r}, **{settings}), num_samples=-1, max_concurrent_trials=1, reuse_actors=True
    ),
    run_config=tune.RunConfig(
        storage_path={root!r}, name="tiny", verbose=0, callbacks=[Interruption()]
    ),
).fit()
"""


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_tuner_goes_on_and_finds_what_a_search_finds(
    cluster: None, tmp_path: Path, how: signal.Signals
) -> None:
    """Interrupted after five of seven trials, when the front has weights that children begin with."""
    from ray import tune

    settings: dict[str, Any] = {**BUDGET, "r3": 3, "batch_size": 1, "epochs1": 1, "epochs2": 1, "epochs3": 1}
    script = INTERRUPTED.format(problem=TINY, settings=settings, root=str(tmp_path), trials=5, signal=int(how))
    environment = {**os.environ, "TUNE_GLOBAL_CHECKPOINT_S": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, env=environment)
    saved = SparseSearch(TINY, **settings)
    saved.restore_from_dir(str(tmp_path / "tiny"))
    assert 0 < len(saved.study) < 8, killed.stderr.decode()[-2000:]

    tuner = tune.Tuner.restore(str(tmp_path / "tiny"), trainable=trainable(TINY, **settings))
    found = tuner.fit()
    assert sorted(each.config["number"] for each in found) == list(range(8))
    saved.restore_from_dir(str(tmp_path / "tiny"))
    alone = search_alone(problem=TINY, root=str(tmp_path / "alone"), **settings)
    assert results(saved.study) == results(alone)
    assert {candidate.origin for candidate in saved.study.candidates} == {"sobol", "bayes", "morph"}
