"""Exact costs of a candidate before anything is trained, and whether they are within the limits.

Thousands of candidates are screened for each that is trained, so networks are traced once: the screen notes which
parameters a builder reads, and two candidates that agree on those are one network.
"""

import copy
import logging
import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sparsemod.config import Config
from sparsemod.cost import cost
from sparsemod.data import Data
from sparsemod.device import DEVICES, Device
from sparsemod.errors import BuilderError, Infeasible, InputError, SparsemodError
from sparsemod.graph import Graph, trace
from sparsemod.graph.channels import channels, no_longer_works, remove
from sparsemod.graph.pattern import Pattern, pattern
from sparsemod.graph.streaming import streamed
from sparsemod.locate import locate
from sparsemod.objectives import is_number, quantity
from sparsemod.problem import TRAINING_DEFAULTS, Problem
from sparsemod.space import Parameters, Value

T = TypeVar("T")

_GRAPHS, _COSTS = 100, 2_000
"""How many are kept: enough for what a search asks for again and again, its trials and its pools."""

_SLOW, _TIMED = 0.05, 5
"""Seconds for the costs of one candidate that are worth a warning, in the median of the first few."""

_log = logging.getLogger(__name__)


class Screen:
    """Costs by candidate, cached.

    Args:
        problem: Its `costs` if it has one; else its network is built and traced.
        config: Device, limits and quantization scheme.
        data: Says what the network of a candidate gets, and how many scores it gives; needed where it is traced.
    """

    def __init__(self, problem: Problem, config: Config, data: Data | None = None) -> None:
        self.problem = problem
        self.limits = {**_limits_of_device(problem, config), **problem.limits}
        self._device = config.target()
        _require_power(problem, config, self._device)
        self._scheme = config.train.quant_scheme
        self._pruning, self._splitter = config.train.pruning, config.train.splitter
        self._streaming = config.train.streaming
        self._data = data
        self._cost = cost if not config.device.cost else locate(config.device.cost, config.folder)
        self._read: dict[str, None] = {}
        self._names: set[str] = set()
        self._times: list[float] = []
        self._graphs: _Recent[Graph | str] = _Recent(_GRAPHS)
        self._costs: _Recent[Mapping[str, float]] = _Recent(_COSTS)

    def costs(self, parameters: Parameters) -> Mapping[str, float]:
        """Costs by name: exact, but for the size of a pruned network, which is then an upper bound.

        Raises:
            Infeasible: The parameters make no network.
            BuilderError: The problem's own code raised something else.
        """
        if self.problem.costs is None and self.problem.build is None:
            return {}
        key = tuple(parameters.items())
        if key not in self._costs:
            started = time.perf_counter()
            self._costs[key] = self._computed(parameters)
            self._warn_if_slow(time.perf_counter() - started)
        return self._costs[key]

    def misfit(self, parameters: Parameters) -> str | None:
        """Why a candidate cannot be: the limit it breaks and by how much, or what its builder says; None if it can.

        Raises:
            BuilderError: The problem's own code raised something else than Infeasible.
        """
        try:
            costs = self.costs(parameters)
        except Infeasible as reason:
            return str(reason)
        return over_limits(costs, self.limits)

    def excess(self, parameters: Parameters) -> float:
        """By which shares of the limits a candidate is over them, in sum; infinite if it makes no network."""
        try:
            costs = self.costs(parameters)
        except (Infeasible, BuilderError):
            return math.inf
        over = (max(costs[name] - limit, 0) / (abs(limit) or 1) for name, limit in self.limits.items() if name in costs)
        return sum(over)

    def fits(self, parameters: Parameters) -> bool:
        """Whether the problem's own code makes a network of a candidate, and it is within the limits."""
        try:
            return self.misfit(parameters) is None
        except BuilderError:
            return False

    def may_be_tried(self, parameters: Parameters) -> bool:
        """Whether a candidate fits, or its builder raises: then it fails in its trial, where that is recorded."""
        return not self.can_build(parameters) or self.misfit(parameters) is None

    def can_build(self, parameters: Parameters) -> bool:
        """Whether the problem's own code works for a candidate, be it within the limits or not."""
        try:
            self.costs(parameters)
        except Infeasible:
            return True
        except BuilderError:
            return False
        return True

    def _warn_if_slow(self, seconds: float) -> None:
        """Says once that the problem's own costs take long: hundreds of candidates are screened for each proposal."""
        if self.problem.costs is None:
            return
        self._times.append(seconds)
        if len(self._times) == _TIMED and statistics.median(self._times) > _SLOW:
            _log.warning(
                "`costs` of the problem takes %.2g s for one candidate; a search calls it some 300 times per proposal",
                statistics.median(self._times),
            )

    def _computed(self, parameters: Parameters) -> Mapping[str, float]:
        if self.problem.costs is not None:
            with _own_code("costs"):
                costs = dict(self.problem.costs(parameters))
        else:
            graph = self._graph(parameters)
            sparsity = zeros(graph, parameters) if self._pruning else 0.0
            costs = dict(self._cost(replace(graph, sparsity=sparsity), self._device))
        wrong = {name: value for name, value in costs.items() if not (is_number(value) and math.isfinite(float(value)))}
        if wrong:
            raise InputError(f"the costs of {dict(parameters)} are not finite: {wrong}")
        self._names = self._names or set(costs)
        if set(costs) != self._names:
            raise InputError(
                f"the costs of {dict(parameters)} are {_listed(costs)}, those of others {_listed(self._names)}; every "
                "candidate must have the same ones"
            )
        return costs

    def _graph(self, parameters: Parameters) -> Graph:
        key = tuple(parameters.get(name) for name in self._read)
        if key in self._graphs:
            found = self._graphs[key]
        else:
            reads = _Reads(parameters)
            try:
                found = self._traced(reads)
            except Infeasible as reason:
                found = str(reason)
            self._read.update(reads.names)
            self._graphs[tuple(parameters.get(name) for name in self._read)] = found
        if isinstance(found, str):
            raise Infeasible(found)
        return found

    def _traced(self, parameters: Parameters) -> Graph:
        assert self._data is not None
        with _own_code("frontend"):
            frontend = self.problem.frontend_of(parameters)
        with _own_code("collate"):
            given = self._data.shape_seen_by(parameters, self.problem.collate, self._splitter, frontend)
        network = self._built(parameters, given)
        share = channel_share(parameters) if self._pruning else 0.0
        graph = self._narrowed(network, parameters, given, share) if share else trace(network, given, self._scheme)
        shape, classes = graph.activations[graph.output].shape, self._data.num_classes
        if shape != (classes,) and not (self.problem.error is not None and math.prod(shape) == classes):
            raise InputError(
                f"build returned a network with output {shape}; it must be ({classes},): one score for each "
                "class (does the builder use num_classes?)"
            )
        graph = replace(graph, frontend=frontend)
        return streamed(graph) if self._streaming else graph

    def _built(self, parameters: Parameters, shape: tuple[int, ...]) -> nn.Module:
        assert self.problem.build is not None and self._data is not None
        with torch.device("meta"), _Unfilled(), _own_code("build"):
            return self.problem.build(parameters, shape, self._data.num_classes)

    def _narrowed(self, network: nn.Module, parameters: Parameters, shape: tuple[int, ...], share: float) -> Graph:
        """The graph without the channels that training will remove: how many they are follows from the widths."""
        found = channels(network, shape)
        remove(network, found, found.removed(share))
        try:
            return trace(network, shape, self._scheme)
        except Exception as error:  # whatever the forward raises
            trace(self._built(parameters, shape), shape, self._scheme)  # what is wrong without removal comes first
            raise no_longer_works(share, error) from error


