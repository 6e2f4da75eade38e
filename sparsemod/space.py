"""Search spaces: what may vary, and within which bounds.

A space is a mapping from names to `Int`, `Float` or `Choice`. A parameter may be active only under a condition on
others (`when`); an inactive one does not exist in a candidate, so two networks that build alike compare alike.

    >>> space = SearchSpace({"depth": Int(1, 2), "width_2": Int(4, 64, log=True, when={"depth": (2,)})})
    >>> space.canonical({"depth": 1, "width_2": 8})
    {'depth': 1}
"""

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from sparsemod.errors import InputError

if TYPE_CHECKING:
    from ax.core.search_space import SearchSpace as AxSearchSpace

Value = int | float | str | bool
Parameters = Mapping[str, Value]
Condition = Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high]; on a log scale if equal ratios matter more than equal steps."""

    low: int
    high: int
    log: bool = False
    when: Condition | None = None

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return 1

    def from_unit(self, unit: float) -> int:
        """The value at `unit` in [0, 1); every value gets an equal share, in logarithms if `log`."""
        if not self.log:
            return min(self.low + math.floor(unit * (self.high - self.low + 1)), self.high)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(low + unit * (high - low))), self.low), self.high)

    def encode(self, value: Value) -> list[float]:
        """The value as numbers in [0, 1]."""
        return [_position(float(value), self.low, self.high, self.log)]

    def mutate(self, value: Value, rng: np.random.Generator) -> int:
        """Another value, more often a near one."""
        if self.low == self.high:
            return self.low
        unit = self.encode(value)[0] + rng.normal(0, 0.2)
        moved = self.from_unit(min(max(unit, 0.0), 1 - 1e-9))
        if moved == value:
            moved = int(value) + (1 if rng.random() < 0.5 else -1)
        if not self.low <= moved <= self.high:
            moved = 2 * int(value) - moved
        return moved


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]; on a log scale if equal ratios matter more than equal steps."""

    low: float
    high: float
    log: bool = False
    when: Condition | None = None

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low} to {self.high}"

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return 1

    def from_unit(self, unit: float) -> float:
        """The value at `unit` in [0, 1]."""
        if self.log:
            value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)
        return min(max(float(f"{value:.6g}"), self.low), self.high)

    def encode(self, value: Value) -> list[float]:
        """The value as numbers in [0, 1]."""
        return [_position(float(value), self.low, self.high, self.log)]

    def mutate(self, value: Value, rng: np.random.Generator) -> float:
        """Another value, more often a near one; a step over a bound is reflected."""
        unit = self.encode(value)[0] + rng.normal(0, 0.2)
        moved = self.from_unit(1 - abs(1 - abs(unit)))
        if moved == value:
            moved = float(self.high if value == self.low else self.low)
        return moved


@dataclass(frozen=True)
class Choice:
    """One of a few options without an order between them."""

    options: Sequence[Value]
    when: Condition | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))

    def __contains__(self, value: object) -> bool:
        return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in self.options)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))

    @property
    def width(self) -> int:
        """Number of encoded columns: one for each option, but one alone for two."""
        return 1 if len(self.options) <= 2 else len(self.options)

    def from_unit(self, unit: float) -> Value:
        """The option at `unit` in [0, 1); every option gets an equal share."""
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]

    def encode(self, value: Value) -> list[float]:
        """One-hot; a single 0 or 1 for two options."""
        position = self.options.index(value)
        if self.width == 1:
            return [float(position)]
        return [float(index == position) for index in range(len(self.options))]

    def mutate(self, value: Value, rng: np.random.Generator) -> Value:
        """Another option."""
        others = [option for option in self.options if option != value]
        return others[rng.integers(len(others))] if others else value


Parameter = Int | Float | Choice


def _position(value: float, low: float, high: float, log: bool) -> float:
    if low == high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


