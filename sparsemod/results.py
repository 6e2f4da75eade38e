"""The study folder: an append-only record that survives being killed at any byte, and what is made from it.

    <root>/<name>/
      study.json      objectives, limits, reference point, seed and the settings that a resumed search must share
      config.cfg      the whole configuration, its paths relative to this folder
      proposals.jsonl one line per round of candidates, when it is proposed, and the reason of each stop
      trials.jsonl    the record: one line per trial, when it ends
      models/         weights and quantized network of each trial; in the end of the front only
      trials.csv, pareto.csv, pareto.json
      test.csv        one row per measurement on the test set, or on a group held out

A line counts once it ends in a newline: what a kill leaves half-written is cut off when the folder is opened again, and
that trial is run, or that round is asked for, again.
"""

import errno
import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import orjson
from torch import Tensor

from sparsemod import config as configuration
from sparsemod import files
from sparsemod.config import Config
from sparsemod.errors import InputError, SparsemodError
from sparsemod.graph import Graph
from sparsemod.objectives import column
from sparsemod.space import SearchSpace
from sparsemod.study import Candidate, Study, Trial, picks

T = TypeVar("T")

_FORMAT = 1
_MAY_CHANGE = frozenset(
    {
        *("name", "root", "r1", "r2", "r3", "morphisms", "finish_epochs", "debug"),
        *("time_limit", "tolerance", "patience", "min_error", "max_failures"),
    }
)
"""Keys of [TRAIN] that a resumed search may have changed; all of [DEFAULT], [TEST], [PROBLEM] and [RUN] may, too."""


class Record:
    """An open study folder; one process at a time writes to it.

    Args:
        folder: Made if it is not there.
        config: Of this search.
        space: Of its problem.
        header: Objectives, limits and reference point of a study that begins.

    Raises:
        InputError: The folder cannot be written, another search is writing to it, or its study was made with other
            settings.
    """

    def __init__(self, folder: Path, config: Config, space: SearchSpace, header: Callable[[], dict[str, Any]]) -> None:
        self.folder = folder
        with ExitStack() as opened:  # closed again if the search is refused
            try:
                (folder / "models").mkdir(parents=True, exist_ok=True)
                self._proposals = opened.enter_context(files.open_for_append(folder / "proposals.jsonl"))
                self._trials = opened.enter_context(files.open_for_append(folder / "trials.jsonl"))
                files.lock(
                    self._proposals,
                    f"another search is writing to {folder}; wait for it, or choose another [TRAIN] name",
                )
                files.cut_half_line(self._proposals)
                files.cut_half_line(self._trials)
                settings = _settings(config, space)
                if (folder / "study.json").exists():
                    require_same("settings", _header(folder)["settings"], settings, "not there", folder)
                else:
                    files.write(
                        folder / "study.json", _json({"format": _FORMAT, **header(), "settings": settings}, indent=2)
                    )
                files.write(folder / "config.cfg", config.seen_from(folder).to_ini())
            except OSError as error:
                raise InputError(f"the study folder {folder} cannot be written: {error.strerror}") from error
            self.study = load(folder)
            self._files = opened.pop_all()

    def propose(self, candidates: Iterable[Candidate]) -> None:
        """Records a round of candidates before it is evaluated; a kill leaves it there as a whole or not at all."""
        candidates = list(candidates)
        self._append(self._proposals, {"round": [asdict(candidate) for candidate in candidates]})
        for candidate in candidates:
            self.study.propose(candidate)

    def add(self, trial: Trial, weights: Mapping[str, Tensor] | None = None, graph: Graph | None = None) -> None:
        """Records a trial: its model first, so that a recorded trial always has one. A second one is ignored."""
        if self.study.has(trial.number):
            return
        if weights is not None and graph is not None:
            self._guard(lambda: _save_model(self.folder, trial.number, weights, graph))
        trial = replace(trial, seconds=round(trial.seconds, 3), elapsed=round(trial.elapsed, 3))
        self._append(self._trials, _trial_row(trial))
        self.study.add(trial)

    def stop(self, reason: str, elapsed: float) -> None:
        """Records why a stage or the search ended."""
        self._append(self._proposals, {"stop": reason, "elapsed": elapsed})

    def weights(self, number: int) -> dict[str, Tensor]:
        """Trained weights of a trial."""
        return load_weights(self.folder, number)

    def close(self) -> None:
        """Writes the tables and lets go of the folder."""
        try:
            self._guard(lambda: write_tables(self.study, self.folder))
        finally:
            self._files.close()

    def _append(self, file: BinaryIO, row: Mapping[str, Any]) -> None:
        self._guard(lambda: files.append(file, (_json(row) + "\n").encode()))

    def _guard(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise SparsemodError(
                f"the disk is full ({error.strerror}) while writing to {self.folder}. The {len(self.study.trials)} "
                "trials recorded so far are safe: free some space and run the same command again to go on"
            ) from error


def load(folder: str | Path) -> Study:
    """A study from its folder.

    Raises:
        InputError: There is no study, or a line of its record that is not the last is damaged.
    """
    folder = Path(folder)
    header = _header(folder)
    study = Study(
        header["objectives"], header["limits"], header["reference"], header["seed"],
        models=lambda number: load_graph(folder, number),
    )  # fmt: skip
    with _no_collection():
        for candidates in _lines(folder / "proposals.jsonl", _round):
            for candidate in candidates:
                study.propose(candidate)
        proposed = {candidate.number: candidate for candidate in study.candidates}
        for trial in _lines(folder / "trials.jsonl", lambda row: _trial(row, proposed)):
            study.add(trial)
    return study


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looks for garbage, which take a fifth of the time of loading: millions of objects come, and all stay."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _header(folder: Path) -> dict[str, Any]:
    path = folder / "study.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no study (no study.json); `sparsemod search` makes one")
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is damaged; restore it from a copy") from None
    if header.get("format") != _FORMAT:
        raise InputError(f"{folder} was written by another version of sparsemod (format {header.get('format')})")
    return header


