"""Problems on which samplers are compared: each a `Task`, with known costs, limits, and the truth they are judged by.

`nas` is synthetic: sizes, memory and time are those of a small convolutional network, counted as for a real one; its
error is a formula of capacity, depth, learning rate and pruning, read with noise. `vehicle` [Tanabe2020] and `c2dtlz2`
[Jain2014] are BoTorch's; of each one objective is declared known. `digits` is real: 300 convolutional networks, each
trained once.

[Tanabe2020] An easy-to-use real-world multi-objective optimization problem suite, Applied Soft Computing 89, 2020.
[Jain2014] An evolutionary many-objective optimization algorithm using reference-point based nondominated sorting
    approach, part II, IEEE TEVC 18(4), 2014.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from sparsemod import Candidate, Choice, Float, Int, Problem, SearchSpace, Study, Trial, datasets
from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible
from sparsemod.evaluate import evaluate
from sparsemod.pareto import hypervolume
from sparsemod.space import Parameters, identity
from sparsemod.spaces import cnn

Values = Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """What every method is given, and what it is judged by.

    Attributes:
        space: To search.
        objectives: Minimised.
        limits: Hard upper limits by name.
        reference: Worst value that counts, per objective.
        costs: What is known beforehand, by name.
        truth: Every figure of a candidate, without noise.
        noise: Standard deviation of the logarithm of what is measured and not known.
        best: Hypervolume that is divided by; 1 where the largest is not known.
    """

    space: SearchSpace
    objectives: tuple[str, ...]
    limits: Values
    reference: Values
    costs: Callable[[Parameters], Values]
    truth: Callable[[Parameters], Values]
    noise: float = 0.0
    best: float = 1.0

    def measured(self, parameters: Parameters, seed: int, number: int) -> Values:
        """One noisy evaluation; every method reads the same noise at the same trial."""
        factor = math.exp(self.noise * np.random.default_rng([seed, number]).normal())
        known = self.costs(parameters)
        return {name: value if name in known else value * factor for name, value in self.truth(parameters).items()}

    def study(self, seed: int = 0) -> Study:
        """An empty study of it."""
        return Study(self.objectives, self.limits, self.reference, seed)

    def screen(self) -> Screen:
        """Its screen, as a search has it."""
        problem = Problem(self.space, costs=self.costs, objective=lambda candidate: self.truth(candidate.parameters))
        screen = Screen(problem, from_keywords(device="arduino-uno"))
        screen.limits = dict(self.limits)
        return screen


# --- synthetic -------------------------------------------------------------------------------------------------------

_SIDE = 28
_CYCLES_PER_MAC, _CLOCK_KHZ = 12, 16_000


def _nas_space() -> SearchSpace:
    deeper = {1: None, 2: {"blocks": (2, 3)}, 3: {"blocks": (3,)}}
    parameters: dict[str, Any] = {"blocks": Int(1, 3)}
    for block, when in deeper.items():
        parameters[f"width_{block}"] = Int(2, 64, log=True, when=when)
        parameters[f"kernel_{block}"] = Choice((1, 3, 5), when=when)
        parameters[f"type_{block}"] = Choice(("conv", "separable"), when=when)
    return SearchSpace(
        parameters
        | {"hidden": Int(8, 128, log=True), "sparsity": Float(0.0, 0.95), "learning_rate": Float(1e-4, 1e-1, log=True)}
    )


def _nas_layers(parameters: Parameters) -> list[tuple[int, int, int]]:
    """Weights, multiply-accumulates and elements of the output of each layer; blocks halve the side."""
    layers, channels, side = [], 1, _SIDE
    for block in range(1, int(parameters["blocks"]) + 1):
        width, kernel = int(parameters[f"width_{block}"]), int(parameters[f"kernel_{block}"])
        side //= 2
        if parameters[f"type_{block}"] == "separable":
            layers.append((channels * kernel**2, channels * kernel**2 * side**2, channels * side**2))
            layers.append((channels * width, channels * width * side**2, width * side**2))
        else:
            weights = channels * width * kernel**2
            layers.append((weights, weights * side**2, width * side**2))
        channels = width
    for inputs, outputs in ((channels * side**2, int(parameters["hidden"])), (int(parameters["hidden"]), 10)):
        layers.append((inputs * outputs, inputs * outputs, outputs))
    return layers


def _nas_costs(parameters: Parameters) -> dict[str, float]:
    """A byte for each weight left and a bit for each place, both activations of a layer, cycles of all products."""
    layers, kept = _nas_layers(parameters), 1 - float(parameters["sparsity"])
    weights = sum(weights for weights, _, _ in layers)
    sizes = [_SIDE**2, *(elements for _, _, elements in layers)]
    return {
        "model_size": min(weights, weights * kept + weights / 8) + 8 * len(layers),
        "working_memory": max(before + after for before, after in itertools.pairwise(sizes)),
        "latency": sum(macs for _, macs, _ in layers) * _CYCLES_PER_MAC / _CLOCK_KHZ,
    }


def _nas_error(parameters: Parameters) -> float:
    """Falls with weights and products as power laws do, from 90 % to about 2 %; best at one learning rate and depth."""
    layers, sparsity = _nas_layers(parameters), float(parameters["sparsity"])
    weights, macs = (sum(layer[place] for layer in layers) for place in (0, 1))
    blocks, hidden = int(parameters["blocks"]), int(parameters["hidden"])
    seen = 1 + sum((int(parameters[f"kernel_{block}"]) - 1) * 2 ** (block - 1) for block in range(1, blocks + 1))
    rate, best_rate = math.log10(float(parameters["learning_rate"])), -2.2 - 0.25 * math.log10(weights / 1_000)
    capacity = (weights * (1 - sparsity) ** 0.5 / 2_000) ** -0.5 * (macs / 100_000) ** -0.3 * 0.7 ** (blocks - 1)
    blind, cramped = 1 + math.exp(-seen / 4), 1 + 3 * math.exp(-hidden / 12)
    torn, untrained = 1 + 2 * max(sparsity - 0.75, 0) / 0.2, 1 + 2 * (rate - best_rate) ** 2
    return 0.9 * (1 - math.exp(-(0.02 + 0.1 * capacity * blind * cramped * torn * untrained)))


def _nas() -> Task:
    limits = {"model_size": 8_000.0, "working_memory": 3_000.0, "latency": 30.0}
    return Task(
        _nas_space(),
        ("error", *limits),
        limits,
        {"error": 0.2, **limits},
        _nas_costs,
        lambda parameters: {"error": _nas_error(parameters), **_nas_costs(parameters)},
        noise=0.05,
    )


# --- synthetic errors, real costs ------------------------------------------------------------------------------------


def _cnn() -> Task:
    """The package's own space of convolutional networks on 8 x 8 images, each built, traced and costed for an AVR."""
    space = cnn.space(blocks=2, layers=2)
    config = from_keywords(device="arduino-uno")
    screen = Screen(Problem(space, cnn.build, datasets.digits), config, datasets.digits())
    limits = {"model_size": 3_000.0, "working_memory": 600.0, "latency": 100.0}

    def costs(parameters: Parameters) -> Values:
        found = screen.costs(parameters)
        return {name: found[name] for name in limits}

    def truth(parameters: Parameters) -> Values:
        try:
            found = screen.costs(parameters)
        except Infeasible:  # makes no network: far beyond every limit
            return {"error": 1.0, **{name: 10 * limit for name, limit in limits.items()}}
        return {"error": _cnn_error(parameters, found), **costs(parameters)}

    return Task(space, ("error", *limits), limits, {"error": 0.3, **limits}, costs, truth, noise=0.05)


