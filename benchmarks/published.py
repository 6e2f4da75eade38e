"""Networks of a search against published ones: accuracy on the test set, size and working memory, and what it cost.

    DATA_PATH=/data python benchmarks/published.py run --target "MNIST, SpArSe" --hours 2
    python benchmarks/published.py table

`run` searches within the limits of a target on training and validation data alone, goes on where it stopped if it is
started again, then trains some networks of the front again on both, with several seeds, measures each once on the test
set, and writes what was found to benchmarks/published.jsonl, in the place of what the target had there. `table` writes
benchmarks/results/published.md and published.png of what that file says.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sparsemod import Config, Study, Trial, retrain, search, tested
from sparsemod.config import from_keywords
from sparsemod.cost.encoding import smallest
from sparsemod.display import console, watching, watching_test
from sparsemod.pareto import non_dominated
from sparsemod.tested import Summary, summaries

_HERE = Path(__file__).parent
_STUDIES = Path("results/benchmarks/published")
_RECORD = _HERE / "published.jsonl"
_RESULTS = _HERE / "results"


@dataclass(frozen=True)
class Published:
    """A network of somebody else.

    Attributes:
        accuracy: On the test set, in %.
        model_size: In bytes, as its authors count.
        working_memory: In bytes.
        status: Whether the figures were read in the source itself.
    """

    name: str
    accuracy: float
    model_size: float | None = None
    working_memory: float | None = None
    status: str = "not verified"


@dataclass(frozen=True)
class Target:
    """What to search, within which limits, and what to compare with.

    Attributes:
        problem: Name in problems.py.
        model_size: Limit in bytes.
        working_memory: Limit in bytes.
        max_error: From here on nothing counts.
        epochs: Of the three stages, of the finish, and of a training for the test.
        peers: To compare with.
        remark: What is not the same.
        objectives: 4 for a front; 1, the error, to be as accurate as possible within the limits.
    """

    problem: str
    model_size: float
    working_memory: float
    max_error: float
    epochs: tuple[int, int, int, int, int]
    peers: Sequence[Published]
    remark: str = ""
    objectives: int = 4


@dataclass(frozen=True)
class Network:
    """A network of ours, trained again; accuracies in %, sizes in bytes.

    Attributes:
        accuracy: On the test set, mean over seeds.
        deviation: Of a seed; None if there was one.
        saved: As the search left it, on the test set.
        weights: Bytes of the weights alone, each layer in its smallest encoding.
    """

    trial: int
    accuracy: float
    deviation: float | None
    saved: float | None
    validation: float
    model_size: float
    weights: float
    nnz: float
    working_memory: float
    seeds: int


@dataclass(frozen=True)
class Outcome:
    """What a search found, the core-hours that it took, and the epochs of each training for the test."""

    target: str
    candidates: int
    search_hours: float
    test_hours: float
    epochs: int
    networks: Sequence[Network]


_SPARSE = Published("SpArSe [Fedorov2019]", 98.64, 2_800, 2_000, "read in a text about it")
_UNAS = Published("uNAS [Liberis2021]", 99.19, 480, 488, "from memory; RAM without the input")
_UNAS_TWO = Published(
    "uNAS [Liberis2021]", 77.49, 685, 909, "read in a text about it; RAM from memory, without the input"
)
_SPARSE_TWO = Published("SpArSe [Fedorov2019]", 73.84, 780, 1_280, "read in a text about it; other images")

_FEWER = "trained on 27,000 instead of 45,000 images and tested on 1,000"
_AS_UNAS = (
    "sizes are limited as uNAS counts them: {} weights and biases, whatever else is stored, and RAM without the input "
    "(`exclude_inputs` in its models.py), whose {} bytes are added to the limit"
)

TARGETS: Mapping[str, Target] = {
    "MNIST, SpArSe": Target("mnist", 2_800, 2_000, 0.2, (1, 4, 8, 40, 60), (_SPARSE, _UNAS), objectives=1),
    "MNIST, uNAS": Target(
        "tiny_mnist", 2_000, 784 + 488, 0.2, (1, 4, 8, 30, 40), (_UNAS,), _AS_UNAS.format(480, "784"), objectives=1
    ),
    "CIFAR-10 of two classes": Target(
        "two_class", 685, 909, 0.45, (2, 8, 15, 60, 80), (_UNAS_TWO, _SPARSE_TWO),
        f"{_FEWER}; grey, 20 x 20 pixels",
        objectives=1,
    ),
    "CIFAR-10 of two classes, uNAS": Target(
        "two_class_colour", 2_000, 3_072 + 909, 0.45, (2, 8, 15, 100, 100), (_UNAS_TWO,),
        f"{_FEWER}; {_AS_UNAS.format(685, '3,072')}",
        objectives=1,
    ),
    "spoken digits": Target("spoken_digits", 20_000, 20_000, 0.3, (5, 15, 20, 60, 80), (
        Published("extra trees on the raw MFCC", 98.3, status="measured on the same split"),
    )),
    "activities": Target("activities", 16_000, 8_000, 0.4, (5, 15, 20, 60, 60), (
        Published("extra trees on raw samples", 84.6, status="measured on the same split"),
    )),
}  # fmt: skip
"""Every target by the name that tables give it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(required=True, metavar="run | table")
    run = works.add_parser("run", help="search and test, or go on with it")
    run.add_argument(
        "--target", choices=TARGETS, action="append", metavar="TARGET", help="may be repeated; default: all"
    )
    run.add_argument("--hours", type=float, default=1.0, help="of search, all runs together; default: %(default)s")
    run.add_argument("--rounds", type=int, default=300, help="candidates of each search at most; default: %(default)s")
    run.add_argument("--seeds", type=int, default=3, help="trainings of each tested network; default: %(default)s")
    run.add_argument("--networks", type=int, default=5, help="of the front that are tested; default: %(default)s")
    run.add_argument("--workers", type=int, default=2, help="processes of one thread each; default: %(default)s")
    run.set_defaults(work=_run)
    works.add_parser("table", help="write what was run").set_defaults(work=_table)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work(arguments)


