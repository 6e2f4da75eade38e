"""The C that stands in the folder `source`, as it is or filled in."""

from pathlib import Path
from string import Template

_SOURCE = Path(__file__).parent / "source"


def text(name: str) -> str:
    """A file as it is."""
    return (_SOURCE / name).read_text(encoding="utf-8")


def filled(name: str, /, **values: object) -> str:
    """A file whose names after `$` are filled in."""
    return Template(text(name)).substitute(values)


def loosely_filled(name: str, /, **values: object) -> str:
    """A file that has other names after `$` as well, which stay."""
    return Template(text(name)).safe_substitute(values)
