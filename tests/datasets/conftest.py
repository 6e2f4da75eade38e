"""Data folders that only the test knows of."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_data_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a .env file of whoever runs the tests counts."""
    monkeypatch.delenv("DATA_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
