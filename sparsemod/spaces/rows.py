"""Numbered rows of parameters, such as `fc1_units` and `fc2_units`, of which `fc_layers` says how many there are."""

import numpy as np

from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.spaces.moves import changed, sign


def reaching(count: str, row: int, most: int, fewest: int = 1) -> dict[str, tuple[int, ...]] | None:
    """The condition under which a row is there; None if it always is.

    Args:
        count: Name of the parameter that says how many rows there are.
        row: Number of the row, from 1 on.
        most: Most rows.
        fewest: Fewest rows.

    Example:
        >>> reaching("fc_layers", 2, 3)
        {'fc_layers': (2, 3)}
    """
    return None if row <= fewest else {count: tuple(range(row, most + 1))}


def one_of(parameters: Parameters, rng: np.random.Generator, count: str, prefix: str) -> str:
    """What the names of a random row begin with, such as `fc2_`; there must be one."""
    return f"{prefix}{1 + int(rng.integers(int(parameters[count])))}_"


def longer(
    parameters: Parameters, space: SearchSpace, rng: np.random.Generator, count: str, prefix: str, **new: Value
) -> dict[str, Value] | None:
    """One row more, like the last but for the values in `new`, or one less.

    Args:
        parameters: Of the parent.
        space: That parent and child are members of.
        rng: Draws.
        count: Name of the parameter that says how many rows there are.
        prefix: Of the names of their parameters, such as `fc`.
        new: Values of a new row, by what follows the number and `_` in their names.
    """
    before = int(parameters[count])
    after = before + sign(rng)
    last, row = f"{prefix}{before}_", f"{prefix}{after}_"
    copied = {row + name.removeprefix(last): value for name, value in parameters.items() if name.startswith(last)}
    added = copied | {row + name: value for name, value in new.items()} if after > before else {}
    return changed(parameters, space, rng, **{count: after}, **added)
