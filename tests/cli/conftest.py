"""A folder to work in, and a study to ask about."""

import pytest
from problems.settings import SMALL

from sparsemod.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished study of the custom example, and its configuration."""
    here = tmp_path_factory.mktemp("study")
    assert main(["init", str(here), "--kind", "custom"]) == 0
    config = here / "config.cfg"
    assert main(["search", str(config), *SMALL, "--set", f"TRAIN.root={here / 'results'}"]) == 0
    return here / "results" / "custom", config
