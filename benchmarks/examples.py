"""The examples on sequences, searched, tested and verified: what their networks reach, and what that took.

    pip install -e '.[benchmark]'
    DATA_PATH=/data python benchmarks/examples.py run
    python benchmarks/examples.py table

`run` makes each search of the example's own `config.cfg`, then trains two networks of its front again, with three
seeds, and measures them on the test set: the most accurate one on validation samples, and the smallest within one point
of it. It goes on where it stopped. `table` exports them as C, compares that with the integer network on the host and on
emulated Cortex-M processors, and writes benchmarks/results/examples.md.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from sparsemod import Config, Study, Trial, load, retrain, search, tested
from sparsemod.config import read
from sparsemod.display import console, watching, watching_test
from sparsemod.export import Check, export, verify
from sparsemod.study import picks
from sparsemod.tested import Summary, Tested, summaries

_HERE = Path(__file__).parent
_ROOT = Path("results/benchmarks/examples")
_RESULT = _HERE / "results" / "examples.md"


@dataclass(frozen=True)
class Example:
    """A search, and what it should reach.

    Attributes:
        folder: Of the example.
        measure: What is said of the test set.
        goal: At least so much of it, in %; None if nothing was set.
        peer: What others have on the same split.
        changes: To its configuration, as after `--set`.
    """

    folder: str
    measure: str = "accuracy"
    goal: float | None = None
    peer: str = ""
    changes: Sequence[str] = ()


EXAMPLES: Mapping[str, Example] = {
    "har": Example("har", goal=89.0, peer="extra trees on raw samples 84.6 %"),
    "spoken_digits, known speakers": Example(
        "spoken_digits",
        goal=97.0,
        peer="extra trees on MFCC 98.3 %",
        changes=("PROBLEM.problem=problem.py:known_speakers",),
    ),
    "spoken_digits, a new speaker": Example("spoken_digits", peer="extra trees on MFCC 86.4 %"),
    "japanese_vowels": Example("japanese_vowels", goal=96.0),
    "autoencoder": Example("autoencoder", measure="area under the ROC curve"),
}
"""Every search by the name that the table gives it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(required=True, metavar="run | table")
    run = works.add_parser("run", help="search and test, or go on with it")
    run.add_argument(
        "--only", choices=EXAMPLES, action="append", metavar="EXAMPLE", help="may be repeated; default: all"
    )
    run.add_argument("--set", action="append", default=[], metavar="SECTION.key=value", help="changes to all of them")
    run.set_defaults(work=_run)
    works.add_parser("table", help="verify and write what was run").set_defaults(work=_table)
    arguments = parser.parse_args()
    arguments.work(arguments)


def _run(arguments: argparse.Namespace) -> None:
    for name in arguments.only or EXAMPLES:
        settings = _settings(name, arguments.set)
        print(name)
        with watching(console(), debug=False) as watch:
            study = search(settings, watch=watch)
        numbers = sorted({trial.number for trial in _chosen(study)})
        with watching_test(console()) as watch_test:
            retrain.test(settings, numbers, watch=watch_test)


def _settings(name: str, changes: Sequence[str] = ()) -> Config:
    example = EXAMPLES[name]
    path = _HERE.parent / "examples" / example.folder / "config.cfg"
    config = read(
        path, [*example.changes, f"TRAIN.root={_ROOT.absolute()}", f"TRAIN.name={_place(name).name}", *changes]
    )
    return replace(config, test=replace(config.test, root=config.train.root, name=config.train.name))


def _place(name: str) -> Path:
    return _ROOT / name.replace(", ", "-").replace(" ", "-")


def _chosen(study: Study) -> list[Trial]:
    found = picks(study)
    return [found["most accurate that fits"], found["smallest within 1 point"]]


# --- table -----------------------------------------------------------------------------------------------------------

_HEAD = """# The examples on sequences

Written by `benchmarks/examples.py table`: of each front the network with the least validation error, and the smallest
one within a point of it. *Test*: trained anew with three seeds on training and validation samples, mean and standard
deviation; *as saved*: the very network that the search left and that is exported. Size, working memory and latency are
those of the saved network, front end included, on a Cortex-M4 of 64 MHz (microbit-v2). *Identical*: recorded inputs for
which its C code gives what the integer network gave, bit for bit, on the host and on each emulated processor. *Search*:
hours of wall clock, and processor hours of all its candidates.

| example | test, % | as saved, % | size, B | RAM, B | latency, ms | identical | search |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def _table(arguments: argparse.Namespace) -> None:
    lines: list[str] = []
    notes: list[str] = []
    for name in tqdm([name for name in EXAMPLES if (_place(name) / "test.csv").exists()], leave=False, disable=None):
        study, measured = load(_place(name)), tested.load(_place(name))
        lines += [_line(name, study, row, measured) for row in summaries(measured)]
        notes.append(_note(name))
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(_HEAD + "\n".join([*lines, "", *notes]) + "\n", encoding="utf-8")
    print(_RESULT.read_text(encoding="utf-8"))


def _line(name: str, study: Study, row: Summary, measured: Sequence[Tested]) -> str:
    saved = next(each for each in measured if each.number == row.number and each.seed is None)
    hours = max(trial.elapsed for trial in study.trials) / 3600, sum(trial.seconds for trial in study.trials) / 3600
    deviation = "" if row.deviation is None else f" ± {100 * row.deviation:.2f}"
    mean = "" if row.error is None else f"{100 * (1 - row.error):.2f}{deviation}"
    as_saved = "" if saved.error is None else f"{100 * (1 - saved.error):.2f}"
    costs = f"{saved.costs['model_size']:,.0f} | {saved.costs['working_memory']:,.0f} | {saved.costs['latency']:.2f}"
    checks = "; ".join(f"{check.place} {check.found}/{check.predicted}" for check in _verified(name, study, row.number))
    took = f"{hours[0]:.2f} h, {hours[1]:.2f} h of {len(study)} candidates"
    return f"| {name}, network {row.number} | {mean} | {as_saved} | {costs} | {checks} | {took} |"


def _verified(name: str, study: Study, number: int) -> list[Check]:
    """How many recorded vectors are identical, wherever the C code could run; everything else it checks is asserted."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "net"
        export(study.load_model(number), folder, device=_settings(name).target())
        checks = verify(folder)
    wrong = [check for check in checks if not check.ok]
    if wrong:
        raise SystemExit(f"{name}, network {number}: {wrong}")
    return [check for check in checks if check.name.startswith("vectors")]


def _note(name: str) -> str:
    example, config = EXAMPLES[name], _settings(name)
    limits = ", ".join(f"{key} {value:,g}" for key, value in config.limits().items())
    wanted = "" if example.goal is None else f"; wanted: {example.goal:g} %"
    peer = f"; {example.peer}" if example.peer else ""
    return f"- {name}: {example.measure}{wanted}{peer}. Limits: {limits}."


if __name__ == "__main__":
    main()
