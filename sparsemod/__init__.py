"""sparsemod finds neural networks that fit a microcontroller.

    import sparsemod

    study = sparsemod.search("config.cfg")
    study.to_pandas()

Importing it loads no other library: each name below is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsemod.augment import Augment as Augment
    from sparsemod.config import Config as Config
    from sparsemod.data import Data as Data
    from sparsemod.data import Sequences as Sequences
    from sparsemod.data import Tensors as Tensors
    from sparsemod.device import DEVICES as DEVICES
    from sparsemod.device import Device as Device
    from sparsemod.errors import ConfigError as ConfigError
    from sparsemod.errors import Infeasible as Infeasible
    from sparsemod.errors import InputError as InputError
    from sparsemod.errors import SparsemodError as SparsemodError
    from sparsemod.loop import search as search
    from sparsemod.problem import Problem as Problem
    from sparsemod.results import load as load
    from sparsemod.space import Choice as Choice
    from sparsemod.space import Float as Float
    from sparsemod.space import Int as Int
    from sparsemod.space import SearchSpace as SearchSpace
    from sparsemod.sparse import Sparse as Sparse
    from sparsemod.study import Candidate as Candidate
    from sparsemod.study import Study as Study
    from sparsemod.study import Trial as Trial

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("ConfigError", "Infeasible", "InputError", "SparsemodError"), "errors"),
    **dict.fromkeys(("Choice", "Float", "Int", "SearchSpace"), "space"),
    **dict.fromkeys(("Candidate", "Study", "Trial"), "study"),
    **dict.fromkeys(("Data", "Sequences", "Tensors"), "data"),
    **dict.fromkeys(("DEVICES", "Device"), "device"),
    "Augment": "augment",
    "Config": "config",
    "Problem": "problem",
    "Sparse": "sparse",
    "load": "results",
    "search": "loop",
}

__all__ = ["DEVICES", "Augment", "Candidate", "Choice", "Config", "ConfigError", "Data", "Device", "Float",
           "Infeasible", "InputError", "Int", "Problem", "SearchSpace", "Sequences", "Sparse", "SparsemodError",
           "Study", "Tensors", "Trial", "load", "search"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sparsemod' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sparsemod.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
