"""How a named object is found; `test_problem` shows it with problems, their files and their mistakes."""

from pathlib import Path

import pytest

from sparsemod.errors import InputError
from sparsemod.locate import locate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "things.py"
    path.write_text("text = 'words'\n\ndef widen(width):\n    return width + 1\n")
    return path


def test_object_of_a_file_is_found_by_relative_and_full_path(file: Path) -> None:
    assert locate("things.py:text", file.parent, str) == "words"
    assert locate(f"{file}:widen")(3) == 4


def test_object_of_a_package_is_found() -> None:
    assert locate("pathlib:Path") is Path


def test_only_objects_of_the_kind_are_suggested(file: Path) -> None:
    with pytest.raises(InputError, match=r"has no 'tint'; did you mean .*:text\?"):
        locate(f"{file}:tint", kind=str)
    with pytest.raises(InputError, match=r"has no 'size'; it defines no int at all"):
        locate(f"{file}:size", kind=int)


@pytest.mark.parametrize("name", ["", "things.py", ":text", "things.py:"])
def test_name_without_place_or_object_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"must read 'package.module:name' or 'path/to/file.py:name'"):
        locate(name)
