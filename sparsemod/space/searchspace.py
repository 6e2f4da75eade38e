"""`SearchSpace`: names and parameters, with sampling, membership and encoding."""

import difflib
import json
import math
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sparsemod.errors import InputError
from sparsemod.space.ax import parameters_from_ax
from sparsemod.space.parameters import STEP, Choice, Float, Int, Parameter, Parameters, Value, has_one_value, native

if TYPE_CHECKING:
    from ax.core.search_space import SearchSpace as AxSearchSpace


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

    def items(self) -> ItemsView[str, Parameter]:
        """As of any mapping, but at the speed of a dictionary: candidates are drawn and encoded by the thousand."""
        return self._parameters.items()

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
        when = self._parameters[name].when
        return not when or all(parent in parameters and parameters[parent] in ok for parent, ok in when.items())

    def canonical(self, parameters: Parameters) -> dict[str, Value]:
        """The active parameters alone, in the order of the space.

        Two candidates are the same network exactly if their canonical forms are equal. A parameter that is missing
        stays missing: `contains` tells.
        """
        result: dict[str, Value] = {}
        for name, parameter in self.items():
            if name in parameters and self.is_active(name, result):
                result[name] = native(parameter, parameters[name])
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
                given = native(parameter, parameters[name]) if name in parameters else None
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

    def mutate(
        self, parameters: Parameters, rng: np.random.Generator, changes: int = 1, step: float = STEP
    ) -> dict[str, Value]:
        """A copy with some active parameters moved; parameters that become active are drawn at random.

        Args:
            parameters: A member of the space.
            rng: Draws.
            changes: Parameters to move.
            step: Standard deviation of a move, as a share of the range.
        """
        result = self.canonical(parameters)
        names = [name for name in result if not has_one_value(self[name])]
        for index in rng.permutation(len(names))[:changes]:
            name = names[index]
            result[name] = self[name].mutate(result[name], rng, step)
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
        return cls(parameters_from_ax(space))


def identity(parameters: Parameters) -> str:
    """A text that is equal exactly for equal candidates in canonical form."""
    return repr(sorted(parameters.items()))


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
