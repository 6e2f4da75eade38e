"""One candidate, straight down the page: build, screen, inherit, train and prune, quantize, score.

`evaluate` is one pure function: it opens no file and changes nothing but the caches of its process. Every random number
follows from the seed of the study and the number of the candidate.
"""

import functools
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.qat import settling
from sparsemod.compress.quantize import lower
from sparsemod.compress.remove import epochs_before_removal, remove_channels
from sparsemod.config import Config
from sparsemod.cost import cost
from sparsemod.cost.screen import Screen, channel_share, over_limits, target_pattern, target_sparsity
from sparsemod.data import Collate, Data, Split, Tokens
from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import Graph, run
from sparsemod.graph.trace import reads_tokens
from sparsemod.inherit import inherit
from sparsemod.locate import locate
from sparsemod.objectives import is_number
from sparsemod.problem import TRAINING_DEFAULTS, Problem, load
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Score, Trial
from sparsemod.train import AfterStep, Diverged, error, train

Weights = Mapping[str, Tensor]

_CALIBRATION_BATCH, _CALIBRATION_BATCHES = 64, 8


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an evaluation sends back.

    Attributes:
        trial: Its record.
        weights: Of the trained network, for its children; None unless complete.
        graph: The network that was scored; None unless complete.
    """

    trial: Trial
    weights: Weights | None = None
    graph: Graph | None = None


def evaluate(
    candidate: Candidate,
    config: Config,
    weights: Weights | None = None,
    parent: Parameters | None = None,
    bars: Mapping[int, float] = MappingProxyType({}),
) -> Outcome:
    """Scores a candidate; whatever goes wrong becomes a trial with its reason.

    Args:
        candidate: What to evaluate.
        config: Of the study.
        weights: Of the parent, for a child of a morphism.
        parent: Parameters of the parent. Its structure says which weights belong together; without them weights are
            inherited by their position alone.
        bars: Errors above which the candidate is given up, by the epochs after which it is measured.
    """
    torch.set_num_threads(1)  # workers share the cores; two threads each were seen to be 100 times slower
    started = time.perf_counter()

    curve: dict[int, float] = {}

    def ended(status: str, score: Score | None = None, reason: str = "") -> Trial:
        return Trial(candidate, status, score or {}, reason, time.perf_counter() - started, curve=curve)

    try:
        problem = problem_of(config)
        if problem.objective is not None:
            return Outcome(ended("complete", _checked(_own_score(problem, candidate), problem, config)))
        score, trained, graph = _score(problem, candidate, config, weights, bars, curve)
        return Outcome(ended("complete", score), trained, graph)
    except Infeasible as reason:
        return Outcome(ended("infeasible", reason=str(reason)))
    except _GivenUp as reason:
        return Outcome(ended("stopped", reason=str(reason)))
    except (Diverged, InputError) as reason:
        return Outcome(ended("failed", reason=str(reason)))
    except (MemoryError, torch.OutOfMemoryError) as reason:
        return Outcome(ended("failed", reason=f"out of memory: {reason}"))
    except Exception:
        return Outcome(ended("failed", reason=traceback.format_exc()))


def _own_score(problem: Problem, candidate: Candidate) -> Score:
    """What the objective returns, and what the costs give beside that."""
    assert problem.objective is not None
    known = {} if problem.costs is None else problem.costs(candidate.parameters)
    score = problem.objective(candidate)
    if not isinstance(score, Mapping):
        raise InputError(
            f"the objective returned a {type(score).__name__}; it must return figures by name, such as {{'error': 0.1}}"
        )
    return {**score, **known, **score}  # measured figures first and foremost


def _score(
    problem: Problem,
    candidate: Candidate,
    config: Config,
    weights: Weights | None,
    bars: Mapping[int, float],
    curve: dict[int, float],
) -> tuple[Score, Weights, Graph]:
    assert problem.build is not None
    data = data_of(problem)
    parameters = {**TRAINING_DEFAULTS, **_training(config), **candidate.parameters}
    screen = Screen(problem, config, data.input_shape, data.num_classes)
    misfit = screen.misfit(candidate.parameters)
    if misfit:
        raise Infeasible(misfit)

    learn = _learn(problem, parameters)
    seed = random_seed(config.train.seed, candidate.number)
    torch.manual_seed(seed)
    network = problem.build(candidate.parameters, data.input_shape, data.num_classes)
    if reads_tokens(network):
        data = replace(data, train=Tokens(data.train), validation=Tokens(data.validation))
    if weights is not None:
        inherit(network, weights)
    collate = _collate(problem, candidate)
    rng = torch.Generator().manual_seed(seed)
    rungs = _Rungs(network, data.validation, collate, candidate.epochs, bars, curve)
    _train(network, learn, data, parameters, rungs, config.train.pruning, rng, collate)

    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in torch's stubs
    qat_epochs = int(parameters.get("qat_epochs", config.train.qat_epochs))
    tune = _tuning(learn, data, parameters, qat_epochs, rng, collate)
    graph = lower(network, _calibration(data, collate), config.train.quant_scheme, tune)
    own = {} if problem.costs is None else problem.costs(candidate.parameters)
    costs = {**measure(graph, config), **own}
    wrong = error(functools.partial(run, graph), data.validation, collate)
    score = _checked({"error": wrong, **costs}, problem, config)
    misfit = over_limits(costs, screen.limits)
    if misfit:
        raise Infeasible(f"after training: {misfit}")
    return score, {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}, graph


class _GivenUp(Exception):
    """Another candidate is cheaper and better."""


@dataclass(frozen=True)
class _Rungs:
    """Measures a network at some epochs of its training, and gives it up above a bar.

    Attributes:
        network: As it is now; its training goes on as if nothing had been.
        split: To validate on.
        collate: Joins samples to a batch.
        epochs: Of the whole training.
        bars: Errors above which to give up, by epochs.
        curve: Errors by epochs; grows.
    """

    network: nn.Module
    split: Split
    collate: Collate | None
    epochs: int
    bars: Mapping[int, float]
    curve: dict[int, float]

    def after(self, ramp: PruningRamp, before: int = 0) -> AfterStep:
        """Hook of the training that goes on after the first `before` epochs."""

        def after_step(step: int, steps: int) -> None:
            ramp(step, steps)
            for epoch, bar in self.bars.items():
                if epoch > before and step == round(steps * (epoch - before) / (self.epochs - before)):
                    self.curve[epoch] = self._error()
                    if self.curve[epoch] > bar:
                        raise _GivenUp(
                            f"given up after {epoch} of {self.epochs} epochs: its error was {self.curve[epoch]:.4g}, "
                            f"and {bar:.4g} would not do, as a network that costs no more in any objective was far "
                            "better by then"
                        )

        return after_step

    def _error(self) -> float:
        """Of the float network."""
        modes = [(part, part.training) for part in self.network.modules()]
        self.network.eval()
        found = error(self.network, self.split, self.collate)
        for part, mode in modes:
            part.training = mode
        return found


def _train(
    network: nn.Module,
    learn: Callable[..., None],
    data: Data,
    parameters: Parameters,
    rungs: _Rungs,
    pruning: bool,
    rng: torch.Generator,
    collate: Collate | None,
) -> None:
    """All epochs; some of them before channels are removed, the others while weights become zero.

    The first part has no rungs: those of the second are held against networks without their channels.
    """
    share = channel_share(parameters) if pruning else 0.0
    before = epochs_before_removal(rungs.epochs) if share else 0
    if before:
        learn(network, data.train, parameters, before, rng, PruningRamp(network, 0.0), collate)
    if share:
        remove_channels(network, data.input_shape, share)
    zeros = (target_sparsity(parameters), target_pattern(parameters)) if pruning else (0.0, None)
    after_step = rungs.after(PruningRamp(network, *zeros), before)
    learn(network, data.train, parameters, rungs.epochs - before, rng, after_step, collate)


def measure(graph: Graph, config: Config) -> Mapping[str, float]:
    """Costs of a finished network under the configured cost model."""
    model = cost if not config.device.cost else locate(config.device.cost, config.folder)
    return dict(model(graph, config.target()))


def _training(config: Config) -> Parameters:
    """Training parameters that are keys of the configuration; a search space may hold them instead."""
    keys = config.train
    return {
        "learning_schedule": keys.schedule,
        "label_smoothing": keys.label_smoothing,
        "distillation": keys.distillation,
    }


def _learn(problem: Problem, parameters: Parameters) -> Callable[..., None]:
    """What trains a network: the problem's own, or ours with the teacher."""
    if problem.train is not None or problem.teacher is None or float(parameters["distillation"]) == 0:
        return problem.train or train
    return functools.partial(train, teacher=teacher_of(problem))


