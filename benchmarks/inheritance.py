"""What inheriting weights is worth: epochs that a child of a morphism needs against training from scratch.

    python benchmarks/inheritance.py [--pairs N] [--epochs N] [--data digits mnist]

Random parents of the package's own space are trained, and children of those that have learned something three times
with the same settings and seeds: from scratch; with their parent's weights; and with those weights by name and position
alone, which is what is left where the structure of a network cannot be followed. Counted are the epochs until the
validation error is as small as that of the first at its last epoch, 0 if it is so before any training; a dash is never.
Takes about five minutes on one core. Images of MNIST are read from the folder that DATA_PATH names, a part of them;
without it the digits of scikit-learn are all.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import nn

from sparsemod import datasets
from sparsemod.data import Data
from sparsemod.errors import Infeasible, InputError
from sparsemod.graph import trace
from sparsemod.inherit import inherit
from sparsemod.problem import Morphism
from sparsemod.space import Parameters
from sparsemod.spaces import cnn
from sparsemod.train import error, train

SPACE = cnn.space(blocks=2, layers=2, filters=(4, 24), fc_layers=2, fc_units=(16, 64), sparsity=0.0)
SETTINGS = {"learning_rate": 3e-3, "learning_gamma": 0.5, "learning_step": 4, "batch_size": 32}
MACS = {"digits": (10_000, 80_000), "mnist": (30_000, 120_000)}
"""Of one inference: networks that learn something, and fast."""
LEARNED = {"digits": 0.15, "mnist": 0.3}
"""Largest error of a parent: morphisms are those of the front."""
EPOCHS = {"digits": 10, "mnist": 5}
PAIRS = {"digits": 2, "mnist": 1}
"""Of each kind of morphism."""
IMAGES = 1_500
"""Of MNIST that are trained on, of 54,000, and validated on, of 6,000."""
SIZES = {
    "filters": "_filters",
    "kernel": "_kernel",
    "layers": "_layers",
    "blocks": "blocks",
    "fc_layers": "fc_layers",
    "fc_units": "_units",
}
"""Morphisms that go both ways, and how the names of what they change end."""
WAYS = ("inherited", "by position")


@dataclass(frozen=True)
class Pair:
    """One child.

    Attributes:
        kind: The morphism, and whether the child is larger or smaller where it is one of them.
        scratch: Validation errors after 0, 1, ... epochs from scratch.
        others: The same of each of the other ways.
    """

    kind: str
    scratch: Sequence[float]
    others: Mapping[str, Sequence[float]]

    def epochs(self, way: str) -> float:
        """Until the error is that of the last epoch from scratch; infinite if it never is."""
        return next(
            (float(epoch) for epoch, wrong in enumerate(self.others[way]) if wrong <= self.scratch[-1]), math.inf
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, help="of each kind of morphism (default: 2 of digits, 1 of mnist)")
    parser.add_argument("--epochs", type=int, help="of every training (default: 10 of digits, 5 of mnist)")
    parser.add_argument("--data", nargs="+", choices=tuple(MACS), default=list(MACS), help="data sets (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.data:
        started, epochs = time.process_time(), arguments.epochs or EPOCHS[name]
        try:
            data = data_of(name)
        except InputError as reason:
            print(f"{name} is left out: {reason}\n")
            continue
        found = [
            pair
            for kind in kinds()
            for pair in islice(pairs(kind, data, MACS[name], LEARNED[name], epochs), arguments.pairs or PAIRS[name])
        ]
        seconds = time.process_time() - started
        print(f"{name}: {len(found)} children, {epochs} epochs each, {seconds:.0f} processor seconds\n", flush=True)
        print_table(found)


def data_of(name: str) -> Data:
    if name == "digits":
        return datasets.digits()
    data = datasets.mnist()
    some = torch.arange(IMAGES)  # files are in random order
    return replace(data, train=data.train.select(some), validation=data.validation.select(some))


def kinds() -> list[str]:
    both = [f"{name}, {way}" for name in SIZES for way in ("more", "fewer")]
    return [*both, "layer_type", "pooling", "connection"]


def pairs(kind: str, data: Data, macs: tuple[int, int], most: float, epochs: int) -> Iterator[Pair]:
    """Children of one kind, of random parents."""
    rng = np.random.default_rng(0)
    name, _, way = kind.partition(", ")
    morphism: Morphism = getattr(cnn, name)
    for seed in range(1_000_000):
        parent = SPACE.sample(rng)
        child = morphism(parent, SPACE, rng)
        if child is not None and (not way or is_more(name, parent, child) == (way == "more")):
            costs = macs_of(parent, data), macs_of(child, data)
            if min(costs) >= macs[0] and max(costs) <= macs[1]:
                old = built(parent, data, seed)
                if learned(old, data, epochs, seed)[-1] <= most:
                    yield compared(kind, old, child, data, epochs, seed)


def is_more(name: str, parent: Parameters, child: Parameters) -> bool:
    changed = [key for key in parent if key.endswith(SIZES[name]) and key in child and parent[key] != child[key]]
    return bool(changed) and child[changed[0]] > parent[changed[0]]


def macs_of(parameters: Parameters, data: Data) -> int:
    """Of one inference; none for what is no network."""
    try:
        with torch.device("meta"):
            return trace(cnn.build(parameters, data.input_shape, data.num_classes), data.input_shape).macs
    except Infeasible:
        return 0


def built(parameters: Parameters, data: Data, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return cnn.build(parameters, data.input_shape, data.num_classes)


def compared(kind: str, parent: nn.Module, child: Parameters, data: Data, epochs: int, seed: int) -> Pair:
    scratch, inherited, by_position = (built(child, data, seed) for _ in range(3))
    inherit(inherited, parent.state_dict(), parent, data.input_shape)
    inherit(by_position, parent.state_dict())
    ways = zip(WAYS, (inherited, by_position), strict=True)
    others = {way: learned(network, data, epochs, seed) for way, network in ways}
    return Pair(kind, learned(scratch, data, epochs, seed), others)


def learned(network: nn.Module, data: Data, epochs: int, seed: int) -> list[float]:
    """Validation errors before training and after each epoch."""
    errors = [error(network.eval(), data.validation)]

    def note(step: int, steps: int) -> None:
        if step * epochs % steps == 0:
            errors.append(error(network.eval(), data.validation))
            network.train()

    train(network, data.train, SETTINGS, epochs, torch.Generator().manual_seed(seed), note)
    return errors


# --- table -----------------------------------------------------------------------------------------------------------


def print_table(found: Sequence[Pair]) -> None:
    print(f"{'':<18}{'pairs':>6}" + "".join(f"{way:>20}" for way in WAYS) + "    error before, after, from scratch")
    more = [pair for pair in found if pair.kind.endswith("more")]
    fewer = [pair for pair in found if pair.kind.endswith("fewer")]
    groups = {kind: [pair for pair in found if pair.kind == kind] for kind in kinds()}
    for name, group in {**groups, "all of more": more, "all of fewer": fewer, "all": found}.items():
        if group:
            print(
                f"{name:<18}{len(group):>6}" + "".join(f"{quartiles(group, way):>20}" for way in WAYS) + errors(group)
            )
    print()


def quartiles(group: Sequence[Pair], way: str) -> str:
    """Median and quartiles of the epochs; a dash is never."""
    epochs = sorted(pair.epochs(way) for pair in group)
    low, middle, high = (np.quantile(epochs, share, method="inverted_cdf") for share in (0.25, 0.5, 0.75))
    low, middle, high = ("-" if math.isinf(value) else f"{value:.0f}" for value in (low, middle, high))
    return f"{middle} ({low} to {high})"


def errors(group: Sequence[Pair]) -> str:
    """Means: of the inheriting child before training and at its end, and of the child from scratch at its end."""
    figures = [
        statistics.fmean(pair.others["inherited"][0] for pair in group),
        statistics.fmean(pair.others["inherited"][-1] for pair in group),
        statistics.fmean(pair.scratch[-1] for pair in group),
    ]
    return "".join(f"{100 * figure:>9.1f} %" for figure in figures)


if __name__ == "__main__":
    main()
