"""Where values come from: a file, `.env`, the environment, the command line, a call. All mistakes are collected."""

import configparser
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from sparsemod.config import sections
from sparsemod.config.sections import SECTIONS, Config, keys
from sparsemod.config.values import Bytes, Millijoules, Milliseconds, nearest, parse
from sparsemod.errors import ConfigError

_OF_PROBLEM = ("space", "build", "load_data", "collate", "loss", "error", "teacher", "costs", "objective", "limits")
"""What is a part of the problem, but easily given to a search beside it."""


@dataclass(frozen=True)
class _Value:
    """A value as it was given: what messages call it, and its origin for `config show`."""

    value: Any
    where: str
    origin: str


_Given = dict[tuple[str, str], _Value]


def read(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file, the environment and the command line.

    Args:
        path: The file.
        overrides: `SECTION.key=value` each, as after `--set`.

    Raises:
        ConfigError: All mistakes of all sources.
    """
    path = Path(path)
    mistakes: list[str] = []
    given = _from_file(path, mistakes) | _from_environment(mistakes) | _from_overrides(overrides, mistakes)
    return _build(str(path), path.parent, given, mistakes)


def from_keywords(**keywords: Any) -> Config:
    """A configuration from keyword arguments named like the keys: `from_keywords(problem=problem, r1=4, device=...)`.

    A key of several sections means the one of [TRAIN]. Values may be Python values or texts as in a file.
    """
    given: _Given = {}
    mistakes = []
    home = {key: section for section in ("RUN", "DEVICE", "PROBLEM", "TRAIN") for key in keys(section)}
    for name, value in keywords.items():
        if name in home:
            given[home[name], name] = _Value(value, name, "argument")
        elif name in _OF_PROBLEM:
            mistakes.append(f"{name}: belongs to the problem, as in problem=Problem({name}=...)")
        else:
            mistakes.append(f"{name}: is not a key{nearest(name, list(home))}")
    return _build("the call", Path(), given, mistakes)


def quantities(**given: str | None) -> dict[str, float]:
    """Limits by objective name from texts such as `8KB` and `20ms`; those that are None are left out.

    Raises:
        ConfigError: All texts that are not understood.
    """
    kinds = {"model_size": Bytes, "working_memory": Bytes, "latency": Milliseconds, "energy": Millijoules}
    limits: dict[str, float] = {}
    mistakes = []
    for name, text in given.items():
        try:
            if text is not None:
                limits[name] = parse(text, kinds.get(name, float), {})
        except ValueError as error:
            mistakes.append(f"--max-{name.replace('_', '-')}: {error}")
    if mistakes:
        raise ConfigError("the command line", mistakes)
    return limits


def _from_file(path: Path, mistakes: list[str]) -> _Given:
    if not path.is_file():
        raise ConfigError(str(path), ["the file does not exist; `sparsemod init` writes one to start from"])
    parser = configparser.ConfigParser(default_section="\0", interpolation=None, inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), source=path.name)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"it cannot be read: {' '.join(str(error).split())}"]) from error
    given: _Given = {}
    for section in parser.sections():
        if section not in SECTIONS:
            mistakes.append(f"[{section}]: is not a section{nearest(section, list(SECTIONS))}")
            continue
        for key, value in parser[section].items():
            _place(given, mistakes, section, key, value, f"[{section}] {key}", path.name)
    return given


def _from_environment(mistakes: list[str]) -> _Given:
    from dotenv import dotenv_values

    given: _Given = {}
    settings = {f"SPARSEMOD_{section}_{key}".upper(): (section, key) for section in SECTIONS for key in keys(section)}
    for name, value in sorted({**dotenv_values(".env"), **os.environ}.items()):
        if name in settings:
            origin = "environment" if name in os.environ else ".env"
            given[settings[name]] = _Value(value or "", name, f"{origin} {name}")
        elif name.startswith("SPARSEMOD_"):
            mistakes.append(f"{name}: is not a setting{nearest(name, list(settings))}")
    return given


def _from_overrides(overrides: Sequence[str], mistakes: list[str]) -> _Given:
    given: _Given = {}
    for override in overrides:
        found = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=(.*)", override, re.DOTALL)
        if not found:
            mistakes.append(f"--set {override}: must read SECTION.key=value, such as TRAIN.r1=4")
            continue
        section, key, value = found.groups()
        if section in SECTIONS:
            _place(given, mistakes, section, key.lower(), value.strip(), f"--set {section}.{key}", "--set")
        else:
            mistakes.append(f"--set {override}: [{section}] is not a section{nearest(section, list(SECTIONS))}")
    return given


def _place(given: _Given, mistakes: list[str], section: str, key: str, value: Any, where: str, origin: str) -> None:
    if key in keys(section):
        given[section, key] = _Value(value, where, origin)
        return
    others = [other for other in SECTIONS if key in keys(other)]
    hint = f"; it belongs to [{others[0]}]" if others else nearest(key, keys(section))
    mistakes.append(f"{where}: is not a key of [{section}]{hint}")


def _build(source: str, folder: Path, given: _Given, mistakes: list[str]) -> Config:
    built: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        hints, values = get_type_hints(kind, {**vars(sections), "Problem": object}), {}
        for key in fields(kind):
            found = given.get((section, key.name))
            try:
                if found is not None:
                    values[key.name] = parse(found.value, hints[key.name], key.metadata)
            except ValueError as error:
                mistakes.append(f"{found.where if found else key.name}: {error}")
        built[section.lower()] = kind(**values)
    if mistakes:
        raise ConfigError(source, mistakes)
    return Config(**built, folder=folder, origins={place: value.origin for place, value in given.items()})
