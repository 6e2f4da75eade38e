"""How true the costs are, and how long they take to compute: predictions against compiled C on an emulated Cortex-M4.

    python benchmarks/cost.py [STUDY ...] [--only SECTION ...]

Takes some ten minutes on one core, most of it for the training in section `int8`. Sections exported, pruned and rank
need an Arm compiler and an emulator (apt-get install gcc-arm-none-eabi qemu-system-arm). Sections:

    exported  the four networks of MLPerf Tiny, and the front of each study: bytes of flash and RAM as predicted and as
              linked, stack, code, instructions per inference, outputs that differ from `graph.run`
    pruned    a network with all of its weights and with a tenth of them, as bytes of the object file
    planner   the memory plan against the order of the graph, on random branched graphs
    times     processor seconds of what a search does between two trainings
    avr       predicted and counted cycles of random members on an emulated AVR, and the table that fits them best
              (apt-get install gcc-avr avr-libc simavr)
    rank      rank correlation of predicted latency and counted instructions over random members of the space
    int8      what quantization costs in error, with quantization-aware training (QAT) too, on images (DATA_PATH names
              their folder)

The emulator counts instructions, not cycles, and the exported C is plain C99, while the latency of a Cortex-M4 is that
of the CMSIS-NN kernels, which compute several products at once. So the two are compared by rank.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import functools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import torch

from sparsemod.compress.quantize import lower
from sparsemod.cost import cost, plan
from sparsemod.cost.liveness import buffers, flow, peak
from sparsemod.cost.offsets import arena, offsets
from sparsemod.device import DEVICES, KINDS
from sparsemod.errors import InputError
from sparsemod.export import Check, arm, artefact, export
from sparsemod.export import avr as avr_processor
from sparsemod.graph import Activation, Graph, Operator, run
from sparsemod.locate import locate
from sparsemod.results import load
from sparsemod.spaces import cnn

PROBLEMS = Path(__file__).parents[1] / "tests" / "problems"
DEVICE = DEVICES["stm32f446"]
IMAGE = (1, 28, 28)
RUNS = 5
NETWORKS = 50
MEMBERS = 80
CYCLES = "cycles per inference"
SECONDS = 5

fitting, integer = (locate(f"{PROBLEMS / 'members.py'}:{name}") for name in ("fitting", "integer"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = {work.__name__: work for work in (pruned, planner, times, avr, rank, int8)}
    names = ("exported", *sections)
    parser.add_argument("studies", nargs="*", type=Path, metavar="STUDY", help="folder of a study with int8 networks")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION", help=", ".join(names))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.only:
        print(f"\n{name}\n")
        if name == "exported":
            exported(chosen.studies)
        else:
            sections[name]()


# --- compiled for a Cortex-M4 ----------------------------------------------------------------------------------------


def emulated(graph: Graph, vectors: int) -> dict[str, Check]:
    """What an emulated Cortex-M4 finds for random inputs, by the first words of each check."""
    inputs = torch.randint(-128, 128, (vectors, *graph.activations[0].shape), dtype=torch.int8)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "net"
        export(graph, folder, inputs, DEVICE)
        checks = arm.emulated(folder, artefact.read(folder), arm.BOARDS[DEVICE.core])
    return {check.name.partition(" (")[0]: check for check in checks}


def exported(studies: list[Path]) -> None:
    for number, (name, graph) in enumerate(chain(mlperf_tiny(), *map(front, studies))):
        try:
            figures = compared(graph)
        except InputError as reason:
            print(f"{name:20}  {reason}")
            continue
        if number == 0:
            print(f"{'':18}", *(f"{head:>10}" for head in figures))
        print(f"{name:18}", *(f"{figure:>{max(len(head), 10)},}" for head, figure in figures.items()), flush=True)


def compared(graph: Graph) -> dict[str, int]:
    """Figures of one network by the head of their column: bytes, and counts of one inference."""
    found = emulated(graph, 8)
    constants, ram, same = (found[key] for key in ("weights and constants", "arena", "vectors with identical outputs"))
    return {
        "model size": constants.predicted,
        "in object file": constants.found,
        "arena": ram.predicted,
        "linked": ram.found,
        "stack": found["stack"].found,
        "code": found["code, weights and constants"].found - constants.found,
        "cycles of CMSIS-NN": round(cost(graph, DEVICE)["latency"] * DEVICE.clock_hz / 1e3),
        "instructions": found["instructions per inference"].found,
        "vectors": same.predicted,
        "mismatches": same.predicted - same.found,
    }


def mlperf_tiny() -> Iterator[tuple[str, Graph]]:
    """The four networks with random weights, calibrated on random inputs."""
    modules, inputs = (locate(f"{PROBLEMS / 'mlperf_tiny.py'}:{name}") for name in ("NETWORKS", "INPUTS"))
    for name, module in modules.items():
        torch.manual_seed(0)
        yield f"MLPerf Tiny {name}", integer(module(), torch.randn(8, *inputs[name]))


def front(folder: Path) -> Iterator[tuple[str, Graph]]:
    study = load(folder)
    for trial in study.pareto_front():
        yield f"{folder.name} {trial.number}", study.load_model(trial.number)


def pruned() -> None:
    heads = f"{'weights':>8} {'not zero':>8} {'model size':>11} {'object file':>12} {'instructions':>13}"
    print(f"{'MLPerf Tiny ic':16} {heads}")
    module = locate(f"{PROBLEMS / 'mlperf_tiny.py'}:ic")
    for name, sparsity in (("dense", 0.0), ("90 % pruned", 0.9)):
        torch.manual_seed(0)
        graph = integer(module(), torch.randn(8, 3, 32, 32), sparsity)
        found = emulated(graph, 1)
        size, file = found["weights and constants"].predicted, found["code, weights and constants"].found
        instructions = found["instructions per inference"].found
        print(f"{name:16} {graph.params:8,} {graph.nnz:8,} {size:9,} B {file:10,} B {instructions:13,}", flush=True)


def rank() -> None:
    """Draws without choice, over all sizes and, as sizes alone rank networks well, within thirds by MACs."""
    print(f"the first {NETWORKS} draws of the space that fit {DEVICE.name}, on images of {IMAGE[1]} x {IMAGE[2]}\n")
    print(f"{'correlation of rank':28} {'networks':>8} {'latency':>8} {'MACs':>8}   instructions per MAC")
    for name, sparsity in (("dense", 0.0), ("pruned as drawn", None)):
        rows = []
        for graph in islice(fitting(DEVICE, IMAGE, sparsity), NETWORKS):
            found = cost(graph, DEVICE)
            rows.append((found["macs"], found["latency"], emulated(graph, 1)["instructions per inference"].found))
            print(f"\r{len(rows)} of {NETWORKS}", end="", file=sys.stderr, flush=True)
        print("\r", end="", file=sys.stderr)
        correlations(f"{name} (>= 0.95)", rows)
        third = -(-len(rows) // 3)
        for part in (sorted(rows)[start : start + third] for start in range(0, len(rows), third)):
            correlations(f"  to {part[-1][0]:,} MACs", part)


def correlations(name: str, rows: Sequence[tuple[float, float, int]]) -> None:
    """Of (MACs, latency, instructions) by network."""
    from scipy.stats import spearmanr

    macs, latency, instructions = zip(*rows, strict=True)
    by_latency, by_macs = (spearmanr(figures, instructions).statistic for figures in (latency, macs))
    ratios = [used / products for products, used in zip(macs, instructions, strict=True)]
    spread = f"{min(ratios):.0f} to {max(ratios):.0f}, median {statistics.median(ratios):.0f}"
    print(f"{name:28} {len(rows):8} {by_latency:8.3f} {by_macs:8.3f}   {spread}", flush=True)


# --- compiled for an AVR ---------------------------------------------------------------------------------------------


def avr() -> None:
    """Unlike those of a Cortex-M, these latencies are of the exported C, so they are compared in cycles."""
    import numpy as np
    from scipy.optimize import nnls
    from scipy.stats import spearmanr

    device, shape = DEVICES["arduino-uno"], (1, 8, 8)
    print(f"the first {MEMBERS} draws of the space that fit {device.name}, on images of {shape[1]} x {shape[2]}\n")
    rows, predicted, counted = [], [], []
    for graph in islice(fitting(device, shape), MEMBERS):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "net"
            export(graph, folder, torch.zeros(1, *shape, dtype=torch.int8), device)
            found = {check.name: check.found for check in avr_processor.emulated(folder, artefact.read(folder))}
        if CYCLES not in found:
            continue
        counted.append(found[CYCLES])
        predicted.append(cost(graph, device)["latency"] * device.clock_hz / 1e3)
        rows.append(work(graph))
        print(f"\r{len(rows)} of {MEMBERS}", end="", file=sys.stderr, flush=True)
    table, seen = np.array([list(row.values()) for row in rows], float), np.array(counted, float)
    share = np.array(predicted) / seen
    least, low, middle, high, most = np.quantile(share, [0, 0.1, 0.5, 0.9, 1])
    best, _ = nnls(table / seen[:, None], np.ones(len(seen)))
    print(f"\r{len(seen)} networks; predicted / counted cycles: median {middle:.2f}, ", end="")
    print(f"80 % from {low:.2f} to {high:.2f}, all from {least:.2f} to {most:.2f}")
    print(f"median error {np.median(abs(share - 1)):.0%}, rank correlation {spearmanr(predicted, seen).statistic:.3f}")
    print(f"best table: {', '.join(f'{name} {cycles:.0f}' for name, cycles in zip(rows[0], best, strict=True))}")


def work(graph: Graph) -> dict[str, int]:
    """How often each entry of a table of cycles counts."""
    found = dict.fromkeys((*KINDS, "output", "element", "operator"), 0)
    for operator in graph.operators:
        size = graph.activations[operator.output].numel
        if operator.kind in KINDS:
            found[operator.kind] += operator.macs
            found["output"] += size
        elif operator.kind != "reshape":
            found["element"] += size * len(operator.inputs)
        found["operator"] += operator.kind != "reshape"
    return found


# --- the memory plan -------------------------------------------------------------------------------------------------


def planner() -> None:
    """Arena of the plan over that in the order of the graph; how often it is the lower bound of its order; time."""
    print(
        f"{'graphs':40} {'of graph order':>14} {'least':>6} {'at bound':>8} {'above it':>8} {'ms mean':>8} {'max':>6}"
    )
    for operators in (8, 20, 40):
        plans(f"random, {operators} operators", lambda rng, n=operators: random_graph(rng, n))
    for operators, branches in ((12, 2), (25, 3), (40, 2), (40, 4), (40, 6)):
        name = f"{branches} branches, {operators} operators"
        plans(name, lambda rng, n=operators, b=branches: branched(rng, n, b, any_size))
        plans(f"{name}, images", lambda rng, n=operators, b=branches: branched(rng, n, b, image))


def plans(name: str, graph_of: Callable[[random.Random], Graph]) -> None:
    rng = random.Random(0)
    shares, misses, milliseconds = [], [], []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        graph = graph_of(rng)
        started = time.process_time()
        found = plan(graph)
        milliseconds.append(1e3 * (time.process_time() - started))
        shares.append(found.size / graph_order(graph))
        misses += [found.size / found.lower_bound - 1] if found.size > found.lower_bound else []
    mean, miss, spent = (sum(figures) / max(len(figures), 1) for figures in (shares, misses, milliseconds))
    print(
        f"{name:40} {mean:14.1%} {min(shares):6.0%} {1 - len(misses) / len(shares):8.1%} {miss:8.1%} "
        f"{spent:8.2f} {max(milliseconds):6.1f}",
        flush=True,
    )


def graph_order(graph: Graph) -> int:
    """Bytes of the arena if the operators run in the order of the graph."""
    order = range(len(graph.operators))
    needed = buffers(flow(graph), order)
    return arena(needed, offsets(needed, peak(needed, len(order))))


def random_graph(rng: random.Random, count: int) -> Graph:
    """Operators that read one or two of the last six activations, and a last one that reads what nobody has read."""
    activations, operators = [Activation((any_size(rng, 0),), 1)], []
    for output in range(1, count):
        recent = range(max(output - 6, 0), output)
        first = rng.choice(recent)
        second = rng.choice([other for other in recent if activations[other] == activations[first]])
        kind = rng.choice(["conv", "conv", "add", "relu", "reshape"])
        size = any_size(rng, 0) if kind == "conv" and rng.random() < 0.5 else activations[first].numel
        activations.append(Activation((size,), 1))
        operators.append(Operator(kind, kind, (first, second) if kind == "add" else (first,), output))
    read = {position for operator in operators for position in operator.inputs}
    unread = tuple(position for position in range(count) if position not in read)
    last = Operator("concat", "concat", unread, count)
    return Graph([*operators, last], [*activations, Activation((any_size(rng, 0),), 1)])


def branched(rng: random.Random, count: int, branches: int, size: Callable[[random.Random, int], int]) -> Graph:
    """Chains of operators that begin at one activation and end in one operator."""
    activations, operators = [Activation((size(rng, 0),), 1)], []

    def add(kind: str, inputs: tuple[int, ...], depth: int) -> int:
        activations.append(Activation((size(rng, depth),), 1))
        operators.append(Operator(kind, kind, inputs, len(activations) - 1))
        return len(activations) - 1

    ends = [add("conv", (0,), 0)] * branches
    for branch in range(branches):
        for depth in range((count - 2) // branches):
            ends[branch] = add("conv", (ends[branch],), depth)
    add("concat", tuple(ends), count // branches)
    return Graph(operators, activations)


def any_size(rng: random.Random, depth: int) -> int:
    return rng.randint(1, 200)


def image(rng: random.Random, depth: int) -> int:
    """Maps of 32 x 32, a quarter as large after every three layers, with a usual number of channels."""
    return rng.choice((8, 16, 24, 32, 48, 64)) * max(1024 >> 2 * (depth // 3), 1)


# --- time ------------------------------------------------------------------------------------------------------------


def times() -> None:
    torch.manual_seed(0)
    module = fifty_thousand_parameters()
    batches = list(torch.randn(8, 64, *IMAGE))
    graph = integer(module, batches[0])  # imports, and statistics for batch norm
    answers, images = functools.partial(run, graph), torch.randn(10_000, *IMAGE).split(512)
    branching = [branched(random.Random(seed), 40, 4, image) for seed in range(100)]
    print(f"{graph.params:,} parameters, {graph.macs:,} MACs, images of {IMAGE[1]} x {IMAGE[2]}\n")
    limited(
        "lower, calibrated on 512 images, and cost",
        min(seconds(lambda: cost(lower(module, batches), DEVICE)) for _ in range(RUNS)),
    )
    limited("graph.run on 10,000 images", min(seconds(lambda: list(map(answers, images))) for _ in range(RUNS)), 3)
    slowest = max(seconds(lambda graph=graph: plan(graph)) for graph in branching)
    limited("plan of 40 operators in 4 branches, the slowest of 100", slowest, 0.1)


def limited(name: str, measured: float, most: float | None = None) -> None:
    print(f"{name:60} {measured:8.3f} s" + ("" if most is None else f", at most {most} s"), flush=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def fifty_thousand_parameters() -> torch.nn.Module:
    layers = {f"b1_l{layer}_{key}": value for layer in (1, 2) for key, value in (("type", "conv"), ("kernel", 3))}
    block = {"blocks": 1, "b1_layers": 2, "b1_stride": 2, "b1_skip": False, "b1_pool": True, "b1_pool_rate": 2}
    head = {"global_pool": False, "fc_layers": 1, "fc1_units": 28, "dropout": 0.0}
    return cnn.build({**layers, **block, **head, "b1_l1_filters": 16, "b1_l2_filters": 32}, IMAGE, 10)


# --- error -----------------------------------------------------------------------------------------------------------


def int8() -> None:
    """Points that integers lose after training, after an epoch of QAT, and with weights of 4 bits after that.

    After QAT also against a float network that was trained as long, where that is better.
    """
    networks, errors = (locate(f"{PROBLEMS / 'trained.py'}:{name}") for name in ("NETWORKS", "errors"))
    heads = ("int8 (<= 0.5)", "QAT (<= 0.2)", "4 bits, QAT (<= 1)")
    print(f"{'error on validation, % and points':36} {'images':>8} {'float32':>8}", *(f"{head:>18}" for head in heads))
    for name in networks:
        try:
            found = [errors(name, weight_bits=bits, qat_epochs=epochs) for bits, epochs in ((8, 0), (8, 1), (4, 1))]
        except InputError as reason:
            print(f"{name:36} {reason}")
            continue
        points = (f"{100 * (one.integer - min(one.float32, one.as_long)):+18.2f}" for one in found)
        print(f"{name:36} {found[0].images:8,} {100 * found[0].float32:8.2f}", *points, flush=True)


if __name__ == "__main__":
    main()