def _cnn_error(parameters: Parameters, costs: Values) -> float:
    """As of `nas`; dropout of 10 % and batches of 32 are best."""
    sparsity = float(parameters["prune_threshold"])
    rate, best_rate = math.log10(float(parameters["learning_rate"])), -2.2 - 0.25 * math.log10(costs["params"] / 1_000)
    capacity = (costs["params"] * (1 - sparsity) ** 0.5 / 1_000) ** -0.5 * (costs["macs"] / 3_000) ** -0.3
    torn, untrained = 1 + 2 * max(sparsity - 0.75, 0) / 0.2, 1 + 2 * (rate - best_rate) ** 2
    drops = [float(value) for name, value in parameters.items() if "drop" in name]
    damped = 1 + 2 * sum((drop - 0.1) ** 2 for drop in drops)
    batches = 1 + 0.1 * math.log2(float(parameters["batch_size"]) / 32) ** 2
    return 0.9 * (1 - math.exp(-(0.02 + 0.06 * capacity * torn * untrained * damped * batches)))


# --- of BoTorch ------------------------------------------------------------------------------------------------------


def _vehicle() -> Task:
    """Mass, acceleration and intrusion of a car by the thickness of five plates; the mass is declared known."""
    from botorch.test_functions.multi_objective import VehicleSafety

    names, reference = ("mass", "acceleration", "intrusion"), (1864.72022, 11.81993945, 0.2903999384)
    plates, function = {f"plate_{number}": Float(1.0, 3.0) for number in range(1, 6)}, VehicleSafety()

    def truth(parameters: Parameters) -> Values:
        return dict(zip(names, function(_row(parameters))[0].tolist(), strict=True))

    return Task(
        SearchSpace(plates),
        names,
        {},
        dict(zip(names, reference, strict=True)),
        lambda parameters: {"mass": truth(parameters)["mass"]},
        truth,
        best=_share_of_front(truth, SearchSpace(plates), names, reference),
    )