class SearchSpace(Mapping[str, Parameter]):
    """A mapping of names to parameters, with sampling, membership and encoding.

    Raises:
        InputError: All mistakes of the definition together: bounds the wrong way round, a logarithm of zero, a
            condition on a parameter that does not exist, comes later or can never hold.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = dict(parameters)
        mistakes = list(_mistakes(self._parameters))
        if mistakes:
            raise InputError("\n".join(["the search space cannot be used", *(f"  {line}" for line in mistakes)]))

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(self.describe())

    def describe(self) -> str:
        """The whole definition as one JSON text; equal texts are equal spaces."""
        rows = {
            name: {
                "type": type(parameter).__name__,
                **{key: _plain(value) for key, value in vars(parameter).items() if value is not None},
            }
            for name, parameter in self.items()
        }
        return json.dumps(rows)

    @property
    def width(self) -> int:
        """Number of encoded columns, D."""
        return sum(parameter.width for parameter in self.values())

    def is_active(self, name: str, parameters: Parameters) -> bool:
        """Whether a parameter exists, given the values of those before it."""
        when = self[name].when or {}
        return all(parent in parameters and parameters[parent] in allowed for parent, allowed in when.items())

    def canonical(self, parameters: Parameters) -> dict[str, Value]:
        """The active parameters alone, in the order of the space.

        Two candidates are the same network exactly if their canonical forms are equal. A parameter that is missing
        stays missing: `contains` tells.
        """
        result: dict[str, Value] = {}
        for name in self:
            if name in parameters and self.is_active(name, result):
                result[name] = _native(self[name], parameters[name])
        return result

    def mistakes(self, parameters: Parameters) -> list[str]:
        """Everything that keeps a candidate out of the space, in words; empty for a member."""
        strange = [name for name in parameters if name not in self]
        found = [f"{name} is not a parameter of the space{_nearest(name, self)}" for name in strange]
        active = self.canonical(parameters)
        for name, parameter in self.items():
            if not self.is_active(name, active):
                continue
            if name not in active:
                found.append(f"{name} is missing; it must be {parameter}")
            elif active[name] not in parameter:
                found.append(f"{name} is {active[name]!r}; it must be {parameter}")
        return found

    def contains(self, parameters: Parameters) -> bool:
        """Whether every active parameter is there and within its bounds."""
        return not self.mistakes(parameters)

    def complete(self, parameters: Parameters, rng: np.random.Generator) -> dict[str, Value]:
        """The canonical form with active parameters that are missing or out of bounds drawn at random."""
        result: dict[str, Value] = {}
        for name, parameter in self.items():
            if self.is_active(name, result):
                given = _native(parameter, parameters[name]) if name in parameters else None
                result[name] = given if given in parameter and given is not None else parameter.from_unit(rng.random())
        return result

    def from_unit(self, point: Sequence[float] | NDArray[np.float64]) -> dict[str, Value]:
        """The candidate at a point of the unit cube.

        Args:
            point: One coordinate for each parameter, active or not, (len(space),).
        """
        result: dict[str, Value] = {}
        for (name, parameter), unit in zip(self.items(), point, strict=True):
            if self.is_active(name, result):
                result[name] = parameter.from_unit(float(unit))
        return result

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A random candidate."""
        return self.from_unit(rng.random(len(self)))

    def mutate(self, parameters: Parameters, rng: np.random.Generator, changes: int = 1) -> dict[str, Value]:
        """A copy with some active parameters moved; parameters that become active are drawn at random."""
        result = self.canonical(parameters)
        names = [name for name in result if not _has_one_value(self[name])]
        for index in rng.permutation(len(names))[:changes]:
            name = names[index]
            result[name] = self[name].mutate(result[name], rng)
        return self.complete(result, rng)

    def encode(self, parameters: Parameters) -> NDArray[np.float64]:
        """The candidate as a point of the unit cube for a surrogate model; inactive parameters sit in the middle.

        Returns:
            Encoded parameters, (D,).
        """
        active = self.canonical(parameters)
        row: list[float] = []
        for name, parameter in self.items():
            row += parameter.encode(active[name]) if name in active else [0.5] * parameter.width
        return np.asarray(row)

    @classmethod
    def from_ax(cls, space: "AxSearchSpace") -> "SearchSpace":
        """The same space from an Ax `SearchSpace`; hierarchical parameters become conditions.

        Raises:
            InputError: The Ax space has parameter constraints, which have no counterpart here, or it is no Ax space.
        """
        if not hasattr(space, "parameters"):
            raise InputError(f"the space is a {type(space).__name__}; it must be a SearchSpace of sparsemod or of Ax")
        if getattr(space, "parameter_constraints", None):
            raise InputError(
                "the Ax search space has parameter constraints, which sparsemod does not support: let `build` raise "
                "Infeasible(reason) for the combinations to refuse"
            )
        conditions: dict[str, dict[str, tuple[Value, ...]]] = {}
        for parent, parameter in space.parameters.items():
            if not parameter.is_hierarchical:
                continue
            for value, children in parameter.dependents.items():
                for child in children:
                    allowed = conditions.setdefault(child, {})
                    allowed[parent] = (*allowed.get(parent, ()), cast(Value, value))
        converted: dict[str, Parameter] = {}
        waiting = dict(space.parameters)
        while waiting:  # a parent must stand before its children
            before = len(waiting)
            for name, parameter in list(waiting.items()):
                if all(parent in converted for parent in conditions.get(name, {})):
                    converted[name] = _from_ax_parameter(parameter, conditions.get(name))
                    del waiting[name]
            if len(waiting) == before:
                raise InputError(f"the Ax search space is circular: {', '.join(waiting)} depend on each other")
        return cls(converted)