def _limits_of_device(problem: Problem, config: Config) -> Mapping[str, float]:
    """Limits of the configuration; a device that nobody named limits only networks, not what others evaluate."""
    limits, named = config.limits(), ("DEVICE", "device") in config.origins
    if named or problem.build is not None or problem.objective is None:
        return limits
    return {name: limit for name, limit in limits.items() if getattr(config.device, name) is not None}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _require_power(problem: Problem, config: Config, device: Device) -> None:
    """Refuses to limit or minimise the energy on a device whose power is not known."""
    asked = [*config.train.objectives, *config.limits()]
    if "energy" not in asked or device.active_power_mw is not None:
        return
    if problem.costs is None and problem.objective is None and not config.device.cost:
        known = ", ".join(name for name, preset in DEVICES.items() if preset.active_power_mw is not None)
        raise InputError(
            f"energy: the power of {device.name!r} is not known. Presets with a figure: {known}; or give a device of "
            "your own with active_power_mw"
        )


@contextmanager
def _own_code(name: str) -> Iterator[None]:
    """Lets Infeasible pass and names whatever else the user's function raises."""
    try:
        yield
    except (SparsemodError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BuilderError(f"{name} raised {type(error).__name__}: {error}") from error


_FILLING = {
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    *(getattr(Tensor, name) for name in ("uniform_", "normal_", "zero_", "fill_")),
}


class _Unfilled(TorchFunctionMode):
    """Tensors without values need no first values: a sixth of the time that building and tracing takes."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLING:
            filled = args[0] if args else kwargs["tensor"]
            if filled.is_meta:
                return filled
        return func(*args, **kwargs)


class _Recent(OrderedDict[tuple[Any, ...], T]):
    """A cache of the entries that were used last."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __getitem__(self, key: tuple[Any, ...]) -> T:
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: tuple[Any, ...], value: T) -> None:
        super().__setitem__(key, value)
        if len(self) > self._size:
            self.popitem(last=False)


