"""Candidates per hour: sparsemod's training against a loop as people write it, and what each idea is worth.

    DATA_PATH=... python benchmarks/training.py

Random members of the space of examples/mnist that fit its device are trained and validated on MNIST (DATA_PATH names
its folder), each in every way below, a few at a time in turns, so that whatever else the machine does meets all ways
alike. Each row adds one idea to the one above. Takes some five minutes on two cores.

With `--accelerator cuda` all ways train on a GPU, and `--processes 8` lets eight networks share it in the last one.

The first row is a `DataLoader` of four workers over a `Dataset` whose samples are scaled, and augmented, one by one;
Adam; one network after the other with as many threads as PyTorch takes by default. The last is what a search does with
two workers, but for pruning and quantization, which all leave out. Weights, batch sizes, learning rates and epochs are
the same; orders of samples are not, so errors differ by chance.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import functools
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from sparsemod import Augment, Data, InputError, Tensors, datasets
from sparsemod.accelerator import on
from sparsemod.config import read
from sparsemod.cost.screen import Screen
from sparsemod.data import Augmentation, Placed
from sparsemod.evaluate import data_of as loaded
from sparsemod.evaluate import problem_of
from sparsemod.execute import process_pool
from sparsemod.space import Parameters
from sparsemod.spaces import cnn
from sparsemod.train import error, train

EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist" / "config.cfg"
SHAPE, CLASSES = (1, 28, 28), 10
TARGET = 3
AUGMENT = Augment(shift=2, rotate=0.2, rotate_share=0.3)
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Way = Callable[[nn.Module, Tensors, Parameters, int], None]


@dataclass(frozen=True)
class Settings:
    """Of all trainings."""

    samples: int
    epochs: int
    augment: bool
    accelerator: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=4, metavar="N", help="networks to train (4)")
    parser.add_argument("--samples", type=int, default=12_000, metavar="N", help="training images (12000)")
    parser.add_argument("--epochs", type=int, default=2, metavar="N", help="of each network (2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of networks (0)")
    parser.add_argument("--augment", action="store_true", help="with random shifts and rotations")
    parser.add_argument("--accelerator", default="cpu", metavar="NAME", help="cpu, cuda or another device (cpu)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="networks at a time in the last row (2)")
    chosen = parser.parse_args()
    settings = Settings(chosen.samples, chosen.epochs, chosen.augment, chosen.accelerator)
    try:
        ready(settings)
    except InputError as reason:
        sys.exit(str(reason))
    warnings.filterwarnings("ignore", "This DataLoader will create")
    networks = list(members(chosen.networks, chosen.seed))
    count = chosen.processes
    names = [*WAYS, f"{count} processes of one thread"]
    seconds, processor = ({name: 0.0 for name in names} for _ in range(2))
    errors: dict[str, list[float]] = {name: [] for name in names}
    with process_pool(count) as pool:
        list(pool.map(ready, [settings] * count))
        for start in range(0, len(networks), count):
            for name in names:
                before = time.perf_counter(), time.process_time()
                errors[name] += errors_of(pool, name, networks[start : start + count], settings)
                seconds[name] += time.perf_counter() - before[0]
                processor[name] += time.process_time() - before[1]
            done = min(start + count, len(networks))
            print(f"\r{done} of {len(networks)} networks", end="", file=sys.stderr, flush=True)
    table(seconds, processor, errors)


def errors_of(pool: Executor, name: str, networks: list[Parameters], settings: Settings) -> list[float]:
    """Errors of some networks, trained in one of the ways or in several processes."""
    jobs = [(number, parameters, settings) for number, parameters in enumerate(networks)]
    if name in WAYS:
        return [trained(name, *job) for job in jobs]
    return [future.result() for future in [pool.submit(trained, list(WAYS)[-1], *job) for job in jobs]]


def trained(name: str, seed: int, parameters: Parameters, settings: Settings) -> float:
    """Error of a network on the validation images, after it was trained in one of the ways."""
    data = data_of(settings.samples, settings.augment)
    torch.set_num_threads(THREADS if name == PLAIN else 1)
    torch.manual_seed(seed)
    network = cnn.build(parameters, SHAPE, CLASSES)
    assert isinstance(data.train, Tensors)
    accelerator = torch.device(settings.accelerator)
    with on(accelerator, network):
        WAYS[name](network, data.train, parameters, settings.epochs)
        return error(network.eval(), Placed(data.validation, accelerator))


def table(seconds: dict[str, float], processor: dict[str, float], errors: dict[str, list[float]]) -> None:
    """Processor seconds only where one thread of one process does all: other programs matter less to them."""
    first, *_, last = seconds
    print(f"\r{'':48} {'per hour':>9} {'ratio':>7} {'processor seconds each':>23} {'mean error':>11}")
    for name, spent in seconds.items():
        count, mean = len(errors[name]), statistics.mean(errors[name])
        alone = "" if name in (first, last) else f"{processor[name] / count:.2f}"
        print(f"{name:48} {3600 * count / spent:9,.0f} {seconds[first] / spent:7.2f} {alone:>23} {mean:11.2%}")
    differences = [after - before for before, after in zip(errors[first], errors[last], strict=True)]
    print(f"\n{seconds[first] / seconds[last]:.1f} times the candidates per hour of the plain loop, at least {TARGET}")
    print(f"accuracy {1 - statistics.mean(errors[first]):.2%} and {1 - statistics.mean(errors[last]):.2%}: ", end="")
    print(f"{-100 * statistics.mean(differences):+.2f} points, by network {statistics.stdev(differences):.2%} apart")


def members(count: int, seed: int) -> Iterator[Parameters]:
    """Random members of the example's space within its limits."""
    config = read(EXAMPLE)
    problem = problem_of(config)
    screen, rng = Screen(problem, config, loaded(problem)), np.random.default_rng(seed)
    while count:
        parameters = problem.space.sample(rng)
        if screen.fits(parameters):
            count -= 1
            yield parameters


