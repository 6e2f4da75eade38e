"""`config.cfg` -> frozen `Config`; every mistake of every source is reported at once.

A key is one dataclass field: its name, type, default, bounds and help stand together here and nowhere else. Values
come, the later winning, from the defaults, the file, a `.env` file, the environment (`SPARSEMOD_TRAIN_R1=4` in both)
and the command line (`--set TRAIN.r1=4`).
"""

import configparser
import dataclasses
import difflib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from sparsemod.device import DEVICES, Device
from sparsemod.errors import ConfigError
from sparsemod.objectives import OBJECTIVES

if TYPE_CHECKING:
    from sparsemod.problem import Problem


class Bytes(float):
    """A size in bytes; `2 KB` is 2000 and `64 KiB` is 65536."""


class Seconds(float):
    """A duration in seconds; `20 min`, `2 h`, `300 ms`."""


class Milliseconds(float):
    """A duration in milliseconds; a plain number counts milliseconds."""


class Names(tuple[str, ...]):
    """Objective names; `3` is short for the first three of error, model_size, working_memory, latency."""


def _key(default: Any, help: str, **rules: Any) -> Any:
    """A configuration key: `at_least`, `at_most`, `one_of` bound its value."""
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True)
class DefaultSection:
    """What to do with the configuration."""

    train: bool = _key(True, "true: search with [TRAIN]; false: test one found network with [TEST]")


@dataclass(frozen=True)
class TrainSection:
    """The search."""

    name: str = _key("study", "name of the study, a folder below root")
    root: str = _key("results", "folder for results, relative to where the command runs")
    r1: int = _key(20, "candidates of the quasi-random stage", at_least=0)
    r2: int = _key(20, "rounds of the Gaussian-process stage", at_least=0)
    r3: int = _key(20, "rounds of the morphism stage", at_least=0)
    epochs1: int = _key(1, "epochs per candidate in the quasi-random stage", at_least=1)
    epochs2: int = _key(5, "epochs per candidate in the Gaussian-process stage", at_least=1)
    epochs3: int = _key(10, "epochs per candidate in the morphism stage", at_least=1)
    objectives: Names = _key(
        Names(OBJECTIVES), "1 to 4 (error, + model_size, + working_memory, + latency) or a list of names"
    )
    batch_size: int = _key(1, "candidates proposed per Gaussian-process round; they run in parallel", at_least=1)
    quant_scheme: str = _key(
        "post",
        "post: int8; dynamic: int8 weights of linear layers; both: each module says; none: float32",
        one_of=("post", "dynamic", "both", "none"),
    )
    pruning: bool = _key(True, "prune to the target sparsity `prune_threshold` while training")
    morphisms: bool = _key(True, "false skips the morphism stage")
    splitter: bool = _key(False, "cut sequences into windows of the searched parameter `max_len` before collating")
    flops: float = _key(
        0.0, "operations per second of the device; latency is then MACs / flops. 0: use the device's table", at_least=0
    )
    max_error: float = _key(
        1.0, "errors from here on count nothing: the reference point of the hypervolume", above=0, at_most=1
    )
    seed: int = _key(0, "of every random number of the search", at_least=0, at_most=2**32 - 1)
    tolerance: float = _key(
        0.0,
        "a stage ends when the hypervolume grew by less than this share over `patience` rounds; 0: never",
        at_least=0,
    )
    patience: int = _key(10, "rounds over which `tolerance` is measured", at_least=1)
    time_limit: Seconds = _key(Seconds(0), "wall-clock limit of the search, such as 20 min or 2 h; 0: none", at_least=0)
    min_error: float = _key(
        0.0, "stop once a network within the limits has at most this error; 0: never", at_least=0, at_most=1
    )
    max_failures: int = _key(5, "stop after this many failed candidates in a row", at_least=1)
    debug: bool = _key(False, "show the full traceback of every failed candidate")


@dataclass(frozen=True)
class TestSection:
    """The test of one found network."""

    __test__ = False

    name: str = _key("study", "name of the study")
    root: str = _key("results", "folder for results")
    arm: int = _key(-1, "number of the candidate to retrain and test; -1: every network of the front", at_least=-1)
    epochs: int = _key(20, "epochs to retrain on train + validation", at_least=1)
    objectives: Names = _key(Names(OBJECTIVES), "as in [TRAIN]")
    quant_scheme: str = _key("post", "as in [TRAIN]", one_of=("post", "dynamic", "both", "none"))
    pruning: bool = _key(True, "as in [TRAIN]")
    splitter: bool = _key(False, "as in [TRAIN]")


