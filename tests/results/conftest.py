"""A folder of results."""

from pathlib import Path

import pytest
from problems.records import TRIALS, candidate, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of six trials and two candidates without one."""
    folder = tmp_path / "results" / "study"
    record = opened(folder)
    record.propose([trial.candidate for trial in TRIALS[:4]])
    for trial in TRIALS[:4]:
        record.add(trial)
    record.propose([trial.candidate for trial in TRIALS[4:]])
    for trial in TRIALS[4:]:
        record.add(trial)
    record.stop("quasi-random: all rounds done", 6.0)
    record.propose([candidate(6, parent=1), candidate(7)])
    record.close()
    return folder
