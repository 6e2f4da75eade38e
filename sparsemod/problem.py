"""`Problem`: everything the user brings, as one object, and how it is found from its name."""

import difflib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sparsemod.errors import InputError
from sparsemod.space import Parameters, SearchSpace, Value

if TYPE_CHECKING:
    import numpy as np
    from ax.core.search_space import SearchSpace as AxSearchSpace
    from torch import nn

    from sparsemod.data import Batch, Data
    from sparsemod.study import Candidate

Build = Callable[[Parameters, tuple[int, ...], int], "nn.Module"]
Morphism = Callable[[Parameters, SearchSpace, "np.random.Generator"], Mapping[str, Value] | None]

TRAINING_DEFAULTS: Mapping[str, Value] = {
    "learning_rate": 3e-3,
    "learning_gamma": 0.3,
    "learning_step": 5,
    "batch_size": 64,
    "prune_threshold": 0.0,
}
"""Values of the training parameters that a search space leaves out."""


_COLUMNS = frozenset(
    {"number", "origin", "parent", "epochs", "status", "reason", "seconds", "elapsed_seconds", "error"}
)


@dataclass(frozen=True)
class Problem:
    """What to search.

    Attributes:
        space: Parameters that vary; an Ax `SearchSpace` is converted.
        build: `build(parameters, input_shape, num_classes)` makes the network. It raises `Infeasible` with a reason for
            parameters that make no network.
        load_data: Makes the `Data`, once per process.
        morphisms: `morphism(parameters, space, rng)` returns a small change of a network as new parameters, or None
            where it does not apply.
        collate: `collate(samples, parameters)` joins samples to a batch (x, y).
        train: Replaces the built-in training loop; same arguments as `sparsemod.train.train`.
        costs: `costs(parameters)` gives exact costs by name, instead of the cost of the traced network.
        objective: `objective(candidate)` gives scores by name and replaces everything from building to scoring.
    """

    space: SearchSpace
    build: Build | None = None
    load_data: "Callable[[], Data] | None" = None
    morphisms: Sequence[Morphism] = ()
    collate: "Callable[[Sequence[Any], Parameters], Batch] | None" = None
    train: Callable[..., None] | None = None
    costs: Callable[[Parameters], Mapping[str, float]] | None = None
    objective: "Callable[[Candidate], Mapping[str, float]] | None" = None

    def __post_init__(self) -> None:
        space: SearchSpace | AxSearchSpace = self.space
        if not isinstance(space, SearchSpace):
            object.__setattr__(self, "space", SearchSpace.from_ax(space))
        object.__setattr__(self, "morphisms", tuple(self.morphisms))
        taken = [name for name in self.space if name in _COLUMNS]
        if taken:
            raise InputError(f"the parameters {', '.join(taken)} have names of columns in the results; rename them")
        if self.objective is None and (self.build is None or self.load_data is None):
            raise InputError("a Problem needs build and load_data, or an objective that replaces both")


def load(name: str, folder: Path | None = None) -> Problem:
    """The problem that `package.module:name` or `path/to/file.py:name` names.

    Args:
        name: As written in `[PROBLEM] problem`.
        folder: What a relative path is relative to; the current folder if not given.

    Raises:
        InputError: Nothing there, it does not import, or it is not a `Problem`.
    """
    problem = locate(name, folder, Problem)
    if not isinstance(problem, Problem):
        raise InputError(f"{name} is a {type(problem).__name__}; it must be a sparsemod.Problem")
    return problem


def locate(name: str, folder: Path | None = None, kind: type = object) -> Any:
    """The object that `package.module:name` or `path/to/file.py:name` names.

    Args:
        name: Place and attribute.
        folder: What a relative path is relative to; the current folder if not given.
        kind: Of the objects to suggest where the name is wrong.

    Raises:
        InputError: Nothing there, or it does not import.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise InputError(f"{name!r} must read 'package.module:name' or 'path/to/file.py:name'")
    module = _import_file((folder or Path()) / place) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if isinstance(value, kind) and not key.startswith("_")]
        close = difflib.get_close_matches(attribute, known, n=1) or known[:1]
        hint = f"; did you mean {place}:{close[0]}?" if close else f"; it defines no {kind.__name__} at all"
        raise InputError(f"{place} has no {attribute!r}{hint}")
    return getattr(module, attribute)


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"the problem file {path} does not exist; a relative path starts at the folder of config.cfg")
    key = "sparsemod_problem_" + hashlib.sha1(str(path).encode()).hexdigest()[:12]
    if key in sys.modules:
        return sys.modules[key]
    specification = importlib.util.spec_from_file_location(key, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[key] = module  # before it runs, so that what it defines can be pickled
    try:
        specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[key]
        if isinstance(error, Exception):
            raise InputError(f"the problem file {path} does not import\n{_last_call(error)}") from error
        raise
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the user, as with python -m
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(f"the problem module {name!r} does not import\n{_last_call(error)}") from error


def _last_call(error: Exception) -> str:
    """Message of an error that importing raised, after the line of the imported file where it comes from."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    where = ""
    if own:
        where = f"  line {own[-1].lineno}: {own[-1].line}\n"
    elif isinstance(error, SyntaxError):
        where = f"  line {error.lineno}: {(error.text or '').strip()}\n"
    return f"{where}  {type(error).__name__}: {error}"