def _calibration(data: Data, collate: Collate | None) -> list[Tensor]:
    """Batches of one size, the first training samples, that set the activation ranges."""
    batches: list[Tensor] = []
    for x, _ in data.train.batches(min(_CALIBRATION_BATCH, len(data.train)), None, collate):
        if batches and len(x) < len(batches[0]):
            break
        batches.append(x)
        if len(batches) == _CALIBRATION_BATCHES:
            break
    return batches


def _tuning(
    learn: Callable[..., None],
    data: Data,
    parameters: Parameters,
    epochs: int,
    rng: torch.Generator,
    collate: Collate | None,
) -> Callable[[nn.Module], None] | None:
    """Quantization-aware training at a tenth of the learning rate; None if there are no epochs for it."""
    if epochs == 0:
        return None
    slower = {**parameters, "learning_rate": float(parameters["learning_rate"]) / 10}
    return lambda network: learn(network, data.train, slower, epochs, rng, settling(network), collate)


def _collate(problem: Problem, candidate: Candidate) -> Collate | None:
    join = problem.collate
    return None if join is None else lambda samples: join(samples, candidate.parameters)


def _checked(score: Score, problem: Problem, config: Config) -> Score:
    """A score that has every objective and every figure with a limit of its own, and finite figures only."""
    limited = [*problem.limits, *(["error"] if config.train.max_error < 1 else [])]
    needed = dict.fromkeys(limited, "has a limit") | dict.fromkeys(config.train.objectives, "is an objective")
    for name, why in needed.items():
        if name not in score:
            raise InputError(f"the score has no {name!r}, which {why}; it has {', '.join(score) or 'nothing'}")
    strange = [f"{name} is a {type(value).__name__}" for name, value in score.items() if not is_number(value)]
    if strange:
        raise InputError(f"a score must hold numbers alone, but {', '.join(strange)}")
    wrong = {name: value for name, value in score.items() if not math.isfinite(float(value))}
    if wrong:
        raise InputError(f"the score is not finite: {wrong}")
    negative = [f"{name} is {score[name]:g}" for name in config.train.objectives if score[name] < 0]
    if negative:
        raise InputError(
            f"objectives are minimised towards 0 and must not be negative, but {', '.join(negative)}; return what is "
            "lost, such as 1 - accuracy"
        )
    return {name: float(value) for name, value in score.items()}


def random_seed(seed: int, number: int) -> int:
    """Seed of one candidate's random numbers."""
    return (seed * 1_000_003 + number * 7_919 + 12_345) % 2**31


def problem_of(config: Config) -> Problem:
    """The problem a configuration names."""
    problem = config.problem.problem
    if not problem:
        raise InputError("[PROBLEM] problem is not set; it names what to search, such as problem.py:problem")
    return load(problem, config.folder) if isinstance(problem, str) else problem


@functools.lru_cache(maxsize=2)
def data_of(problem: Problem) -> Data:
    """The data of a problem, loaded once per process."""
    assert problem.load_data is not None
    return problem.load_data()


@functools.lru_cache(maxsize=2)
def teacher_of(problem: Problem) -> nn.Module:
    """The teacher of a problem, loaded or trained once per process; seeded, so that all processes train the same.

    Raises:
        InputError: It is no network.
    """
    assert problem.teacher is not None
    torch.manual_seed(0)
    teacher = problem.teacher(data_of(problem))
    if not isinstance(teacher, nn.Module):
        raise InputError(f"teacher returns a {type(teacher).__name__}; it must return a trained torch.nn.Module")
    return teacher.eval()