def _c2dtlz2() -> Task:
    """Two objectives on twelve variables, the first declared known, of which a constraint cuts most away."""
    from botorch.test_functions.multi_objective import C2DTLZ2

    names, variables, function = ("first", "second"), 12, C2DTLZ2(dim=12, num_objectives=2)

    def objectives(parameters: Parameters) -> Values:
        return dict(zip(names, function.evaluate_true(_row(parameters))[0].tolist(), strict=True))

    def truth(parameters: Parameters) -> Values:
        return {**objectives(parameters), "excess": -function.evaluate_slack(_row(parameters))[0, 0].item()}

    return Task(
        SearchSpace({f"x_{number}": Float(0.0, 1.0) for number in range(1, variables + 1)}),
        names,
        {"excess": 0.0},
        dict.fromkeys(names, 1.1),
        lambda parameters: {"first": objectives(parameters)["first"]},
        truth,
        best=function.max_hv / 1.1**2,
    )


def _row(parameters: Parameters) -> torch.Tensor:
    return torch.tensor([[float(value) for value in parameters.values()]], dtype=torch.float64)


def _share_of_front(
    truth: Callable[[Parameters], Values], space: SearchSpace, names: tuple[str, ...], reference: tuple[float, ...]
) -> float:
    """Hypervolume of the best of many random candidates: what is divided by where no largest one is published."""
    rng = np.random.default_rng(0)
    rows = [list(truth(space.sample(rng)).values())[: len(names)] for _ in range(20_000)]
    return hypervolume(rows, reference)


# --- real ------------------------------------------------------------------------------------------------------------

_GRID = Path("results/benchmarks/digits.json")
_DIGITS = SearchSpace(
    {
        "width_1": Int(1, 5),
        "width_2": Int(0, 4),
        "hidden": Int(0, 2),
        "kernel": Choice((1, 3)),
        "stride": Choice((1, 2)),
    }
)


def _digits() -> Task:
    """Five choices make 300 networks, each trained for one epoch on scikit-learn's digits and scored as integers."""
    table = json.loads(_GRID.read_text()) if _GRID.exists() else _trained_grid()
    costs = ("model_size", "working_memory", "latency")
    limits = {"model_size": 4_000.0, "working_memory": 500.0, "latency": 0.03}
    task = Task(
        _DIGITS,
        ("error", *costs),
        limits,
        {"error": 0.8, **limits},
        lambda parameters: {name: table[identity(parameters)][name] for name in costs},
        lambda parameters: table[identity(parameters)],
    )
    whole = task.study()
    for number, parameters in enumerate(_members()):
        whole.add(Trial(Candidate(number, parameters, 1, "grid"), "complete", task.truth(parameters)))
    return replace(task, best=whole.hypervolume())


def _members() -> list[Parameters]:
    values = {
        name: parameter.options if isinstance(parameter, Choice) else range(int(parameter.low), int(parameter.high) + 1)
        for name, parameter in _DIGITS.items()
    }
    return [dict(zip(values, member, strict=True)) for member in itertools.product(*values.values())]


def _trained_grid() -> dict[str, Values]:
    """Every network of the grid, trained once; a minute or two."""
    problem = Problem(_DIGITS, _network, datasets.digits)
    config = from_keywords(problem=problem, device="stm32h743")
    table = {}
    for number, parameters in enumerate(tqdm(_members(), "networks on digits")):
        table[identity(parameters)] = evaluate(Candidate(number, parameters, 1, "grid"), config).trial.score
    _GRID.parent.mkdir(parents=True, exist_ok=True)
    _GRID.write_text(json.dumps(table))
    return table


def _network(parameters: Parameters, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """One or two convolutions, and one or two linear layers."""
    width, kernel = 2 ** int(parameters["width_1"]), int(parameters["kernel"])
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], width, kernel, int(parameters["stride"]), kernel // 2),
        nn.ReLU(),
    ]
    if parameters["width_2"]:
        after = 2 ** (1 + int(parameters["width_2"]))
        layers += [nn.Conv2d(width, after, kernel, 2, kernel // 2), nn.ReLU()]
        width = after
    side = input_shape[1] // int(parameters["stride"]) // (2 if parameters["width_2"] else 1)
    hidden = (0, 16, 64)[int(parameters["hidden"])]
    layers += [nn.Flatten(), nn.Linear(width * side**2, hidden or num_classes)]
    return nn.Sequential(*layers, *([nn.ReLU(), nn.Linear(hidden, num_classes)] if hidden else []))


TASKS: Mapping[str, Callable[[], Task]] = {
    "nas": cache(_nas),
    "cnn": cache(_cnn),
    "vehicle": cache(_vehicle),
    "c2dtlz2": cache(_c2dtlz2),
    "digits": cache(_digits),
}
"""Every task by its name."""