@functools.cache
def data_of(samples: int, augment: bool) -> Data:
    """MNIST with some of its training images."""
    data = datasets.mnist(augment=AUGMENT if augment else None)
    assert isinstance(data.train, Tensors)
    return replace(data, train=data.train.select(torch.arange(samples)))


def ready(settings: Settings) -> None:
    """What a process does once: loads the data and libraries; it takes so long that each worker is asked."""
    data = data_of(settings.samples, settings.augment)
    assert isinstance(data.train, Tensors)
    [parameters] = members(1, 0)
    network = cnn.build(parameters, SHAPE, CLASSES).to(settings.accelerator)
    ours(network, data.train.select(torch.arange(10)), parameters, 1)
    time.sleep(5)


# --- ways to train ---------------------------------------------------------------------------------------------------


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Samples as a data set usually holds them: converted, augmented and scaled one at a time."""

    def __init__(self, split: Tensors) -> None:
        self.x, self.y, self.mean, self.std = split.x, split.y, split.mean, split.std
        self.augment: Augmentation | None = split.augment

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = self.x[index].float()
        if self.augment is not None:
            x = self.augment(x[None], torch.default_generator)[0]
        return (x - self.mean) / self.std, self.y[index]


def loader(split: Tensors, parameters: Parameters, workers: int) -> Iterable[tuple[Tensor, Tensor]]:
    return DataLoader(OneByOne(split), int(parameters["batch_size"]), shuffle=True, num_workers=workers)


def plain(network: nn.Module, split: Tensors, parameters: Parameters, epochs: int, workers: int) -> None:
    batches = loader(split, parameters, workers)
    learn(network, lambda: batches, parameters, epochs, fused=False)


def in_memory(network: nn.Module, split: Tensors, parameters: Parameters, epochs: int, fused: bool = False) -> None:
    """Batches cut from one tensor; with `fused` also the format and the optimizer of `sparsemod.train`."""
    rng = torch.Generator().manual_seed(0)
    if fused:
        network.to(memory_format=torch.channels_last)
    placed = Placed(split, place_of(network))
    learn(network, lambda: placed.batches(int(parameters["batch_size"]), rng), parameters, epochs, fused)


def learn(
    network: nn.Module,
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    parameters: Parameters,
    epochs: int,
    fused: bool,
) -> None:
    optimizer = torch.optim.Adam(network.parameters(), float(parameters["learning_rate"]), fused=fused)
    steps, gamma = int(parameters["learning_step"]), float(parameters["learning_gamma"])
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, steps, gamma)
    network.train()
    place = place_of(network)
    for _ in range(epochs):
        for x, y in batches():
            optimizer.zero_grad()
            F.cross_entropy(network(x.to(place)), y.to(place)).backward()
            optimizer.step()
        schedule.step()


def ours(network: nn.Module, split: Tensors, parameters: Parameters, epochs: int) -> None:
    train(network, Placed(split, place_of(network)), parameters, epochs, torch.Generator().manual_seed(0))


def place_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


PLAIN = f"plain loop: 4 loader workers, {THREADS} threads"
WAYS: dict[str, Way] = {
    PLAIN: functools.partial(plain, workers=4),
    "no loader workers, one thread": functools.partial(plain, workers=0),
    "samples in memory, augmented by batches": in_memory,
    "channels last, fused Adam": functools.partial(in_memory, fused=True),
    "kernels for few channels: sparsemod.train": ours,
}


if __name__ == "__main__":
    main()