class _Reads(Mapping[str, Value]):
    """Parameters that note which of them were read."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self.names: dict[str, None] = {}

    def __getitem__(self, name: str) -> Value:
        self.names[name] = None
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        self.names.update(dict.fromkeys(self._parameters))
        return iter(self._parameters)

    def __len__(self) -> int:
        self.names.update(dict.fromkeys(self._parameters))
        return len(self._parameters)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Value]:
        return copy.deepcopy(dict(self), memo)  # a copy would note its reads elsewhere


def target_sparsity(parameters: Parameters) -> float:
    """Share of the weights to prune wherever they are; none where there is a pattern."""
    return 0.0 if target_pattern(parameters) else float(_training(parameters, "prune_threshold"))


def target_pattern(parameters: Parameters) -> Pattern | None:
    """The pattern of the weights that are not zero; None if there is none."""
    return pattern(_training(parameters, "prune_pattern"))


def channel_share(parameters: Parameters) -> float:
    """Share of the channels of each group to remove.

    Raises:
        InputError: It is none.
    """
    share = float(_training(parameters, "prune_channels"))
    if not 0 <= share < 1:
        raise InputError(f"prune_channels is {share:g}; it must be at least 0 and below 1")
    return share


def zeros(graph: Graph, parameters: Parameters) -> float:
    """Share of the weights that will be zero."""
    chosen = target_pattern(parameters)
    return target_sparsity(parameters) if chosen is None else chosen.share(graph)


def _training(parameters: Parameters, name: str) -> Value:
    return parameters.get(name, TRAINING_DEFAULTS[name])


def over_limits(score: Mapping[str, float], limits: Mapping[str, float]) -> str | None:
    """Every limit that a score breaks, and by how much; None if it breaks none."""
    broken = [
        f"{name}: {quantity(name, score[name])} is over the limit of {quantity(name, limit)}"
        for name, limit in limits.items()
        if name in score and score[name] > limit
    ]
    return "; ".join(broken) or None