@dataclass(frozen=True)
class ProblemSection:
    """What to search."""

    problem: "str | Problem" = _key(
        "", "package.module:name or path/to/file.py:name, relative to the configuration file"
    )


@dataclass(frozen=True)
class DeviceSection:
    """Where the network must run. A limit left empty is the device's own."""

    device: str = _key("arduino-uno", "preset: " + ", ".join(DEVICES), one_of=tuple(DEVICES))
    model_size: Bytes | None = _key(None, "flash for the weights, such as 16 KB", above=0)
    working_memory: Bytes | None = _key(None, "RAM for the activations, such as 2 KB", above=0)
    latency: Milliseconds | None = _key(None, "time of one inference, such as 20 ms", above=0)
    cost: str = _key("", "a cost model of your own, `cost(graph, device)`, as module:name or file.py:name")


@dataclass(frozen=True)
class RunSection:
    """How candidates are evaluated."""

    executor: str = _key("serial", "serial, processes or ray", one_of=("serial", "processes", "ray"))
    workers: int = _key(0, "candidates evaluated at the same time; 0: one per processor core", at_least=0)
    gpus_per_candidate: float = _key(0.0, "share of a GPU for each candidate (ray)", at_least=0)
    address: str = _key("", "Ray cluster: empty for a local one, auto, or ray://host:port")


@dataclass(frozen=True)
class Config:
    """A whole configuration, checked.

    Attributes:
        folder: What the paths of a problem and a cost model are relative to.
        origins: Where each value came from, by (section, key); `default` for those not in it.
    """

    default: DefaultSection = DefaultSection()
    train: TrainSection = TrainSection()
    test: TestSection = TestSection()
    problem: ProblemSection = ProblemSection()
    device: DeviceSection = DeviceSection()
    run: RunSection = RunSection()
    folder: Path = Path()
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False, hash=False)

    def target(self) -> Device:
        """The device, with the `flops` model if one is configured."""
        return dataclasses.replace(DEVICES[self.device.device], flops=self.train.flops or None)

    def limits(self) -> dict[str, float]:
        """Hard upper limits by objective name: bytes and milliseconds."""
        own = {name: getattr(self.device, name) for name in ("model_size", "working_memory", "latency")}
        return self.target().limits() | {name: float(limit) for name, limit in own.items() if limit is not None}

    def study_folder(self) -> Path:
        """Folder of the study's results."""
        return Path(self.train.root) / self.train.name

    def test_folder(self) -> Path:
        """Folder of the study to test."""
        return Path(self.test.root) / self.test.name

    def items(self) -> list[tuple[str, str, str, str]]:
        """Section, key, value as it would stand in a file, and origin, of every key."""
        return [
            (section, key.name, _text(getattr(values, key.name)), self.origins.get((section, key.name), "default"))
            for section, values in ((name, getattr(self, name.lower())) for name in SECTIONS)
            for key in fields(values)
        ]

    def to_ini(self) -> str:
        """The whole configuration as a file that reads back to the same values."""
        lines: list[str] = []
        for section, key, value, _ in self.items():
            if f"[{section}]" not in lines:
                lines += ([""] if lines else []) + [f"[{section}]"]
            lines.append(f"{key} = {value}".rstrip())
        return "\n".join(lines) + "\n"


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "DEFAULT": DefaultSection,
        "TRAIN": TrainSection,
        "TEST": TestSection,
        "PROBLEM": ProblemSection,
        "DEVICE": DeviceSection,
        "RUN": RunSection,
    }
)
"""Every section of a configuration file, in order."""


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
    home = {key: section for section in ("RUN", "DEVICE", "PROBLEM", "TRAIN") for key in _keys(section)}
    for name, value in keywords.items():
        if name in home:
            given[home[name], name] = (value, f"{name}\0argument")
        else:
            mistakes.append(f"{name}: is not a key{_nearest(name, list(home))}")
    return _build("the call", Path(), given, mistakes)


