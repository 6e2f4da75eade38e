"""`Tested`, what one network reached on samples that no search has seen, and what several of them come to."""

import csv
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sparsemod import files
from sparsemod.errors import InputError
from sparsemod.objectives import UNITS, column

_OF_TEST = ("number", "network", "seed", "group", "epochs", "status", "test_error", "seconds", "reason")
"""Columns of `test.csv`; what else it has are recalls and costs."""

_NAMES = {column(name): name for name in UNITS}


Key = tuple[int, int | None, int | None]
"""What is measured once: number of the network, seed and group."""


@dataclass(frozen=True)
class Tested:
    """One measurement.

    Attributes:
        number: Of the trial.
        seed: Of a training from new weights, from 1 on; None for the saved network of the search, which was not trained
            again.
        group: Held out of the training and tested on; None for the test set of the problem.
        epochs: That the network was trained for.
        status: complete, infeasible or failed.
        error: Share of wrong answers, or the problem's own error; None unless complete.
        recalls: Share of each class that was found, K; None where there is no sample of it; empty without classes.
        costs: Figures of this very network by name, without the error.
        seconds: Of training and measuring.
        reason: Why it is not complete.
    """

    __test__ = False  # a name that pytest would take for its own

    number: int
    seed: int | None
    group: int | None
    epochs: int
    status: str = "complete"
    error: float | None = None
    recalls: Sequence[float | None] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    @property
    def key(self) -> Key:
        """Number, seed and group."""
        return self.number, self.seed, self.group

    @property
    def place(self) -> tuple[int, bool, int, int]:
        """To sort by: network, then the saved one, then seeds, then groups."""
        return self.number, self.group is not None, self.group or 0, self.seed or 0

    @property
    def network(self) -> str:
        """The one that was `saved` by the search, or one that was `retrained`."""
        return "saved" if self.seed is None else "retrained"


@dataclass(frozen=True)
class Summary:
    """What the trainings of one network came to.

    Attributes:
        number: Of the trial.
        by: What differs between the trainings: `seeds`, all measured on the test set; or `groups`, each measured on the
            group that it has not seen.
        trainings: That are complete.
        failed: Those that are not.
        error: Mean over the trainings; None if there is none.
        deviation: Standard deviation of the error, of a sample (n - 1); None of fewer than two.
        recalls: Mean share of each class that was found, K; None where there is no sample of it.
        costs: Means by name; those of the saved network if no training is complete.
        saved: The measurement of the network that the search saved, on the test set; None if there is none.
    """

    number: int
    by: str
    trainings: int
    failed: int
    error: float | None
    deviation: float | None
    recalls: Sequence[float | None]
    costs: Mapping[str, float]
    saved: Tested | None

    @property
    def weakest(self) -> tuple[int, float] | None:
        """The class that is found least, and the share of it that is."""
        return min(
            ((place, recall) for place, recall in enumerate(self.recalls) if recall is not None),
            key=lambda each: each[1],
            default=None,
        )


def summaries(tests: Iterable[Tested]) -> list[Summary]:
    """One line for each network, in the order of first appearance; two where it was tested by seeds and by groups."""
    saved: dict[int, Tested] = {}
    trained: dict[tuple[int, str], list[Tested]] = {}
    for each in tests:
        if each.seed is not None:
            trained.setdefault((each.number, "seeds" if each.group is None else "groups"), []).append(each)
        elif each.status == "complete":
            saved[each.number] = each
    alone = [(number, "seeds") for number in saved if not any(number == other for other, _ in trained)]
    return [_summary(number, by, trained.get((number, by), []), saved.get(number)) for number, by in [*trained, *alone]]


def _summary(number: int, by: str, tests: Sequence[Tested], saved: Tested | None) -> Summary:
    complete = [each for each in tests if each.status == "complete"]
    errors = [each.error for each in complete if each.error is not None]
    costs = [each.costs for each in complete] or ([saved.costs] if saved else [])
    names = dict.fromkeys(name for each in costs for name in each)
    return Summary(
        number,
        by,
        len(complete),
        len(tests) - len(complete),
        statistics.fmean(errors) if errors else None,
        statistics.stdev(errors) if len(errors) > 1 else None,
        [_mean(column) for column in zip(*(each.recalls for each in complete), strict=True)],
        {name: statistics.fmean(each[name] for each in costs if name in each) for name in names},
        saved,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """While it lasts, no other process tests networks of this study.

    Raises:
        InputError: One does, or the folder cannot be written.
    """
    try:
        file = files.open_for_append(folder / "study.json")
    except OSError as error:
        raise InputError(f"the study folder {folder} cannot be written: {error.strerror}") from error
    with file:
        files.lock(file, f"another test is writing to {folder}; wait for it")
        yield


def write(tests: Sequence[Tested], folder: Path) -> None:
    """`test.csv`: one row per measurement, units in the names; the file is replaced as a whole."""
    figures = [_figures(each) for each in tests]
    none = dict.fromkeys((name for row in figures for name in row), "")
    rows = [
        {
            "number": each.number,
            "network": each.network,
            "seed": each.seed,
            "group": each.group,
            "epochs": each.epochs,
            "status": each.status,
            "test_error": each.error,
            **none,
            **own,
            "seconds": each.seconds,
            "reason": each.reason,
        }
        for each, own in zip(tests, figures, strict=True)
    ]
    files.write(folder / "test.csv", files.as_csv(rows))


def _figures(tested: Tested) -> dict[str, float | None]:
    """Recalls and costs by the names of their columns."""
    recalls = {f"recall_{place}": share for place, share in enumerate(tested.recalls)}
    return recalls | {column(name): value for name, value in tested.costs.items()}


def load(folder: str | Path) -> list[Tested]:
    """What `test.csv` holds; nothing if it is not there.

    Raises:
        InputError: A line of it is damaged, or of an earlier version.
    """
    path = Path(folder) / "test.csv"
    if not path.is_file():
        return []
    tests = []
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                tests.append(_tested(row))
            except (KeyError, ValueError, TypeError):
                raise InputError(
                    f"row {line} of {path} is damaged, or was written by an earlier version; delete the file and run "
                    f"`sparsemod test {folder}` again"
                ) from None
    return tests


def _tested(row: Mapping[str, str]) -> Tested:
    """A row of `test.csv`."""
    recalls = [name for name in row if re.fullmatch(r"recall_\d+", name)]
    costs = [name for name in row if row[name] and name not in (*_OF_TEST, *recalls)]
    complete = row["status"] == "complete"
    return Tested(
        int(row["number"]),
        int(row["seed"]) if row["seed"] else None,
        int(row["group"]) if row["group"] else None,
        int(row["epochs"]),
        row["status"],
        float(row["test_error"]) if complete else None,
        tuple(float(row[name]) if row[name] else None for name in recalls) if complete else (),
        {_NAMES.get(name, name): float(row[name]) for name in costs},
        float(row["seconds"]),
        row["reason"],
    )
