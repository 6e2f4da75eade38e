"""Stage one: a scrambled Sobol sequence [Owen1998], thinned to the candidates that fit.

Where hardly any fit, a point is mended instead: mutations that bring it nearer to the limits are kept until it fits.

[Owen1998] Scrambling Sobol' and Niederreiter-Xing points, Journal of Complexity 14(4), 1998.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible, InputError
from sparsemod.objectives import quantity
from sparsemod.space import Parameters, SearchSpace, Value, identity
from sparsemod.study import Candidate, Study

_PATIENCE, _STALE = 10_000, 2_000
"""Points without a new candidate that fits, and without a new one at all, after which there are taken to be none."""
_RARE, _MENDED_AFTER = 0.01, 512
"""Points are mended if a smaller share of the first points fits."""
_STEPS, _IN_VAIN = 300, 20
"""Mutations to mend a point, and points in a row of which that made no new candidate, after which none is mended."""


class Sobol:
    """Quasi-random candidates.

    Args:
        screen: Of the problem; refuses what does not fit.
        epochs: For each candidate.
        seed: Of the scrambling.
    """

    name = "sobol"

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self._space, self._screen, self._epochs = screen.problem.space, screen, epochs
        self._engine = torch.quasirandom.SobolEngine(len(self._space), scramble=True, seed=seed)
        self._rng = np.random.default_rng([seed, 1])
        self._in_vain = 0
        self._feasible: list[dict[str, Value]] = []
        self._known: set[str] = set()
        self._exhausted = False

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """The next points of the sequence that fit and are not in the study yet."""
        seen = {identity(candidate.parameters) for candidate in study.candidates}
        asked: list[Candidate] = []
        for position in range(len(seen) + n):
            if len(asked) == n or not self._extend_to(position + 1):
                break
            parameters = self._feasible[position]
            if identity(parameters) not in seen:
                number = study.next_number + len(asked)
                asked.append(Candidate(number, parameters, self._epochs, self.name))
        return asked

    def feasible(self, n: int) -> Sequence[Parameters]:
        """The first `n` different candidates of the sequence that fit, or all if there are fewer."""
        self._extend_to(n)
        return self._feasible[:n]

    def require(self, n: int) -> Sequence[Parameters]:
        """As `feasible`.

        Raises:
            InputError: Nothing fits, with the limits that stand in the way and by how much.
        """
        found = self.feasible(n)
        if not found:
            raise InputError(_why_nothing_fits(self._space, self._screen))
        return found

    def _extend_to(self, n: int) -> bool:
        """Whether `n` candidates that fit are known, after drawing as many points as that takes."""
        misses = stale = 0
        while len(self._feasible) < n and not self._exhausted:
            rare = len(self._feasible) < _RARE * self._engine.num_generated and self._in_vain < _IN_VAIN
            mended = rare and self._engine.num_generated >= _MENDED_AFTER
            for point in self._engine.draw(8 if mended else 64).numpy():
                parameters = self._mended(self._space.from_unit(point)) if mended else self._space.from_unit(point)
                key = identity(parameters)
                new = key not in self._known and self._screen.may_be_tried(parameters)
                if new:
                    self._feasible.append(parameters)
                misses, stale = 0 if new else misses + 1, 0 if key not in self._known else stale + 1
                self._in_vain = self._in_vain if not mended else 0 if new else self._in_vain + 1
                self._known.add(key)
            self._exhausted = misses >= _PATIENCE or stale >= _STALE
        return len(self._feasible) >= n

    def _mended(self, parameters: Parameters) -> dict[str, Value]:
        """A candidate that fits, or fits better, a number of mutations away."""
        best, distance = dict(parameters), self._screen.excess(parameters)
        for _ in range(_STEPS):
            if distance == 0:
                break
            other = self._space.mutate(best, self._rng, int(self._rng.integers(1, 4)))
            changed = self._screen.excess(other)
            if changed <= distance:
                best, distance = other, changed
        return best


def _why_nothing_fits(space: SearchSpace, screen: Screen, samples: int = 1_000) -> str:
    """Which limit stands in the way, and by how much."""
    rng = np.random.default_rng(0)
    costs: list[Mapping[str, float]] = []
    reasons: dict[str, int] = {}
    for _ in range(samples):
        try:
            costs.append(screen.costs(space.sample(rng)))
        except Infeasible as reason:
            reasons[str(reason)] = reasons.get(str(reason), 0) + 1
    lines = [f"none of {_PATIENCE:,} candidates of the search space fits the limits"]
    for name, limit in screen.limits.items():
        values = [cost[name] for cost in costs if name in cost]
        if values:
            share = sum(value <= limit for value in values) / len(values)
            smallest = quantity(name, min(values))
            lines.append(
                f"  {name}: limit {quantity(name, limit)}, smallest seen {smallest}; {share:.1%} of samples fit"
            )
    if reasons:
        common = max(reasons, key=lambda reason: reasons[reason])
        lines.append(f"  {sum(reasons.values()) / samples:.0%} of the samples make no network, such as: {common}")
    return "\n".join(
        [*lines, "  raise the limits in [DEVICE] or of the problem, or let the search space hold smaller networks"]
    )