# --- run -------------------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> None:
    for name in arguments.target or TARGETS:
        settings = _settings(name, arguments)
        print(f"{name}: at most {TARGETS[name].model_size:g} bytes and {TARGETS[name].working_memory:g} bytes of RAM")
        with watching(console(), debug=False) as watch:
            study = search(settings, watch=watch)
        _test(name, settings, study, arguments)
        _keep(_outcome(name, study))


def _settings(name: str, arguments: argparse.Namespace) -> Config:
    target = TARGETS[name]
    first, second, third, finish, _ = target.epochs
    return from_keywords(
        problem=f"{_HERE / 'problems.py'}:{target.problem}_problem",
        root=str(_STUDIES), name=_folder(name),
        device="stm32f746", model_size=target.model_size, working_memory=target.working_memory,
        objectives=target.objectives, max_error=target.max_error, time_limit=arguments.hours * 3600,
        r1=arguments.rounds // 5, r2=arguments.rounds * 2 // 5, r3=arguments.rounds * 2 // 5,
        epochs1=first, epochs2=second, epochs3=third, finish_epochs=finish, schedule="cosine",
        executor="processes", workers=arguments.workers,
    )  # fmt: skip


def _test(name: str, settings: Config, study: Study, arguments: argparse.Namespace) -> None:
    """Trains some networks again on all but the test set and measures them there; keeps each as soon as it is done."""
    numbers = [trial.number for trial in _chosen(study, arguments.networks)]
    test = replace(
        settings.test, root=str(_STUDIES), name=_folder(name), seeds=arguments.seeds, epochs=TARGETS[name].epochs[-1]
    )
    if not numbers:
        return
    with watching_test(console()) as watch:
        retrain.test(replace(settings, test=test), numbers, watch=watch)


def _chosen(study: Study, count: int) -> list[Trial]:
    """The most accurate network, and others at even steps through the sizes, of those that nothing beats in both.

    Only networks that were trained as long as any: an early end of the search may leave others in the front.
    """
    front = study.pareto_front()
    longest = max((study.epochs_seen(trial.candidate) for trial in front), default=0)
    trained = [trial for trial in front if study.epochs_seen(trial.candidate) == longest]
    both = np.reshape([(trial.score["model_size"], trial.score["error"]) for trial in trained], (-1, 2))
    best = sorted(np.flatnonzero(non_dominated(both)), key=lambda place: both[place, 0])
    steps = np.linspace(len(best) - 1, 0, min(count, len(best))).round().astype(int)
    return [trained[best[step]] for step in steps]


