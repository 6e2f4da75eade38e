"""What tests ask of a configuration file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sparsemod.config import read
from sparsemod.errors import ConfigError

Write = Callable[..., Path]


def mistakes(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, overrides)
    return list(caught.value.mistakes)


SMALL = ["--set", "TRAIN.r1=3", "--set", "TRAIN.r2=1", "--set", "TRAIN.r3=1", "--set", "TRAIN.epochs1=1",
         "--set", "TRAIN.epochs2=1", "--set", "TRAIN.epochs3=1", "--set", "TRAIN.finish_epochs=0",
         "--set", "RUN.executor=serial"]  # fmt: skip
"""Options of a search of five trials of one epoch."""
