"""What the user names in a text: `package.module:name` or `path/to/file.py:name`."""

import difflib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsemod.errors import InputError


def locate(name: str, folder: Path | None = None, kind: type = object) -> Any:
    """The object that `package.module:name` or `path/to/file.py:name` names.

    Args:
        name: Place and attribute.
        folder: What a relative path is relative to; the current folder if not given.
        kind: Of the objects to suggest where the name is wrong.

    Raises:
        InputError: Nothing there, or it does not import.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise InputError(f"{name!r} must read 'package.module:name' or 'path/to/file.py:name'")
    module = _import_file((folder or Path()) / place) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if isinstance(value, kind) and not key.startswith("_")]
        close = difflib.get_close_matches(attribute, known, n=1) or known[:1]
        hint = f"; did you mean {place}:{close[0]}?" if close else f"; it defines no {kind.__name__} at all"
        raise InputError(f"{place} has no {attribute!r}{hint}")
    return getattr(module, attribute)


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"the file {path} does not exist; relative paths in a configuration start at its folder")
    key = "sparsemod_problem_" + hashlib.sha1(str(path).encode()).hexdigest()[:12]
    if key in sys.modules:
        return sys.modules[key]
    specification = importlib.util.spec_from_file_location(key, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[key] = module  # before it runs, so that what it defines can be pickled
    try:
        specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[key]
        if isinstance(error, Exception):
            raise InputError(f"the file {path} does not import\n{_last_call(error)}") from error
        raise
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the user, as with python -m
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(f"the module {name!r} does not import\n{_last_call(error)}") from error


def _last_call(error: Exception) -> str:
    """Message of an error that importing raised, after the line of the imported file where it comes from."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    where = ""
    if own:
        where = f"  line {own[-1].lineno}: {own[-1].line}\n"
    elif isinstance(error, SyntaxError):
        where = f"  line {error.lineno}: {(error.text or '').strip()}\n"
    return f"{where}  {type(error).__name__}: {error}"
