"""What each kind of pruning saves and costs: error, model size, working memory and latency at equal weights kept.

    python benchmarks/pruning.py [--seeds N] [--epochs N]

A few networks are trained whole, and with half and a quarter of their weights left: any weights (`element`), a pattern
(2:4, 1:4), whole channels (`prune_channels`) and, to compare with, a network as narrow from the start (`narrow`).
Channels and narrow networks come as near to the budget as whole channels allow; column `weights` says how near. Errors
are means over the seeds, on the validation samples, of the integer network that would ship. Handwritten digits of
8 x 8 pixels, and 4,000 samples of MNIST where DATA_PATH names its folder. Takes some four minutes on one core.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from sparsemod import Candidate, Data, Problem, Tensors, datasets
from sparsemod.config import Config, from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.evaluate import data_of, evaluate
from sparsemod.space import Value
from sparsemod.spaces import cnn

DEVICE = "stm32f446"
SAMPLES = 4_000
Parameters = dict[str, Value]
TRAINING: Parameters = {"learning_rate": 5e-3, "learning_gamma": 0.5, "batch_size": 64, "dropout": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="trainings per row (default 2)")
    parser.add_argument("--epochs", type=int, default=12, help="of digits; a third of it of MNIST (default 12)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("data, network            kind     weights  error    size B   memory B  latency ms")
    for name, problem, epochs in _problems(arguments.epochs):
        for network, parameters in _networks().items():
            if name == "mnist" and network != "residual":
                continue  # one of them takes as long as all of digits
            training = {**TRAINING, "learning_step": max(1, epochs // 3)}
            for kind, changed in _kinds(problem, parameters | training):
                _row(f"{name}, {network}", kind, problem, changed, epochs, arguments.seeds)


def _problems(epochs: int) -> Iterator[tuple[str, Problem, int]]:
    yield "digits", Problem(cnn.space(channels=0.9), cnn.build, datasets.digits), epochs
    try:
        data = datasets.mnist()
    except InputError as reason:
        print(f"MNIST is left out: {reason}")
        return
    assert isinstance(data.train, Tensors)
    train = Tensors(data.train.x[:SAMPLES], data.train.y[:SAMPLES], data.train.mean, data.train.std)
    small: Data = replace(data, train=train)
    yield "mnist", Problem(cnn.space(channels=0.9), cnn.build, lambda: small), max(1, epochs // 3)


def _networks(width: int = 12) -> Mapping[str, Parameters]:
    """Two blocks of two layers, pooled by two each; plain, with an addition around each block, and separable."""
    shared: Parameters = {"blocks": 2, "global_pool": True, "fc_layers": 0}
    for b in (1, 2):
        shared |= {f"b{b}_layers": 2, f"b{b}_stride": 1, f"b{b}_skip": False, f"b{b}_pool": True, f"b{b}_pool_rate": 2}
        for layer in (1, 2):
            name = f"b{b}_l{layer}"
            shared |= {f"{name}_type": "conv", f"{name}_filters": width * b, f"{name}_kernel": 3}
    types = {name: "separable" for name in shared if name.endswith("_type") and name != "b1_l1_type"}
    wider = {name: 2 * int(shared[name]) for name in shared if name.endswith("_filters")}
    residual = {"b1_skip": True, "b2_skip": True}
    return {"plain": shared, "residual": shared | residual, "separable": shared | types | wider}


def _kinds(problem: Problem, parameters: Parameters) -> Iterator[tuple[str, Parameters]]:
    yield "whole", parameters
    for budget, pattern in ((0.5, "2:4"), (0.25, "1:4")):
        yield "element", parameters | {"prune_threshold": 1 - budget}
        yield pattern, parameters | {"prune_pattern": pattern}
        share = _share(problem, parameters, budget)
        yield "channels", parameters | {"prune_channels": share}
        yield "narrow", parameters | _narrowed(parameters, share)


def _share(problem: Problem, parameters: Parameters, budget: float) -> float:
    """The share of channels whose removal leaves most nearly this share of the parameters."""
    data = data_of(problem)
    screen = Screen(problem, _config(problem), data)
    left = {
        share: screen.costs(parameters | {"prune_channels": share})["params"] / screen.costs(parameters)["params"]
        for share in (percent / 100 for percent in range(1, 90))
    }
    return min(left, key=lambda share: abs(left[share] - budget))


def _narrowed(parameters: Parameters, share: float) -> Parameters:
    widths = {name: int(parameters[name]) for name in parameters if name.endswith("_filters")}
    return {name: width - round(share * width) for name, width in widths.items()}


def _row(title: str, kind: str, problem: Problem, parameters: Parameters, epochs: int, seeds: int) -> None:
    trials = [evaluate(Candidate(seed, parameters, epochs, "bench"), _config(problem)).trial for seed in range(seeds)]
    for trial in trials:
        assert trial.status == "complete", trial.reason
    mean = {name: statistics.mean(trial.score[name] for trial in trials) for name in trials[0].score}
    print(
        f"{title:24} {kind:8} {mean['nnz']:7,.0f} {100 * mean['error']:5.1f} % {mean['model_size']:9,.0f} "
        f"{mean['working_memory']:10,.0f} {mean['latency']:11.2f}",
        flush=True,
    )


def _config(problem: Problem) -> Config:
    return from_keywords(problem=problem, device=DEVICE)


if __name__ == "__main__":
    main()
