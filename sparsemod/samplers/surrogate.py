"""Gaussian process on a figure that is not known beforehand, such as the error.

Inputs: the encoded parameters (those that do not exist at one value), the logarithm of the exact costs, of the epochs
that the weights have seen, and of the error of the parent that they are inherited from. Hyperparameters, the noise
among them, are fitted from scratch on the first 10, 20, 30, ... trials and kept in between, so that they follow from
the study alone.

The error is modelled by its logarithm. So is any other figure that is always positive, if its logarithm is spread more
evenly than itself: has the smaller skewness.

Parameters that do not exist are at one value because the arc kernel [Swersky2014] did not help: on the task `nas` of
benchmarks/samplers.py, 10 seeds, it reached a hypervolume of 0.205, 0.290, 0.329 after 30, 60, 100 trials, and this
0.262, 0.318, 0.334.

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

from sparsemod.cost.screen import Screen
from sparsemod.study import Candidate, Study

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

_FLOOR = 1e-4
"""Errors below this are taken for it: the logarithm of zero is no number."""
_REFIT = 10
_ITERATIONS = 60

Array = NDArray[np.float64]


class Surrogate:
    """Predicts figures of candidates from those of finished trials.

    Args:
        screen: Of the problem, whose space encodes the parameters; gives the exact costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._space, self._screen = screen.problem.space, screen
        self._fitted: dict[str, tuple[tuple[int, ...], Mapping[str, torch.Tensor]]] = {}

    def fit(self, study: Study, target: str) -> "Predictor":
        """The posterior given all completed trials, and of the error those that were given up.

        Args:
            study: At least one trial is complete.
            target: Name of a figure that is not known beforehand.
        """
        seen = _seen(study, target)
        candidates, values = [candidate for candidate, _ in seen], np.array([value for _, value in seen])
        x = torch.as_tensor(self.rows(study, candidates))
        first = len(seen) // _REFIT * _REFIT or len(seen)
        logarithmic = target == "error" or _better_as_logarithm(values[:first])
        if logarithmic:
            values = np.log(np.maximum(values, _floor(values[:first], target)))
        key = tuple(candidate.number for candidate in candidates[:first])
        if self._fitted.get(target, ((), {}))[0] != key:
            self._fitted[target] = key, _hyperparameters(x[:first], _scaled(values[:first]))
        return Predictor(self, study, x, values, self._fitted[target][1], logarithmic)

    def rows(self, study: Study, candidates: Sequence[Candidate]) -> Array:
        """Model inputs, (P, D + costs + 2)."""
        reference = study.reference_point()
        return np.stack([self._row(study, candidate, reference) for candidate in candidates])

    def _row(self, study: Study, candidate: Candidate, reference: Mapping[str, float]) -> Array:
        costs = self._screen.costs(candidate.parameters)
        logs = [np.log(max(costs[name], 1e-9) / reference[name]) / 5 for name in study.objectives if name in costs]
        history = [np.log(study.epochs_seen(candidate)) / 5, _inherited(study, candidate)]
        return np.concatenate([self._space.encode(candidate.parameters), logs, history])


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
        self._x, self._y, self._hyperparameters = x, _scaled(values), hyperparameters
        self._mean, self._spread = values.mean(), _spread(values)
        self._model = _conditioned(self._x, self._y, hyperparameters)

    def __call__(self, candidates: Sequence[Candidate]) -> tuple[Array, Array]:
        """Mean and standard deviation of the figure or its logarithm, (P,) each, without observation noise."""
        mean, variance = self._posterior(candidates)
        deviation = variance.clamp_min(1e-12).sqrt()
        return mean.numpy() * self._spread + self._mean, deviation.numpy() * self._spread

    def believing(self, candidates: Sequence[Candidate]) -> "Predictor":
        """The same means, but as sure as if these had been evaluated and what is expected of them had been found."""
        mean, _ = self._posterior(candidates)
        rows = torch.as_tensor(self._surrogate.rows(self._study, candidates))
        twin = copy.copy(self)
        twin._x, twin._y = torch.cat([self._x, rows]), torch.cat([self._y, mean.unsqueeze(-1)])
        twin._model = _conditioned(twin._x, twin._y, self._hyperparameters)
        return twin

    def _posterior(self, candidates: Sequence[Candidate]) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.as_tensor(self._surrogate.rows(self._study, candidates))
        with torch.no_grad():
            posterior = self._model.posterior(x)
        return posterior.mean.squeeze(-1), posterior.variance.squeeze(-1)


def _hyperparameters(x: torch.Tensor, y: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """Length scales and noise of maximal posterior density."""
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = _gp(x, y)
    if len(x) > 2:
        fit_gpytorch_mll_scipy(ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": _ITERATIONS})
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _conditioned(x: torch.Tensor, y: torch.Tensor, hyperparameters: Mapping[str, torch.Tensor]) -> "SingleTaskGP":
    model = _gp(x, y)
    model.load_state_dict(hyperparameters)
    return model.eval()


def _gp(x: torch.Tensor, y: torch.Tensor) -> "SingleTaskGP":
    import warnings

    from botorch.models import SingleTaskGP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inputs are scaled to about [0, 1], not checked to be
        return SingleTaskGP(x, y, outcome_transform=None)


def _scaled(values: Array) -> torch.Tensor:
    return torch.as_tensor((values - values.mean()) / _spread(values)).unsqueeze(-1)


def _better_as_logarithm(values: Array) -> bool:
    return bool((values > 0).all() and abs(_skewness(np.log(values))) < abs(_skewness(values)))


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


def _seen(study: Study, target: str) -> list[tuple[Candidate, float]]:
    """What is known of a figure, in the order in which trials ended.

    A trial that was given up tells the error that it had by then, as a candidate of that many epochs.
    """
    seen = []
    for trial in study.trials:
        if trial.status == "complete":
            seen.append((trial.candidate, trial.score[target]))
        elif trial.status == "stopped" and target == "error":
            last = max(trial.curve)
            seen.append((replace(trial.candidate, epochs=last), trial.curve[last]))
    return seen
