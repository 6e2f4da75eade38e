"""What morphisms are made of: some values of a member replaced, and None where that is no other member."""

import numpy as np

from sparsemod.space import Int, Parameters, SearchSpace, Value


def changed(
    parameters: Parameters, space: SearchSpace, rng: np.random.Generator, **values: Value
) -> dict[str, Value] | None:
    """Some values replaced, and what becomes active drawn at random; None if that is no other member."""
    if any(name in space and value not in space[name] for name, value in values.items()):
        return None
    child = space.complete({**parameters, **values}, rng)
    return None if child == space.canonical(parameters) else child


def moved(parameters: Parameters, space: SearchSpace, rng: np.random.Generator, name: str) -> dict[str, Value] | None:
    """Another value for one parameter, more often a near one."""
    return changed(parameters, space, rng, **{name: space[name].mutate(parameters[name], rng)})


def scaled(parameters: Parameters, space: SearchSpace, rng: np.random.Generator, name: str) -> dict[str, Value] | None:
    """A whole number larger or smaller by up to a factor of two, and by one at least."""
    parameter = space[name]
    if not isinstance(parameter, Int):  # a space of the user's own may list the widths
        return moved(parameters, space, rng, name)
    before = int(parameters[name])
    factor = 2 ** rng.uniform(-1, 1)
    after = round(before * factor)
    if after == before:
        after += 1 if factor > 1 else -1
    return changed(parameters, space, rng, **{name: min(max(after, parameter.low), parameter.high)})


def stepped(
    parameters: Parameters, space: SearchSpace, rng: np.random.Generator, name: str, most: int = 1
) -> dict[str, Value] | None:
    """A whole number larger or smaller by one, or by up to `most`."""
    if not isinstance(space[name], Int):
        return moved(parameters, space, rng, name)
    step = sign(rng) * int(rng.integers(1, most + 1))
    return changed(parameters, space, rng, **{name: int(parameters[name]) + step})


def sign(rng: np.random.Generator) -> int:
    """One up or one down."""
    return 1 if rng.random() < 0.5 else -1
