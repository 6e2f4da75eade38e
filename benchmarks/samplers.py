"""Samplers side by side: hypervolume by trials, and processor time per ask, of sparsemod and its peers.

    pip install -e '.[benchmark]'
    python benchmarks/samplers.py run --task nas --method "Optuna GP" --seeds 10 --trials 100
    python benchmarks/samplers.py table

`run` adds a line per method and seed to benchmarks/samplers.jsonl, and leaves out those that are there: stop it and
start it again as you like. `table` prints what the lines say, writes it to benchmarks/results/samplers.md and draws
samplers.png there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from ablations import ABLATIONS
from numpy.typing import NDArray
from oracle import oracle
from peers import METHODS, PEERS
from tasks import TASKS
from tqdm import tqdm

from sparsemod import Candidate, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, ORACLE = "sparsemod", "oracle"
BY_NAME = {**METHODS, **ABLATIONS, ORACLE: oracle}
"""All that can be run."""
RECORD = Path(__file__).with_suffix(".jsonl")
RESULTS = Path(__file__).parent / "results"
STEP = 10
"""Trials between two readings of the hypervolume."""
SHOWN = (30, 60, 100, 200)
"""Trials of the columns of the table."""
JUDGED, EARLY = 100, 60
"""Trials at which methods are compared, and at which ours is held against what they have then."""


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        trials: Asked of it; it may have had no more candidates before.
        hypervolume: After every `STEP` trials, of the objectives without noise.
        seconds_per_ask: Processor seconds, mean over every `STEP` asks.
    """

    task: str
    method: str
    seed: int
    trials: int
    hypervolume: Sequence[float]
    seconds_per_ask: Sequence[float]


