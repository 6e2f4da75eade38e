"""How a search is called, and what it tells while it runs."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from problems.searches import BUDGET, FORMULA, PROBLEMS, broken, problem_of, results, searched

from sparsemod.config import from_keywords
from sparsemod.errors import ConfigError, InputError, SparsemodError
from sparsemod.loop import Progress, search
from sparsemod.results import load as load_study
from sparsemod.study import Candidate, Trial

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


def test_several_objectives_may_be_known_only_afterwards(tmp_path: Path) -> None:
    def objective(candidate: Candidate) -> Mapping[str, float]:
        assert FORMULA.objective is not None
        return {**FORMULA.objective(candidate), "heat": 300 + float(candidate.parameters["width"])}

    study = searched(tmp_path, problem=problem_of(objective), objectives=["error", "model_size", "heat"])
    assert study.count("complete") == 11
    assert 300 < study.reference_point()["heat"] == max(trial.score["heat"] for trial in study.trials[:10])
    assert study.hypervolume() > 0
