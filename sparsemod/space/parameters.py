"""`Int`, `Float` and `Choice`: what one parameter may be, and its place in the unit interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Value = int | float | str | bool
Parameters = Mapping[str, Value]
Condition = Mapping[str, Sequence[Value]]

STEP = 0.2
"""Standard deviation of a mutation, as a share of the range."""


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

    def mutate(self, value: Value, rng: np.random.Generator, step: float = STEP) -> int:
        """Another value, more often a near one."""
        if self.low == self.high:
            return self.low
        unit = self.encode(value)[0] + rng.normal(0, step)
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

    def mutate(self, value: Value, rng: np.random.Generator, step: float = STEP) -> float:
        """Another value, more often a near one; a step over a bound ends there, or comes back if it began there."""
        unit = self.encode(value)[0] + rng.normal(0, step)
        moved = self.from_unit(min(max(unit, 0.0), 1.0))
        if moved == value:
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

    def mutate(self, value: Value, rng: np.random.Generator, step: float = STEP) -> Value:
        """Another option; there are no small steps between them."""
        others = [option for option in self.options if option != value]
        return others[rng.integers(len(others))] if others else value


Parameter = Int | Float | Choice


def _position(value: float, low: float, high: float, log: bool) -> float:
    if low == high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def has_one_value(parameter: Parameter) -> bool:
    """Whether there is nothing to vary."""
    return len(parameter.options) == 1 if isinstance(parameter, Choice) else parameter.low == parameter.high


def native(parameter: Parameter, value: Value) -> Value:
    """One way to write equal values: no NumPy numbers (as of `rng.integers`), 1.0 for a `Float`, the option itself."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(parameter, Choice) and value in parameter:
        return parameter.options[parameter.options.index(value)]
    return float(value) if isinstance(parameter, Float) and type(value) is int else value