def identity(parameters: Parameters) -> str:
    """A text that is equal exactly for equal candidates in canonical form."""
    return repr(sorted(parameters.items()))


def _from_ax_parameter(parameter: object, when: Condition | None) -> Parameter:
    from ax.core.parameter import ChoiceParameter, FixedParameter, ParameterType, RangeParameter

    match parameter:
        case RangeParameter() if parameter.parameter_type == ParameterType.INT:
            return Int(int(parameter.lower), int(parameter.upper), log=parameter.log_scale, when=when)
        case RangeParameter():
            return Float(float(parameter.lower), float(parameter.upper), log=parameter.log_scale, when=when)
        case ChoiceParameter():
            return Choice(cast(Sequence[Value], parameter.values), when=when)
        case FixedParameter():
            return Choice((cast(Value, parameter.value),), when=when)
        case _:
            raise InputError(f"the Ax parameter {parameter!r} is of a kind sparsemod does not know")


def _mistakes(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    if not parameters:
        yield "it has no parameters"
    seen: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        match parameter:
            case Int() | Float():
                if not _has_usable_bounds(parameter):
                    kind = "whole" if isinstance(parameter, Int) else "finite"
                    yield f"{name}: low {parameter.low!r} and high {parameter.high!r} must be {kind} numbers"
                elif not parameter.low <= parameter.high:
                    yield f"{name}: low {parameter.low} is above high {parameter.high}"
                elif parameter.log and parameter.low <= 0:
                    yield f"{name}: a log scale needs low above 0, not {parameter.low}"
            case Choice():
                if not parameter.options:
                    yield f"{name}: has no options"
                elif any(option in parameter.options[:index] for index, option in enumerate(parameter.options)):
                    yield f"{name}: has an option twice"  # to Python 1, 1.0 and True are equal, so to us too
            case _:
                yield f"{name}: {parameter!r} is not an Int, Float or Choice"
                continue
        for parent, allowed in (parameter.when or {}).items():
            if parent not in seen:
                yield f"{name}: active only for a value of {parent!r}, which is not a parameter before it"
            elif isinstance(allowed, str) or not isinstance(allowed, Sequence):
                yield f"{name}: the values of {parent!r} under which it is active must be a list, not {allowed!r}"
            elif not any(value in seen[parent] for value in allowed):
                yield f"{name}: can never be active, {parent!r} is {seen[parent]}, never {list(allowed)}"
        seen[name] = parameter


def _has_usable_bounds(parameter: Int | Float) -> bool:
    kind = int if isinstance(parameter, Int) else (int, float)
    return all(isinstance(bound, kind) and math.isfinite(bound) for bound in (parameter.low, parameter.high))


def _has_one_value(parameter: Parameter) -> bool:
    return len(parameter.options) == 1 if isinstance(parameter, Choice) else parameter.low == parameter.high


def _native(parameter: Parameter, value: Value) -> Value:
    """One way to write equal values: no NumPy numbers (as of `rng.integers`), 1.0 for a `Float`, the option itself."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(parameter, Choice) and value in parameter:
        return parameter.options[parameter.options.index(value)]
    return float(value) if isinstance(parameter, Float) and type(value) is int else value


def _nearest(name: str, known: Mapping[str, Parameter]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _plain(value: object) -> object:
    """A value as JSON writes it: mappings and sequences become dicts and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
