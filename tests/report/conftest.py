"""Studies to report on: one of formulas, one of networks."""

from pathlib import Path

import pytest
from problems.records import HEADER, TRIALS
from problems.searches import TINY, searched

from sparsemod.report import Source, open_sources
from sparsemod.study import Study


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Six trials, of which 1 and 0 are the front; nothing is on disk."""
    study = Study(HEADER["objectives"], HEADER["limits"], HEADER["reference"])
    for trial in TRIALS:
        study.add(trial)
    return Source("six", study, tmp_path, {"DEVICE.device": "microbit-v2"}, "problem.py:problem")


@pytest.fixture(scope="session")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of five small networks, with their models."""
    root = tmp_path_factory.mktemp("networks")
    searched(root, problem=TINY, objectives=4, r1=5, r2=0, r3=0)
    return root / "study"


@pytest.fixture(scope="session")
def trained(networks_folder: Path) -> Source:
    return open_sources([networks_folder])[0]