def main() -> None:
    arguments = _parser().parse_args()
    torch.set_num_threads(1)
    arguments.work(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(required=True, metavar="run | table")
    run = works.add_parser(
        "run",
        help="run what is missing",
        description="Runs what is missing in benchmarks/samplers.jsonl, seed by seed.",
        epilog="\n".join(
            [
                _listed("tasks", TASKS),
                _listed("methods", METHODS),
                _listed("run if named: ablations, and an oracle that knows the truth", [*ABLATIONS, ORACLE]),
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--task", choices=TASKS, action="append", metavar="TASK", help="may be repeated; default: all")
    run.add_argument("--method", choices=BY_NAME, action="append", metavar="METHOD", help="likewise")
    run.add_argument("--seeds", type=int, default=10, help="searches of each method on each task; default: %(default)s")
    run.add_argument("--trials", type=_tens, default=100, help="of each search, a multiple of 10; default: %(default)s")
    run.set_defaults(work=_run)
    table = works.add_parser("table", help="print and draw what was run")
    table.set_defaults(work=_table)
    return parser


def _tens(text: str) -> int:
    if not text.isdigit() or int(text) == 0 or int(text) % STEP:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of {STEP} above 0")
    return int(text)


def _listed(title: str, names: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {_quoted(name)}" for name in names)])


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


# --- run -------------------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> None:
    """A method that raises is told of and not recorded; the others go on."""
    wanted = [
        (task, method, seed)
        for seed in range(arguments.seeds)
        for task in arguments.task or TASKS
        for method in arguments.method or METHODS
    ]
    missing = [each for each in wanted if not _is_done(*each, arguments.trials)]
    print(f"searches to run: {len(missing)}; already in {RECORD.name}: {len(wanted) - len(missing)}", flush=True)
    failed: list[str] = []
    for number, (task, method, seed) in enumerate(missing, 1):
        if _is_done(task, method, seed, arguments.trials):  # by another process meanwhile
            continue
        label = f"{task}, {method}, seed {seed}"
        try:
            run = measured(task, method, seed, arguments.trials)
        except Exception as error:  # whatever libraries raise
            failed.append(f"{label}: {_reason(error)}")
            print(f"{number} of {len(missing)}: {failed[-1]}", file=sys.stderr, flush=True)
            continue
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")
        print(
            f"{number} of {len(missing)}: {label}: hypervolume {run.hypervolume[-1]:.4f}, "
            f"{run.seconds_per_ask[-1]:.2f} s per ask",
            flush=True,
        )
    if failed:
        sys.exit("\n".join(["failed and not recorded:", *(f"  {line}" for line in failed)]))


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; the first lines of samplers.py and peers.py say how"
    return f"{type(error).__name__}: {error}"


def _is_done(task: str, method: str, seed: int, trials: int) -> bool:
    return any((run.task, run.method, run.seed) == (task, method, seed) and run.trials >= trials for run in _runs())


def measured(task_name: str, method: str, seed: int, trials: int) -> Run:
    """One search; where a method has no more candidates, its hypervolume stays as it is."""
    task = TASKS[task_name]()
    study, asking, seconds, volumes = task.study(), BY_NAME[method](task, seed), [], []
    started = time.process_time()
    parameters = next(asking)
    for number in tqdm(range(trials), f"{task_name}, {method}, seed {seed}", leave=False, disable=None):
        seconds.append(time.process_time() - started)
        study.add(Trial(Candidate(number, parameters, 1, method), "complete", task.truth(parameters)))
        if (number + 1) % STEP == 0:
            volumes.append(round(study.hypervolume() / task.best, 6))
        if number + 1 == trials:
            break
        values = task.measured(parameters, seed, number)
        started = time.process_time()
        try:
            parameters = asking.send(values)
        except StopIteration:
            break
    volumes += [round(study.hypervolume() / task.best, 6)] * (trials // STEP - len(volumes))
    times = [round(float(np.mean(part)), 4) for part in np.array_split(seconds, max(len(seconds) // STEP, 1))]
    return Run(task_name, method, seed, trials, volumes, times)


def _runs() -> list[Run]:
    """The longest of each task, method and seed."""
    lines = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []
    runs = sorted((Run(**json.loads(line)) for line in lines), key=lambda run: run.trials)
    return list({(run.task, run.method, run.seed): run for run in runs}.values())


# --- table -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """What the runs of one method on one task say."""

    runs: Sequence[Run]

    def values(self, trials: int) -> NDArray[np.float64]:
        """Hypervolume after so many trials, of every run that is as long."""
        return np.array([run.hypervolume[trials // STEP - 1] for run in self.runs if run.trials >= trials])

    def mean(self, trials: int) -> float:
        values = self.values(trials)
        return float(values.mean()) if len(values) else float("nan")

    def error(self, trials: int) -> float:
        """Of the mean: its standard error; nan with a single run."""
        values = self.values(trials)
        return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")

    def readings(self) -> range:
        """Trials that all runs have reached."""
        return range(STEP, min(run.trials for run in self.runs) + 1, STEP)

    def trials_to(self, value: float) -> int | None:
        """Trials after which the mean over the runs is as large; None if never."""
        return next((trials for trials in self.readings() if self.mean(trials) >= value), None)

    def seconds(self) -> float:
        """Processor seconds of each of the last ten asks up to `JUDGED` trials."""
        return float(np.mean([run.seconds_per_ask[: JUDGED // STEP][-1] for run in self.runs]))


def _table(arguments: argparse.Namespace) -> None:
    runs = _runs()
    found = {
        task: {
            method: Curves(own)
            for method in BY_NAME
            if (own := [run for run in runs if (run.task, run.method) == (task, method)])
        }
        for task in TASKS
    }
    compared = {
        task: {name: of for name, of in curves.items() if name not in ABLATIONS} for task, curves in found.items()
    }
    compared = {task: curves for task, curves in compared.items() if curves}
    lines = [
        "hypervolume ± standard error of the mean; reach: trials after which the mean is as large as that of the",
        f"best peer at {JUDGED}; s/ask: processor seconds per ask, mean of the last ten up to {JUDGED} trials",
    ]
    for task, curves in found.items():
        lines += ["", *_lines(task, compared[task])] if task in compared else []
        lines += ["", *_ablated(task, curves)] if any(name in ABLATIONS for name in curves) else []
    text = "\n".join(lines)
    print(text)
    if compared:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "samplers.md").write_text(f"{_HEAD}\n```\n{text}\n```\n", encoding="utf-8")
        print(f"\nwritten to {RESULTS / 'samplers.md'}, drawn to {_draw(compared)}")


_HEAD = """# Samplers side by side

Written by `benchmarks/samplers.py table`. [tasks.py](../tasks.py) has the tasks, [peers.py](../peers.py) says how each
method is run, [ablations.py](../ablations.py) what ours goes without. All are given the same limits. Searches were run
on several machines, some twice as fast as others: seconds per ask compare no better than that.

![Hypervolume by trials](samplers.png)
"""


def _lines(task: str, curves: Mapping[str, Curves]) -> list[str]:
    peers = {method: curves[method].mean(JUDGED) for method in PEERS if method in curves}
    peers = {method: value for method, value in peers.items() if not np.isnan(value)}
    best = max(peers, key=lambda method: peers[method], default=None)
    target = peers[best] if best else float("nan")
    head = f"{task:<20}" + "".join(f"{trials:>17}" for trials in SHOWN) + "  reach    s/ask  seeds"
    lines = [head, *(_line(method, of, target) for method, of in curves.items())]
    if best and OURS in curves:
        lines += _verdict(curves[OURS], best, curves[best])
    if best and OURS in curves and ORACLE in curves:
        most = curves[ORACLE].mean(JUDGED)
        lines.append(
            f"an oracle, which knows the truth and chooses greedily, has {most:.4f} at {JUDGED}, {most / target:.2f} "
            f"times the best peer; {OURS} reaches {curves[OURS].mean(JUDGED) / most:.0%} of it"
        )
    absent = [method for method in METHODS if method not in curves]
    if absent:
        lines.append(f"not run: {', '.join(map(_quoted, absent))}")
    return lines + _unequal(curves)


def _ablated(task: str, curves: Mapping[str, Curves]) -> list[str]:
    """sparsemod without one of its ideas each; reach is the trials to what it has with all of them at `JUDGED`."""
    shown = {name: curves[name] for name in (OURS, *ABLATIONS) if name in curves}
    target = shown[OURS].mean(JUDGED) if OURS in shown else float("nan")
    head = f"{task}, ablations".ljust(20) + "".join(f"{trials:>17}" for trials in SHOWN) + "  reach    s/ask  seeds"
    return [head, *(_line(name, of, target) for name, of in shown.items()), *_unequal(shown)]


def _unequal(curves: Mapping[str, Curves]) -> list[str]:
    """Remarks on columns whose means are of different numbers of searches."""
    remarks: dict[str, list[int]] = {}
    for trials in SHOWN:
        seeds: dict[int, list[str]] = {}
        for method, of in curves.items():
            if method == ORACLE:  # which has no seeds
                continue
            seeds.setdefault(len(of.values(trials)), []).append(method)
        seeds.pop(0, None)
        if len(seeds) > 1:
            groups = "; ".join(
                f"{number} of {', '.join(map(_quoted, methods))}" for number, methods in sorted(seeds.items())
            )
            remarks.setdefault(groups, []).append(trials)
    return [
        f"NOTE: unequal numbers of seeds at {', '.join(map(str, at))} trials: {groups}"
        for groups, at in remarks.items()
    ]


def _line(method: str, curves: Curves, target: float) -> str:
    cells = (f"{curves.mean(trials):.4f} ± {curves.error(trials):.4f}" for trials in SHOWN)
    filled = ("" if cell.startswith("nan") else cell.replace("± nan", "       ") for cell in cells)
    return (
        f"{method:<20}"
        + "".join(f"{cell:>17}" for cell in filled)
        + f"{curves.trials_to(target) or '-':>7}{curves.seconds():>9.3f}{len(curves.runs):>7}"
    )


def _verdict(ours: Curves, best: str, peer: Curves) -> list[str]:
    """Ours against the best peer: at as many trials, and at fewer."""
    target = peer.mean(JUDGED)
    lines = [f"best peer at {JUDGED} trials: {best}, {target:.4f}"]
    for trials in (JUDGED, EARLY):
        value = ours.mean(trials)
        reaches = "reaches" if value >= target else "does not reach"
        lines.append(
            f"{OURS} at {trials:>3}: {value:.4f}, {value / target:.2f} times that; {reaches} it, "
            + _distance(abs(value - target), float(np.hypot(ours.error(trials), peer.error(JUDGED))))
        )
    return lines


def _distance(difference: float, error: float) -> str:
    if np.isnan(error):
        return "of unknown error, as there is a single seed"
    return f"{'within' if difference <= error else 'beyond'} one standard error of the difference ({error:.4f})"


# --- picture ---------------------------------------------------------------------------------------------------------

_BLUE, _GREEN, _GREY = "#0072B2", "#009E73", "#888888"  # these and the others: Okabe and Ito's, told apart by all
_STYLES: Mapping[str, tuple[str, str]] = {
    OURS: ("#D55E00", "-"),
    "Optuna GP": (_BLUE, "-"),
    "Optuna TPE": (_BLUE, "--"),
    "Optuna NSGA-II": (_BLUE, ":"),
    "Ax": (_GREEN, "-"),
    "Ax qLogNParEGO": (_GREEN, "--"),
    "syne-tune EHVI": ("#CC79A7", "-"),
    "pymoo NSGA-II": ("#E69F00", "--"),
    "evolution (uNAS)": ("#56B4E9", "-."),
    "Sobol, feasible": (_GREY, "-"),
    "random": (_GREY, ":"),
    ORACLE: ("#000000", ":"),
}
"""Colour by library, line by method, in the order of the legend."""
_UNITS = {
    "nas": "share of the reference box",
    "cnn": "share of the reference box",
    "vehicle": "share of that of 20 000 random candidates",
}
_UNIT = "share of the best known hypervolume"


def _draw(found: Mapping[str, Mapping[str, Curves]]) -> Path:
    """A panel for each task, and one legend beside them."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("matplotlib is not installed, which draws: pip install -e '.[benchmark]'")
    columns = min(len(found), 2)
    figure = Figure(figsize=(16, 10), dpi=100, layout="constrained")
    axes = figure.subplots(-(-len(found) // columns), columns, squeeze=False)
    for panel in axes.flat[len(found) :]:
        panel.set_axis_off()
    for panel, (task, curves) in zip(axes.flat, found.items(), strict=False):
        _panel(panel, task, curves)
    lines = {line.get_label(): line for panel in axes.flat for line in panel.get_lines()}
    shown = [method for method in _STYLES if method in lines]
    figure.legend(
        [lines[method] for method in shown],
        shown,
        loc="outside right upper",
        title="mean ± standard error",
        frameon=False,
        fontsize=12,
        title_fontsize=12,
        handlelength=3.5,
        labelspacing=0.9,
    )
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    path = RESULTS / "samplers.png"
    figure.savefig(path, facecolor="white")
    return path


def _panel(panel: "Axes", task: str, curves: Mapping[str, Curves]) -> None:
    for method in reversed([method for method in _STYLES if method in curves]):  # the first on top
        _curve(panel, method, curves[method])
    panel.set_title(task, loc="left", fontsize=15, fontweight="bold", pad=10)
    panel.set_xlabel("trials", fontsize=12)
    panel.set_ylabel(f"hypervolume\n({_UNITS.get(task, _UNIT)})", fontsize=12)
    panel.set_xlim(0, max(of.readings()[-1] for of in curves.values()))
    panel.set_ylim(bottom=0)
    panel.grid(color="#e6e6e6", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=11)


def _curve(panel: "Axes", method: str, curves: Curves) -> None:
    """The mean, and a band of one standard error, as far as all runs go."""
    colour, line = _STYLES[method]
    trials = curves.readings()
    means = np.array([curves.mean(each) for each in trials])
    errors = np.nan_to_num([curves.error(each) for each in trials])
    panel.plot(trials, means, line, color=colour, linewidth=3.2 if method == OURS else 1.8, label=method)
    panel.fill_between(trials, means - errors, means + errors, color=colour, alpha=0.13, linewidth=0)


if __name__ == "__main__":
    main()
