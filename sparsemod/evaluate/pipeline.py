"""One candidate, straight down the page: screen, build, inherit, train and prune, quantize, score.

`evaluate` is one pure function: it opens no file and changes nothing but the caches of its process. Every random number
follows from the seed of the study and the number of the candidate.
"""

import functools
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from sparsemod.accelerator import PROCESSOR, accelerator_of
from sparsemod.compress.quantize import lower
from sparsemod.compress.remove import remove_channels
from sparsemod.config import Config
from sparsemod.cost import cost
from sparsemod.cost.screen import Screen, channel_share, over_limits
from sparsemod.data import Collate, Data, Tokens
from sparsemod.errors import Infeasible, InputError
from sparsemod.evaluate.given import collate_of, data_of, problem_of
from sparsemod.evaluate.learning import GivenUp, Learning, learner, training_parameters
from sparsemod.graph import Graph, run
from sparsemod.graph.streaming import streamed
from sparsemod.graph.trace import reads_tokens
from sparsemod.inherit import inherit
from sparsemod.locate import locate
from sparsemod.objectives import is_number
from sparsemod.problem import Problem
from sparsemod.space import Parameters
from sparsemod.study import Candidate, Score, Trial
from sparsemod.train import Diverged, error

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
        score, trained, graph = _score(problem, candidate, config, weights, parent, bars, curve)
        return Outcome(ended("complete", score), trained, graph)
    except Infeasible as reason:
        return Outcome(ended("infeasible", reason=str(reason)))
    except GivenUp as reason:
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
    parent: Parameters | None,
    bars: Mapping[int, float],
    curve: dict[int, float],
) -> tuple[Score, Weights, Graph]:
    assert problem.build is not None
    screen = Screen(problem, config, data_of(problem))
    misfit = screen.misfit(candidate.parameters)
    if misfit:
        raise Infeasible(misfit)

    parameters = training_parameters(candidate.parameters, config)
    learn, seed = learner(problem, parameters), random_seed(config.train.seed, candidate.number)
    trained_on = parent == candidate.parameters  # the very network, for more epochs: its channels are removed already
    before = None if parent is None else _network(problem, parent, config, narrowed=True)
    torch.manual_seed(seed)
    network = _network(problem, candidate.parameters, config, narrowed=trained_on)
    frontend = problem.frontend_of(candidate.parameters)
    data = data_of(problem).seen_by(
        candidate.parameters, problem.collate, config.train.splitter, frontend, config.train.streaming
    )
    if reads_tokens(network):
        data = replace(data, train=Tokens(data.train), validation=Tokens(data.validation))
    if weights is not None:
        shape_before = None if parent is None else _input_shape(problem, parent, config)
        inherit(network, weights, before, data.input_shape, shape_before)
    collate = collate_of(problem, candidate.parameters, data.input_shape)
    rng = torch.Generator().manual_seed(seed)
    learning = Learning(
        learn, data, parameters, candidate.epochs, config.train.pruning, rng, collate, bars, curve, problem.error,
        accelerator_of(config),
    )  # fmt: skip
    learning.train(network, narrowed=trained_on)
    float_error = learning.error(network)

    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in torch's stubs
    fixed = replace(data, train=data.train.of_one_shape())
    here = replace(learning, data=fixed, accelerator=PROCESSOR)  # where it is exported, some of its tensors are made
    tune = here.tuning(int(parameters.get("qat_epochs", config.train.qat_epochs)))
    step = None if frontend is None else frontend.scale
    graph = lower(network, _calibration(fixed, collate), config.train.quant_scheme, tune, step)
    graph = replace(graph, frontend=frontend)
    graph = streamed(graph) if config.train.streaming else graph
    own = {} if problem.costs is None else problem.costs(candidate.parameters)
    costs = {**measure(graph, config), **own}
    wrong = error(functools.partial(run, graph), data.validation, collate, problem.error)
    score = _checked({"error": wrong, **costs, "float_error": float_error}, problem, config)
    misfit = over_limits(costs, screen.limits)
    if misfit:
        raise Infeasible(f"after training: {misfit}")
    return score, {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}, graph


def _network(problem: Problem, parameters: Parameters, config: Config, narrowed: bool) -> nn.Module:
    """As it is built, or in the shape that its training leaves it in."""
    assert problem.build is not None
    shape = _input_shape(problem, parameters, config)
    network = problem.build(parameters, shape, data_of(problem).num_classes)
    share = channel_share(parameters) if narrowed and config.train.pruning else 0.0
    if share:
        remove_channels(network, shape, share)
    return network


def _input_shape(problem: Problem, parameters: Parameters, config: Config) -> tuple[int, ...]:
    frontend = problem.frontend_of(parameters)
    return data_of(problem).shape_seen_by(parameters, problem.collate, config.train.splitter, frontend)


def measure(graph: Graph, config: Config) -> Mapping[str, float]:
    """Costs of a finished network under the configured cost model."""
    model = cost if not config.device.cost else locate(config.device.cost, config.folder)
    return dict(model(graph, config.target()))


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


def _checked(score: Score, problem: Problem, config: Config) -> Score:
    """A score that has every objective and every figure with a limit of its own, and finite figures only."""
    limited = [*problem.limits, *(["error"] if config.train.max_error != 1 else [])]
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
