"""What each idea is worth: sparsemod's sampler without it, or with something else in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from peers import Asking, Method, ours
from tasks import Task

from sparsemod import Candidate, SearchSpace, Study
from sparsemod.cost.screen import Screen
from sparsemod.samplers import Bayes, surrogate
from sparsemod.samplers.acquisition import Acquisition
from sparsemod.space import STEP, Parameters, identity

_SAMPLES = 128
"""Of the posterior, as BoTorch and Ax take by default."""


# --- what is known ---------------------------------------------------------------------------------------------------


def costs_not_known(task: Task, seed: int) -> Asking:
    """Every objective has a model of its own, and nothing can be screened."""
    yield from ours(replace(task, costs=lambda parameters: {}), seed)


def not_screened(task: Task, seed: int) -> Asking:
    """Costs are inputs and exact objectives, but what does not fit is proposed, too."""
    screen = task.screen()
    screen.limits = {}
    with mock.patch.object(Task, "screen", lambda self: screen):
        yield from ours(task, seed)


# --- parameters that do not exist ------------------------------------------------------------------------------------


class _Scattered(SearchSpace):
    """Gives every inactive parameter some value that follows from the candidate, as flat spaces do."""

    def encode(self, parameters: Parameters) -> NDArray[np.float64]:
        rng = np.random.default_rng(list(identity(parameters).encode()))
        units = rng.random(len(self))
        row: list[float] = []
        for (name, parameter), unit in zip(self.items(), units, strict=True):
            row += parameter.encode(parameters[name] if name in parameters else parameter.from_unit(unit))
        return np.asarray(row)


class _Marked(SearchSpace):
    """Marks inactive parameters with -1."""

    def encode(self, parameters: Parameters) -> NDArray[np.float64]:
        row: list[float] = []
        for name, parameter in self.items():
            row += parameter.encode(parameters[name]) if name in parameters else [-1.0] * parameter.width
        return np.asarray(row)


def not_masked(task: Task, seed: int) -> Asking:
    """Inactive parameters reach the model with some value."""
    yield from ours(replace(task, space=_Scattered(dict(task.space))), seed)


def arc_kernel(task: Task, seed: int) -> Asking:
    """Every parameter is a place on an arc, or the centre of its circle where it does not exist [Swersky2014].

    [Swersky2014] Raiders of the lost architecture: kernels for Bayesian optimization in conditional parameter spaces.
    """
    from botorch.models import SingleTaskGP
    from gpytorch.kernels import ArcKernel, RBFKernel, ScaleKernel
    from gpytorch.priors import GammaPrior

    def model(x: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
        base = RBFKernel()
        base.raw_lengthscale.requires_grad_(False)
        arc = ArcKernel(
            base,
            delta_func=lambda x: (x > -0.99).to(x),
            angle_prior=GammaPrior(0.5, 1),
            radius_prior=GammaPrior(3, 2),
            ard_num_dims=x.shape[-1],
        )
        return SingleTaskGP(x, y, covar_module=ScaleKernel(arc), outcome_transform=None)

    with mock.patch.object(surrogate, "_gp", model):
        yield from ours(replace(task, space=_Marked(dict(task.space))), seed)


# --- pool and acquisition --------------------------------------------------------------------------------------------


class _WithoutMutations(Bayes):
    """Random candidates in the place of mutations."""

    def _mutations(
        self, parents: Sequence[Candidate], n: int, rng: np.random.Generator, step: float = STEP
    ) -> list[Parameters]:
        return [self._space.sample(rng) for _ in range(n)]


class _Sampled(Acquisition):
    """BoTorch's qLogNEHVI [Ament2023] on the same model; the costs are read off its inputs.

    [Ament2023] Unexpected improvements to expected improvement for Bayesian optimization, NeurIPS 2023.
    """

    def __init__(self, study: Study, model: surrogate.Surrogate, screen: Screen) -> None:
        super().__init__(study, model, screen)
        self._rows = partial(model.rows, study)
        self._function = self._made()

    def gain(self, pool: Sequence[Candidate]) -> NDArray[np.float64]:
        if not pool:
            return np.empty(0)
        with torch.no_grad():
            logarithm = self._function(torch.as_tensor(self._rows(pool)).unsqueeze(1))
        return np.exp(logarithm.numpy())

    def _made(self) -> Any:
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
        from botorch.sampling.normal import SobolQMCNormalSampler

        [(error, predictor)] = self._models.items()
        place, count = self._study.objectives.index(error), len(self._study.objectives)
        first = self._screen.problem.space.width

        def objective(y: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
            value = torch.exp(y * predictor._spread + predictor._mean) / self._reference[error]
            costs = torch.exp(5 * X[..., first : first + count - 1]).expand(*y.shape[:-1], -1)
            return -torch.cat([costs[..., :place], value, costs[..., place:]], dim=-1)

        return qLogNoisyExpectedHypervolumeImprovement(
            predictor._gp.eval(),
            -torch.ones(count, dtype=torch.float64),
            torch.as_tensor(self._rows([trial.candidate for trial in self._trials])),
            sampler=SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=0),
            objective=GenericMCMultiOutputObjective(objective),
            prune_baseline=True,
            cache_root=False,
        )


def sampled(task: Task, seed: int) -> Asking:
    """Monte-Carlo qLogNEHVI on the same pool."""
    from sparsemod.samplers import bayes

    with mock.patch.object(bayes, "Acquisition", _Sampled):
        yield from ours(task, seed)


ABLATIONS: Mapping[str, Method] = {
    "without known costs": costs_not_known,
    "without the screen": not_screened,
    "without masking": not_masked,
    "arc kernel": arc_kernel,
    "without mutations": partial(ours, make=_WithoutMutations),
    "qLogNEHVI": sampled,
}
"""Every ablation by the name that tables give it."""
