"""What the memory planner saves and misses on random graphs, and how long it takes.

    python benchmarks/memory_plan.py

One row per family: how the plan compares with the largest sum of bytes alive in the order of the graph, how often the
arena is exactly the lower bound of its order and by how much it is larger where it is not, and milliseconds of
processor time.
"""

import random
import time
from collections.abc import Callable

from sparsemod.cost import plan
from sparsemod.cost.liveness import buffers, flow, peak
from sparsemod.graph import Activation, Graph, Operator

SECONDS = 5


def main() -> None:
    print(f"{'graphs':40} {'of graph order':>14} {'at bound':>8} {'miss mean':>9} {'max':>5} {'ms mean':>7} {'max':>6}")
    for count in (8, 20, 40):
        row(f"random, {count} operators", lambda rng, count=count: random_graph(rng, count))
    for count, branches in ((12, 2), (25, 3), (40, 2), (40, 4), (40, 6)):
        row(f"{branches} branches, {count} operators", lambda rng, n=count, b=branches: branched(rng, n, b, any_size))
        row(
            f"{branches} branches, {count} operators, images",
            lambda rng, n=count, b=branches: branched(rng, n, b, image),
        )


def row(name: str, graph_of: Callable[[random.Random], Graph]) -> None:
    rng = random.Random(0)
    shares, misses, times = [], [], []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        graph = graph_of(rng)
        start = time.process_time()
        found = plan(graph)
        times.append(1e3 * (time.process_time() - start))
        order = range(len(graph.operators))
        shares.append(found.size / peak(buffers(flow(graph), order), len(order)))
        misses += [found.size / found.lower_bound - 1] if found.size > found.lower_bound else []
    mean_miss = sum(misses) / max(len(misses), 1)
    print(
        f"{name:40} {sum(shares) / len(shares):14.1%} {1 - len(misses) / len(shares):8.1%} {mean_miss:9.1%} "
        f"{max(misses, default=0):5.0%} {sum(times) / len(times):7.2f} {max(times):6.1f}"
    )


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


if __name__ == "__main__":
    main()