def _folder(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-").lower()


# --- record ----------------------------------------------------------------------------------------------------------


def _outcome(name: str, study: Study) -> Outcome:
    """What was measured of the front; a search that went on may have beaten networks that were measured before."""
    front = {trial.number for trial in study.pareto_front()}
    tests = [each for each in tested.load(_STUDIES / _folder(name)) if each.number in front]
    search_hours = sum(trial.seconds for trial in study.trials) / 3600
    test_hours = sum(each.seconds for each in tests) / 3600
    epochs = max((each.epochs for each in tests if each.seed), default=0)
    networks = [_network(study, row) for row in summaries(tests) if row.error is not None]
    return Outcome(name, len(study.trials), round(search_hours, 2), round(test_hours, 2), epochs, networks)


def _network(study: Study, row: Summary) -> Network:
    assert row.error is not None
    graph = study.load_model(row.number)
    return Network(
        row.number,
        _percent(1 - row.error),
        None if row.deviation is None else _percent(row.deviation),
        None if row.saved is None or row.saved.error is None else _percent(1 - row.saved.error),
        _percent(1 - study[row.number].score["error"]),
        row.costs["model_size"],
        sum(smallest(operator).nbytes for operator in graph.operators if operator.weight is not None),
        row.costs["nnz"],
        row.costs["working_memory"],
        row.trainings,
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _keep(outcome: Outcome) -> None:
    """Unless nothing was measured."""
    if not outcome.networks:
        return
    kept = {**_recorded(), outcome.target: outcome}
    lines = [json.dumps(asdict(kept[name])) + "\n" for name in TARGETS if name in kept]
    _RECORD.write_text("".join(lines), encoding="utf-8")


def _recorded() -> dict[str, Outcome]:
    """What each target has, in the order of targets."""
    lines = _RECORD.read_text(encoding="utf-8").splitlines() if _RECORD.exists() else []
    read = (json.loads(line) for line in lines)
    return {
        each["target"]: Outcome(**{**each, "networks": [Network(**row) for row in each["networks"]]}) for each in read
    }


# --- table -----------------------------------------------------------------------------------------------------------


def _table(arguments: argparse.Namespace) -> None:
    found = _recorded()
    text = "\n".join([_HEAD, *("\n".join(_section(outcome)) for outcome in found.values())])
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / "published.md").write_text(text, encoding="utf-8")
    print(text)
    if found:
        print(f"drawn to {_draw(found)}")


_HEAD = """# Against published networks

Written by `benchmarks/published.py table`. A search sees training and validation data alone. Some networks of its front
are then trained again on both, from new weights, and measured once on the test set: mean and standard deviation over
seeds; `as saved` is the network that the search left, measured there as it is. `nnz` counts one byte for each weight
and bias that is not zero, as SpArSe does; `model size` are the bytes that are really stored: `weights` with their
indices, 9 bytes for each output channel (bias, multiplier, shift) and a few for each network. `RAM` includes the input.
"""


def _section(outcome: Outcome) -> list[str]:
    target = TARGETS[outcome.target]
    lines = [
        f"\n## {outcome.target}",
        "",
        f"At most {target.model_size:,.0f} bytes and {target.working_memory:,.0f} bytes of RAM. "
        f"{outcome.candidates} candidates in {outcome.search_hours:.2f} core-hours; "
        f"trainings for the test {outcome.test_hours:.2f}, of {outcome.epochs} epochs.",
        *([f"Not the same: {target.remark}."] if target.remark else []),
        "",
        "| network | test accuracy, % | as saved, % | validation, % | model size, B | weights, B | nnz, B | RAM, B "
        "| seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ours in outcome.networks:
        spread = "" if ours.deviation is None else f" ± {ours.deviation:.2f}"
        saved = "" if ours.saved is None else f"{ours.saved:.2f}"
        lines.append(
            f"| ours, trial {ours.trial} | {ours.accuracy:.2f}{spread} | {saved} | {ours.validation:.2f} "
            f"| {ours.model_size:,.0f} | {ours.weights:,.0f} | {ours.nnz:,.0f} | {ours.working_memory:,.0f} "
            f"| {ours.seeds} |"
        )
    for peer in target.peers:
        size, memory = (f"{value:,.0f}" if value else "" for value in (peer.model_size, peer.working_memory))
        lines.append(f"| {peer.name} ({peer.status}) | {peer.accuracy:.2f} | | | {size} | | | {memory} | |")
    return [*lines, "", _distance(target, outcome.networks)]


def _distance(target: Target, networks: Sequence[Network]) -> str:
    """The network that validation says is most accurate, against the first of the peers."""
    reached, peer = max(networks, key=lambda network: network.validation).accuracy, target.peers[0]
    points = reached - peer.accuracy
    says = f"{points:.2f} points above" if points >= 0 else f"{-points:.2f} points short of"
    return f"{reached:.2f} % is {says} the {peer.accuracy:.2f} % of {peer.name}."


def _draw(found: Mapping[str, Outcome]) -> Path:
    """Test error against model size, mean and standard deviation over seeds; a panel for each target."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(5 * columns, 4.5 * rows), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(found) :]:
        axes.set_axis_off()
    for axes, (name, outcome) in zip(panels.flat, found.items(), strict=False):
        errors = [100 - network.accuracy for network in outcome.networks]
        deviations = [network.deviation or 0.0 for network in outcome.networks]
        for key, fill, label in (("model_size", "full", "sparsemod"), ("nnz", "none", "sparsemod, nnz")):
            sizes = [getattr(network, key) for network in outcome.networks]
            axes.errorbar(sizes, errors, deviations, fmt="o", color="#D55E00", fillstyle=fill, label=label)
        for peer, marker in zip(TARGETS[name].peers, "s^v", strict=False):
            if peer.model_size:
                axes.plot(peer.model_size, 100 - peer.accuracy, marker, color="#0072B2", markersize=9, label=peer.name)
            else:
                axes.axhline(100 - peer.accuracy, linestyle="--", color="#0072B2", label=peer.name)
        axes.set(title=name, xlabel="model size (bytes)", ylabel="test error (%)", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 3 * low else MaxNLocator(6))
            axis.set_major_formatter("{x:,g}")
            axis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="both", labelsize=8)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    path = _RESULTS / "published.png"
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
