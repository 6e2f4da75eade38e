"""Configuration files that nothing outside the test has a say in."""

import os
from pathlib import Path

import pytest
from problems.settings import Write


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test: an empty folder, no SPARSEMOD_ variables."""
    for name in os.environ:
        if name.startswith("SPARSEMOD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes config.cfg from its lines."""

    def config_file(*lines: str) -> Path:
        path = tmp_path / "config.cfg"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return config_file
