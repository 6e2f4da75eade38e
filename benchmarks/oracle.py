"""What no search is expected to pass: one that reads the truth of every candidate, without paying for it.

It chooses, one after the other, the candidate that adds most to the hypervolume. Gains of hypervolume diminish, so this
reaches at least 1 - 1/e of what the best set of as many candidates has [Nemhauser1978]; it is no proven upper bound.

[Nemhauser1978] An analysis of approximations for maximizing submodular set functions, Math. Programming 14, 1978.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from peers import Asking
from tasks import Task
from tqdm import tqdm

from sparsemod.pareto import non_dominated
from sparsemod.samplers.ehvi import ExpectedImprovement
from sparsemod.space import Parameters

_RANDOM, _ROUNDS, _CHILDREN, _KEPT = 20_000, 25, 6_000, 6_000
"""Random candidates at first, rounds in which the chosen ones have children, how many, and candidates that are kept."""
_CHOSEN = 100
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)

Array = NDArray[np.float64]


def oracle(task: Task, seed: int) -> Asking:
    """The greedy choice from a front that grows by mutations of what was chosen before; the same for every seed."""
    rng = np.random.default_rng(0)
    known: list[Parameters] = []
    values = np.empty((0, len(task.objectives)))
    many = [task.space.sample(rng) for _ in range(_RANDOM)]
    chosen: list[int] = []
    for _ in tqdm(range(_ROUNDS + 1), "rounds of the oracle", leave=False, disable=None):
        known, values = _front(task, known, values, many)
        kept = np.sort(rng.permutation(len(known))[:_KEPT])
        known, values = [known[place] for place in kept], values[kept]
        chosen = _greedy(values, min(_CHOSEN, len(known)))
        parents = [known[chosen[place]] for place in rng.integers(len(chosen), size=_CHILDREN)] if chosen else []
        many = [
            task.space.mutate(parent, rng, int(rng.integers(1, 4)), float(rng.choice(_STEPS))) for parent in parents
        ]
    for place in chosen:
        yield known[place]


def _front(
    task: Task, known: Sequence[Parameters], values: Array, many: Sequence[Parameters]
) -> tuple[list[Parameters], Array]:
    """Those that nothing dominates and that are within all limits, with their objectives as shares of the reference."""
    found, rows = list(known), list(values)
    for parameters in many:
        truth = task.truth(parameters)
        row = np.array([truth[name] / task.reference[name] for name in task.objectives])
        if (row < 1).all() and all(truth[name] <= limit for name, limit in task.limits.items()):
            found.append(parameters)
            rows.append(row)
    together = np.reshape(rows, (-1, len(task.objectives)))
    best = np.flatnonzero(non_dominated(together))
    return [found[place] for place in best], together[best]


def _greedy(values: Array, count: int) -> list[int]:
    """Places of the points that add most, one after the other; gains only fall, so few are looked at again."""
    improvement = ExpectedImprovement(np.empty((0, values.shape[1])), [False] * values.shape[1])
    gain, current = improvement(values, np.zeros_like(values)), np.zeros(len(values))
    chosen = list[int]()
    while len(chosen) < count:
        best = int(np.argmax(gain))
        if current[best] < len(chosen):
            top = np.argsort(-gain)[:8]
            gain[top], current[top] = improvement(values[top], np.zeros_like(values[top])), len(chosen)
            continue
        improvement.add(values[best])
        gain[best] = -1
        chosen.append(best)
    return chosen