def quantities(**given: str | None) -> dict[str, float]:
    """Limits by objective name from texts such as `8KB` and `20ms`; those that are None are left out.

    Raises:
        ConfigError: All texts that are not understood.
    """
    kinds = {"model_size": Bytes, "working_memory": Bytes, "latency": Milliseconds}
    limits: dict[str, float] = {}
    mistakes = []
    for name, text in given.items():
        try:
            if text is not None:
                limits[name] = _parse(text, kinds.get(name, float), {})
        except ValueError as error:
            mistakes.append(f"--max-{name.replace('_', '-')}: {error}")
    if mistakes:
        raise ConfigError("the command line", mistakes)
    return limits


# --- sources: each gives (section, key) -> (value, where it stood) -------------------------------------------------

_Given = dict[tuple[str, str], tuple[Any, str]]


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
            mistakes.append(f"[{section}]: is not a section{_nearest(section, list(SECTIONS))}")
            continue
        for key, value in parser[section].items():
            _place(given, mistakes, section, key, value, f"[{section}] {key}", path.name)
    return given


def _from_environment(mistakes: list[str]) -> _Given:
    from dotenv import dotenv_values

    given: _Given = {}
    keys = {f"SPARSEMOD_{section}_{key}".upper(): (section, key) for section in SECTIONS for key in _keys(section)}
    for name, value in sorted({**dotenv_values(".env"), **os.environ}.items()):
        if name in keys:
            origin = "environment" if name in os.environ else ".env"
            given[keys[name]] = (value or "", f"{name}\0{origin} {name}")
        elif name.startswith("SPARSEMOD_"):
            mistakes.append(f"{name}: is not a setting{_nearest(name, list(keys))}")
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
            mistakes.append(f"--set {override}: [{section}] is not a section{_nearest(section, list(SECTIONS))}")
    return given


def _place(given: _Given, mistakes: list[str], section: str, key: str, value: Any, where: str, origin: str) -> None:
    if key in _keys(section):
        given[section, key] = (value, f"{where}\0{origin}")
        return
    others = [other for other in SECTIONS if key in _keys(other)]
    hint = f"; it belongs to [{others[0]}]" if others else _nearest(key, _keys(section))
    mistakes.append(f"{where}: is not a key of [{section}]{hint}")


def _build(source: str, folder: Path, given: _Given, mistakes: list[str]) -> Config:
    sections: dict[str, Any] = {}
    origins: dict[tuple[str, str], str] = {}
    for section, kind in SECTIONS.items():
        hints, values = get_type_hints(kind, {"Problem": object, **globals()}), {}
        for key in fields(kind):
            if (section, key.name) not in given:
                continue
            value, where = given[section, key.name]
            where, _, origins[section, key.name] = where.partition("\0")
            try:
                values[key.name] = _parse(value, hints[key.name], key.metadata)
            except ValueError as error:
                mistakes.append(f"{where}: {error}")
        sections[section.lower()] = kind(**values)
    if mistakes:
        raise ConfigError(source, mistakes)
    return Config(**sections, folder=folder, origins=origins)


# --- values: text (or a Python value) -> checked value ---------------------------------------------------------------


def _parse(value: Any, hint: Any, rules: Mapping[str, Any]) -> Any:
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
    allowed = rules.get("one_of")
    if allowed and value not in allowed:
        raise ValueError(f"{value!r} is not allowed{_nearest(str(value), allowed)} Known: {', '.join(allowed)}")
    return value


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


_BYTES = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "kib": 2**10, "mib": 2**20}
_SECONDS = {"": 1, "s": 1, "ms": 1e-3, "min": 60, "m": 60, "h": 3600, "d": 86400}
_MILLISECONDS = {"": 1, "ms": 1, "s": 1e3, "us": 1e-3}


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
            if name not in OBJECTIVES:
                close = _nearest(name, OBJECTIVES)
                raise ValueError(f"{name!r} is not an objective{close} Known: {', '.join(OBJECTIVES)}")
    if not names:
        raise ValueError("no objective is named")
    if len(set(names)) < len(names):
        raise ValueError("an objective is named twice")
    return names


_PARSERS: Mapping[Any, Callable[[Any], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    Bytes: _quantity(_BYTES, "2 KB"),
    Seconds: _quantity(_SECONDS, "20 min"),
    Milliseconds: _quantity(_MILLISECONDS, "20 ms"),
    Names: _names,
}


def _text(value: Any) -> str:
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


def _keys(section: str) -> list[str]:
    return [key.name for key in fields(SECTIONS[section])]


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
