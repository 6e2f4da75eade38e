"""Gaussian process on a figure that is not known beforehand, such as the error.

Inputs: the encoded parameters (those that do not exist at one value), the logarithm of the exact costs, of the epochs
that the weights have seen, and of the error of the parent that they are inherited from. Hyperparameters, the noise
among them, are fitted from scratch whenever there are a tenth more trials, and kept in between, so that they follow
from the study alone.

A large study would take too long: time grows with the third power of the trials. From 400 trials on, hyperparameters
are fitted whenever there are half more, on 400 of them; from 1000 on, the model learns from the front, the latest 500,
and as many spread evenly over those before.

The error is modelled by its logarithm. So is any other figure that is always positive and spans a power of ten, if its
logarithm is spread more evenly than itself: has the smaller skewness.

Parameters that do not exist are at one value because the arc kernel [Swersky2014] did not help: on the task `nas` of
benchmarks/samplers.py, 10 seeds, it reached a hypervolume of 0.225, 0.308, 0.332 after 30, 60, 100 trials, and this
0.256, 0.318, 0.335.

[Swersky2014] Raiders of the lost architecture: kernels for Bayesian optimization in conditional parameter spaces, 2014.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sparsemod.cost.screen import Recent, Screen
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Study, Trial

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

_FLOOR = 1e-4
"""Errors below this are taken for it: the logarithm of zero is no number."""
_LEAST_NOISE = 1e-6
"""Variance, as a share of that of the values: BoTorch's 1e-4 hides what is left to gain where nothing is noisy."""
_ITERATIONS = 60
_FITTED, _LEARNED = 400, 1_000
"""Trials that hyperparameters are fitted on at most, and that the model learns from, beside those of the front."""
_ENCODED = 10_000
"""Candidates whose inputs are kept."""

Array = NDArray[np.float64]


