"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("sparsemod", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("sparsemod")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets, which is not part of the repository."""
    folder = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder}; set SHARED_DATA to its folder")
    return folder
