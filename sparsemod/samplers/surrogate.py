"""Gaussian process on the logarithm of the one objective that is not known beforehand, the error.

Inputs: the encoded parameters, the logarithm of the exact costs, the logarithm of the epochs. Hyperparameters are
fitted from scratch on the first 10, 20, 30, ... trials and kept in between, so that they follow from the study alone.
"""

from collections.abc import Mapping, Sequence
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
    """Predicts the error of candidates.

    Args:
        screen: Of the problem, whose space encodes the parameters; gives the exact costs.
    """

    def __init__(self, screen: Screen) -> None:
        self._space, self._screen = screen.problem.space, screen
        self._fitted: dict[tuple[int, ...], Mapping[str, torch.Tensor]] = {}

    def fit(self, study: Study, target: str) -> "Predictor":
        """The posterior given all completed trials.

        Args:
            study: At least one trial is complete.
            target: Name of the uncertain objective.
        """
        trials = study.completed()
        x = torch.as_tensor(np.stack([self._row(study, trial.candidate) for trial in trials]))
        log_error = np.log([max(trial.score[target], _FLOOR) for trial in trials])
        y = torch.as_tensor((log_error - log_error.mean()) / _spread(log_error)).unsqueeze(-1)
        first = len(trials) // _REFIT * _REFIT or len(trials)
        key = tuple(trial.number for trial in trials[:first])
        if key not in self._fitted:
            start = log_error[:first]
            scaled = torch.as_tensor((start - start.mean()) / _spread(start)).unsqueeze(-1)
            self._fitted = {key: _hyperparameters(x[:first], scaled)}
        return Predictor(self, study, _conditioned(x, y, self._fitted[key]), log_error)

    def rows(self, study: Study, candidates: Sequence[Candidate]) -> Array:
        """Model inputs, (P, D + costs + 1)."""
        return np.stack([self._row(study, candidate) for candidate in candidates])

    def _row(self, study: Study, candidate: Candidate) -> Array:
        costs = self._screen.costs(candidate.parameters)
        known = [name for name in study.objectives if name in costs]
        logs = [np.log(max(costs[name], 1e-9) / study.reference[name]) / 5 for name in known]
        epochs = np.log(_lineage(study, candidate)) / 5
        return np.concatenate([self._space.encode(candidate.parameters), logs, [epochs]])


class Predictor:
    """Posterior of the log error at a given state of the study."""

    def __init__(self, surrogate: Surrogate, study: Study, model: "SingleTaskGP", log_error: Array) -> None:
        self._surrogate, self._study, self._model = surrogate, study, model
        self._mean, self._spread = log_error.mean(), _spread(log_error)

    def __call__(self, candidates: Sequence[Candidate]) -> tuple[Array, Array]:
        """Mean and standard deviation of the log error, (P,) each, without observation noise."""
        x = torch.as_tensor(self._surrogate.rows(self._study, candidates))
        with torch.no_grad():
            posterior = self._model.posterior(x)
        mean = posterior.mean.squeeze(-1).numpy()
        deviation = posterior.variance.clamp_min(1e-12).sqrt().squeeze(-1).numpy()
        return mean * self._spread + self._mean, deviation * self._spread


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


def _spread(values: Array) -> float:
    spread = float(values.std())
    return spread if spread > 1e-9 else 1.0  # equal values differ by their rounding


def _lineage(study: Study, candidate: Candidate) -> int:
    """Epochs that the weights of a candidate have been trained for, its ancestors' included."""
    epochs = candidate.epochs
    while candidate.parent is not None:
        candidate = study[candidate.parent].candidate
        epochs += candidate.epochs
    return epochs