class Surrogate:
    """Predicts figures of candidates from those of finished trials.

    Args:
        screen: Of the problem, whose space encodes the parameters; gives the exact costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._space, self._screen = screen.problem.space, screen
        self._fitted: dict[str, tuple[tuple[int, ...], Mapping[str, torch.Tensor]]] = {}
        self._encoded: Recent[Array] = Recent(_ENCODED)

    def fit(self, study: Study, target: str) -> "Predictor":
        """The posterior given all completed trials, and of the error those that were given up.

        Args:
            study: At least one trial is complete.
            target: Name of a figure that is not known beforehand.
        """
        candidates, values = _seen(study, target)
        first = _fitted_at(len(values))
        logarithmic = target == "error" or _better_as_logarithm(values[:first])
        if logarithmic:
            values = np.log(np.maximum(values, _floor(values[:first], target)))
        sample = _spread_over(first, _FITTED)
        key = tuple(candidates[place].number for place in sample)
        if self._fitted.get(target, ((), {}))[0] != key:
            x = torch.as_tensor(self.rows(study, [candidates[place] for place in sample]))
            self._fitted[target] = key, _hyperparameters(x, _scaled(values[sample]))
        kept = {trial.number for trial in learned(study)}
        places = [place for place, candidate in enumerate(candidates) if candidate.number in kept]
        x = torch.as_tensor(self.rows(study, [candidates[place] for place in places]))
        return Predictor(self, study, x, values[places], self._fitted[target][1], logarithmic)

    def rows(self, study: Study, candidates: Sequence[Candidate]) -> Array:
        """Model inputs, (P, D + costs + 2)."""
        reference = study.reference_point()
        costs = [self._screen.costs(candidate.parameters) for candidate in candidates]
        known = [name for name in study.objectives if name in costs[0]]
        shares = [[max(cost[name], 1e-9) / reference[name] for name in known] for cost in costs]
        epochs = [[study.epochs_seen(candidate)] for candidate in candidates]
        inherited = [[_inherited(study, candidate)] for candidate in candidates]
        encoded = [self._encode(candidate.parameters) for candidate in candidates]
        logs = np.log(np.hstack([np.reshape(shares, (len(costs), len(known))), epochs])) / 5
        return np.hstack([encoded, logs, inherited])

    def _encode(self, parameters: Parameters) -> Array:
        key = tuple(parameters.items())
        if key not in self._encoded:
            self._encoded[key] = self._space.encode(parameters)
        return self._encoded[key]


class Predictor:
    """Posterior of a figure at a given state of the study.

    Args:
        surrogate: Gives the inputs of the model.
        study: As it is.
        x: Inputs of the model that were seen, (T, D).
        values: The figure there, or its logarithm, (T,).
        hyperparameters: Of the model.
        logarithmic: Whether the values are logarithms.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        study: Study,
        x: torch.Tensor,
        values: Array,
        hyperparameters: Mapping[str, torch.Tensor],
        logarithmic: bool,
    ) -> None:
        self._surrogate, self._study, self.logarithmic = surrogate, study, logarithmic
        self._mean, self._spread = values.mean(), _spread(values)
        self._x, y = x, _scaled(values)
        self._gp = _gp(x, y)
        self._gp.load_state_dict(hyperparameters)
        self._noise, constant = self._gp.likelihood.noise.item(), self._gp.mean_module.constant.item()
        self._factor = _cholesky(self._covariance(x, x), self._noise)
        self._constant, self._weights = constant, torch.cholesky_solve(y - constant, self._factor).squeeze(-1)

    def __call__(self, candidates: Sequence[Candidate]) -> tuple[Array, Array]:
        """Mean and standard deviation of the figure or its logarithm, (P,) each, without observation noise."""
        outlook = self.outlook(self._surrogate.rows(self._study, candidates))
        return outlook.mean, outlook.deviation

    def outlook(self, rows: Array) -> "Outlook":
        """Of candidates, given by the inputs of the model, of which some will be believed one by one."""
        x = torch.as_tensor(rows)
        scaled = self._constant + self._covariance(x, self._x[: len(self._weights)]) @ self._weights
        mean = scaled.numpy() * self._spread + self._mean
        return Outlook(mean, self.logarithmic, self._spread, self._noise, self._covariance(x, x), self._half(x))

    def believing(self, rows: Array) -> "Predictor":
        """The same means, but as sure as if these had been evaluated and what is expected of them had been found."""
        x = torch.as_tensor(rows)
        half = self._half(x)
        corner = _cholesky(self._covariance(x, x) - half.T @ half, self._noise)
        twin = copy.copy(self)
        twin._x = torch.cat([self._x, x])
        above = torch.cat([self._factor, half.new_zeros(half.shape)], dim=1)
        twin._factor = torch.cat([above, torch.cat([half.T, corner], dim=1)])
        return twin

    def _covariance(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Before anything was seen, (P, P')."""
        with torch.no_grad():
            covariance: torch.Tensor = self._gp.covar_module(x, other).to_dense()
        return covariance

    def _half(self, x: torch.Tensor) -> torch.Tensor:
        """Half of what is known of the variance there: its square is subtracted, (T, P)."""
        half: torch.Tensor = torch.linalg.solve_triangular(self._factor, self._covariance(self._x, x), upper=False)
        return half


class Outlook:
    """What a predictor says of some candidates, while ever more of them are believed.

    Attributes:
        mean: Of the figure or its logarithm, which belief does not change, (P,).
        logarithmic: Whether it is of the logarithm.
    """

    def __init__(
        self, mean: Array, logarithmic: bool, spread: float, noise: float, covariance: torch.Tensor, half: torch.Tensor
    ) -> None:
        self.mean, self.logarithmic = mean, logarithmic
        self._spread, self._noise, self._covariance, self._half = spread, noise, covariance, half
        self._believed = half[:0]
        self._variance = covariance.diagonal() - half.square().sum(dim=0)

    @property
    def deviation(self) -> Array:
        """Standard deviation of the figure or its logarithm, without observation noise, (P,)."""
        deviation: Array = self._variance.clamp_min(1e-12).sqrt().numpy() * self._spread
        return deviation

    def believe(self, place: int) -> None:
        """Makes all as sure as `Predictor.believing` would, given the candidate at a place."""
        known = self._half[:, place] @ self._half + self._believed[:, place] @ self._believed
        row = (self._covariance[place] - known) / (self._variance[place].clamp_min(0) + self._noise).sqrt()
        self._believed = torch.cat([self._believed, row.unsqueeze(0)])
        self._variance = self._variance - row.square()


def _hyperparameters(x: torch.Tensor, y: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """Length scales and noise of maximal posterior density."""
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = _gp(x, y)
    if len(x) > 2:
        fit_gpytorch_mll_scipy(ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": _ITERATIONS})
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _cholesky(covariance: torch.Tensor, noise: float) -> torch.Tensor:
    from linear_operator.utils.cholesky import psd_safe_cholesky

    factor: torch.Tensor = psd_safe_cholesky(covariance + noise * torch.eye(len(covariance), dtype=covariance.dtype))
    return factor


def _gp(x: torch.Tensor, y: torch.Tensor) -> "SingleTaskGP":
    import warnings

    from botorch.models import SingleTaskGP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inputs are scaled to about [0, 1], not checked to be
        model = SingleTaskGP(x, y, outcome_transform=None)
    model.likelihood.noise_covar.raw_noise_constraint.lower_bound.fill_(_LEAST_NOISE)
    return model


def _scaled(values: Array) -> torch.Tensor:
    return torch.as_tensor((values - values.mean()) / _spread(values)).unsqueeze(-1)


def _better_as_logarithm(values: Array) -> bool:
    if values.min() <= 0 or values.max() < 10 * values.min():
        return False
    return abs(_skewness(np.log(values))) < abs(_skewness(values))


def _skewness(values: Array) -> float:
    return float((((values - values.mean()) / _spread(values)) ** 3).mean())


def _spread(values: Array) -> float:
    spread = float(values.std())
    return spread if spread > 1e-9 else 1.0  # equal values differ by their rounding


def _inherited(study: Study, candidate: Candidate) -> float:
    """Logarithm of the parent's error; without a parent that of an error of 1, from which training starts."""
    if candidate.parent is None:
        return 0.0
    return float(np.log(max(study[candidate.parent].score.get("error", 1.0), _FLOOR)) / 5)


def _floor(values: Array, target: str) -> float:
    """What smaller values are taken for: an error may be zero, or in units in which all are tiny."""
    smallest = float(values.min(where=values > 0, initial=math.inf))
    return min(_FLOOR, smallest) if target == "error" else smallest


def _fitted_at(count: int) -> int:
    """Of so many trials, the number of the first ones that hyperparameters are fitted on."""
    first = after = 0
    while after <= count:
        first, after = after, after + max(1, after // (10 if after < _FITTED else 2))
    return first


def _spread_over(count: int, most: int) -> NDArray[np.int64]:
    """Places of so many trials, or of as many as there may be, evenly."""
    return np.arange(min(count, most)) * count // min(count, most)


def learned(study: Study) -> list[Trial]:
    """The trials that models learn from, in the order in which they ended: of a large study a part."""
    trials = [trial for trial in study.trials if trial.status in ("complete", "stopped")]
    if len(trials) <= _LEARNED:
        return trials
    front = {trial.number for trial in study.pareto_front()}
    best = [place for place, trial in enumerate(trials) if trial.number in front]
    earlier = len(trials) - _LEARNED // 2
    places = np.unique([*best, *_spread_over(earlier, _LEARNED // 2), *range(earlier, len(trials))])
    return [trials[place] for place in places]


def _seen(study: Study, target: str) -> tuple[list[Candidate], Array]:
    """What is known of a figure, in the order in which trials ended.

    A trial that was given up tells the error that it had by then, as a candidate of that many epochs.
    """
    candidates, values = list[Candidate](), list[float]()
    for trial in study.trials:
        if trial.status == "complete":
            candidates.append(trial.candidate)
            values.append(trial.score[target])
        elif trial.status == "stopped" and target == "error":
            last = max(trial.curve)
            candidates.append(replace(trial.candidate, epochs=last))
            values.append(trial.curve[last])
    return candidates, np.array(values, dtype=float)
