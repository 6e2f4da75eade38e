"""Texts -> checked values, with messages that say what is allowed."""

import difflib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sparsemod.objectives import NAMES, OBJECTIVES


class Bytes(float):
    """A size in bytes; `2 KB` is 2000 and `64 KiB` is 65536."""


class Seconds(float):
    """A duration in seconds; `20 min`, `2 h`, `300 ms`."""


class Milliseconds(float):
    """A duration in milliseconds; a plain number counts milliseconds."""


class Millijoules(float):
    """An energy in millijoules; a plain number counts millijoules."""


class Names(tuple[str, ...]):
    """Objective names; `3` is short for the first three of error, model_size, working_memory, latency."""


def parse(value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
    """A text or a Python value as the type that a key is annotated with.

    Args:
        value: As given.
        hint: The annotation of the key.
        rules: `at_least`, `at_most`, `above`, `one_of` and `or_own`.

    Raises:
        ValueError: It is not of that type, or out of bounds; the message says what is allowed.
    """
    optional = type(None) in getattr(hint, "__args__", ())
    kind = hint.__args__[0] if hasattr(hint, "__args__") and not isinstance(hint, type) else hint
    if optional and (value is None or (isinstance(value, str) and value.lower() in ("", "none"))):
        return None
    if kind is str:
        return _one_of(_line(value) if hint is str or isinstance(value, str) else value, rules)
    parsed = _PARSERS[kind](value)
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise ValueError(f"{value!r} is not a finite number")
    for rule, word, holds in _BOUNDS:
        if rule in rules and not holds(parsed, rules[rule]):
            raise ValueError(f"{value} must be {word} {rules[rule]}")
    return parsed


_BOUNDS: Sequence[tuple[str, str, Callable[[Any, Any], bool]]] = (
    ("at_least", "at least", lambda value, bound: value >= bound),
    ("at_most", "at most", lambda value, bound: value <= bound),
    ("above", "above", lambda value, bound: value > bound),
)


def _one_of(value: Any, rules: Mapping[str, Any]) -> Any:
    """A value that is among those allowed, if only some are; with `or_own`, or a place where the user's own one is."""
    allowed = rules.get("one_of")
    own = rules.get("or_own", False)
    if not allowed or value in allowed or (own and (not isinstance(value, str) or ":" in value)):
        return value
    known = ", ".join(filter(None, allowed)) + (", or your own as file.py:name" if own else "")
    raise ValueError(f"{value!r} is not allowed{nearest(str(value), allowed)} Known: {known}")


def _line(value: Any) -> str:
    """A text that means the same in a file."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{value!r} is not a text")
    line = str(value).strip()
    if re.search(r"(^|\s)[#;]|[\r\n]", line):
        raise ValueError(f"{line!r} must be one line, and no word of it may begin with # or ;, which begin a comment")
    return line


def _bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError(f"{value!r} is not true or false")
    return words[str(value).lower()]


def _int(value: Any) -> int:
    try:
        return int(str(value).replace("_", ""))
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None


_BYTES = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SECONDS = {"": 1, "s": 1, "ms": 1e-3, "min": 60, "m": 60, "h": 3600, "d": 86400}
_MILLISECONDS = {"": 1, "ms": 1, "s": 1e3, "us": 1e-3}
_MILLIJOULES = {"": 1, "mj": 1, "j": 1e3, "uj": 1e-3}


def _quantity(units: Mapping[str, float], example: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        found = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-zA-Z]*)\s*", str(value))
        try:
            number, unit = found.groups() if found else ("", "")
            return float(number) * units[unit.lower()]
        except (KeyError, ValueError):
            raise ValueError(f"{value!r} is not like {example}; units: {', '.join(filter(None, units))}") from None

    return parse


def _names(value: Any) -> Names:
    if isinstance(value, int) or str(value).strip().isdigit():
        count = int(value)
        if not 1 <= count <= len(OBJECTIVES):
            raise ValueError(f"{count} must be from 1 to {len(OBJECTIVES)}, or a list of names")
        return Names(OBJECTIVES[:count])
    if not isinstance(value, str):
        if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{value!r} is neither a number from 1 to {len(OBJECTIVES)} nor a list of names")
        names = Names(value)  # a program may name what its problem returns
    else:
        names = Names(name.strip() for name in value.strip("[] ").split(",") if name.strip())
        for name in names:
            if not name.isidentifier() or _misspells(name):
                raise ValueError(f"{name!r} is not an objective{nearest(name, NAMES)} Known: {', '.join(NAMES)}")
    if not names:
        raise ValueError("no objective is named")
    if len(set(names)) < len(names):
        raise ValueError("an objective is named twice")
    return names


def _misspells(name: str) -> bool:
    """Whether a name is all but a known one; others, such as `heat` or `energy_uj`, the problem itself may give."""
    if any(known in name for known in NAMES):
        return False
    return bool(difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8))


_PARSERS: Mapping[Any, Callable[[Any], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    Bytes: _quantity(_BYTES, "2 KB"),
    Seconds: _quantity(_SECONDS, "20 min"),
    Milliseconds: _quantity(_MILLISECONDS, "20 ms"),
    Millijoules: _quantity(_MILLIJOULES, "0.5 mJ"),
    Names: _names,
}


def text(value: Any) -> str:
    """A value as it stands in a file; reads back to the very same value."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value)
        case float():
            return repr(float(value)).removesuffix(".0")  # all digits: a file reads back to the very same number
        case _:
            return str(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that is most like it, if any is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
