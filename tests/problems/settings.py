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