def recorded_settings(folder: str | Path) -> dict[str, str]:
    """The settings that a study began with, as texts by `SECTION.key`; those that may change later are not among them.

    Raises:
        InputError: There is no study.
    """
    settings: dict[str, str] = _header(Path(folder))["settings"]
    return settings


def configuration_of(folder: Path, path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a study: its own copy, or another file.

    Args:
        folder: Of the study.
        path: A configuration to use instead of the copy.
        overrides: `SECTION.key=value` each.

    Raises:
        InputError: There is no study, or the configuration has mistakes.
    """
    if path is None:
        _header(folder)
    return configuration.read(path or folder / "config.cfg", overrides)


def stops(folder: str | Path) -> list[str]:
    """Why the stages of a study ended, in order; a resumed search gives the same reasons again, which counts once."""
    reasons = _lines(Path(folder) / "proposals.jsonl", lambda row: row.get("stop"))
    return list(dict.fromkeys(reason for reason in reasons if reason))


def write_tables(study: Study, folder: Path) -> None:
    """`trials.csv` (all, with wall-clock times), `pareto.csv` and `pareto.json` (the front, without)."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    rows = study.to_rows(trials)
    for row, trial in zip(rows, trials, strict=True):
        row |= {"seconds": round(trial.seconds, 3), "elapsed_seconds": round(trial.elapsed, 3), "reason": trial.reason}
    front = study.to_rows(study.pareto_front())
    files.write(folder / "trials.csv", files.as_csv(rows))
    files.write(folder / "pareto.csv", files.as_csv(front))
    files.write(folder / "pareto.json", _json(front_as_json(study), indent=2))


def front_as_json(study: Study) -> dict[str, Any]:
    """The front as plain data: what it is judged by and one entry per network."""
    return {
        "objectives": [column(name) for name in study.objectives],
        "limits": {column(name): limit for name, limit in study.limits.items()},
        "reference": {column(name): value for name, value in study.reference_point().items()},
        "reference_basis": {column(name): basis for name, basis in study.reference_basis().items()},
        "hypervolume": study.hypervolume(),
        "picks": {why: trial.number for why, trial in picks(study).items()},
        "front": [
            {
                "number": trial.number,
                "origin": trial.candidate.origin,
                "parent": trial.candidate.parent,
                "epochs": trial.candidate.epochs,
                "epochs_seen": study.epochs_seen(trial.candidate),
                "score": {column(name): value for name, value in trial.score.items()},
                "parameters": dict(trial.candidate.parameters),
            }
            for trial in study.pareto_front()
        ],
    }


def delete_models_off_front(study: Study, folder: Path) -> None:
    """Deletes the models that neither the front nor a pending child needs."""
    needed = {trial.number for trial in study.pareto_front()} | {candidate.parent for candidate in study.pending}
    for path in (folder / "models").glob("*.safetensors"):
        if int(path.stem) not in needed:
            path.unlink()


# --- models ----------------------------------------------------------------------------------------------------------


def load_graph(folder: Path, number: int) -> Graph:
    """The quantized network of a trial."""
    from safetensors import safe_open

    tensors = _load_tensors(folder, number, "graph.")
    with safe_open(_model_path(folder, number), "pt") as file:
        plain = json.loads(file.metadata()["graph"])
    return Graph.from_tensors(tensors, plain)


def load_weights(folder: Path, number: int) -> dict[str, Tensor]:
    """The trained weights of a trial before quantization, by the names of its builder."""
    return _load_tensors(folder, number, "weights.")


def _save_model(folder: Path, number: int, weights: Mapping[str, Tensor], graph: Graph) -> None:
    from safetensors.torch import save

    tensors, plain = graph.to_tensors()
    named = {f"weights.{name}": tensor.contiguous() for name, tensor in weights.items()}
    named |= {f"graph.{name}": tensor.clone() for name, tensor in tensors.items()}
    files.write(_model_path(folder, number), save(named, metadata={"graph": _json(plain)}))


def _load_tensors(folder: Path, number: int, prefix: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    path = _model_path(folder, number)
    if not path.is_file():
        raise InputError(f"the model of trial {number} was not kept; only those of networks on the front are ({path})")
    return {name.removeprefix(prefix): tensor for name, tensor in load_file(path).items() if name.startswith(prefix)}


def _model_path(folder: Path, number: int) -> Path:
    return folder / "models" / f"{number:05d}.safetensors"


# --- lines -----------------------------------------------------------------------------------------------------------


def _lines(path: Path, read: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """What the complete lines of a record say; a last one without its newline does not count."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                entry = read(orjson.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise InputError(
                    f"{path}, line {number} is damaged: {line[:60].rstrip()!r}. Restore it from a copy, or delete the "
                    "line to lose that one entry"
                ) from None
            yield entry


def _settings(config: Config, space: SearchSpace) -> dict[str, str]:
    """What a resumed search must share with the search that began the study."""
    shared = {
        f"{section}.{key}": value
        for section, key, value, _ in config.items()
        if section in ("TRAIN", "DEVICE") and key not in _MAY_CHANGE
    }
    return shared | {f"space.{name}": json.dumps(row) for name, row in json.loads(space.describe()).items()}


def require_same(what: str, before: Mapping[str, object], now: Mapping[str, object], absent: str, folder: Path) -> None:
    """Refuses to go on with a study that began otherwise.

    Args:
        what: Is compared, in the plural.
        before: By name, as the study began.
        now: As it would go on.
        absent: What is said of one that is not there.
        folder: Of the study.

    Raises:
        InputError: Something differs; all of it is named.
    """
    differences = [
        f"  {name}: was {before.get(name, absent)}, is {now.get(name, absent)}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise InputError(
            "\n".join(
                [
                    f"{folder} holds a study made with other {what}, so this search cannot go on with it",
                    *differences,
                    f"  put the {what} back, or choose another [TRAIN] name (--set TRAIN.name=...)",
                ]
            )
        )


def _round(row: Mapping[str, Any]) -> list[Candidate]:
    return [Candidate(**candidate) for candidate in row.get("round", [])]


def _trial_row(trial: Trial) -> dict[str, Any]:
    row = asdict(trial)
    candidate: dict[str, Any] = row.pop("candidate")
    return candidate | row


_OF_CANDIDATE = tuple(entry.name for entry in fields(Candidate))


def _trial(row: dict[str, Any], proposed: Mapping[int, Candidate]) -> Trial:
    of_candidate = {key: row.pop(key) for key in _OF_CANDIDATE}
    candidate = proposed.get(of_candidate["number"])
    if candidate is None or vars(candidate) != of_candidate:  # else one copy of its parameters is enough
        candidate = Candidate(**of_candidate)
    if row.get("curve"):
        row["curve"] = {int(epoch): error for epoch, error in row["curve"].items()}  # JSON knows no numbers as keys
    return Trial(candidate, **row)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=list, allow_nan=False)
