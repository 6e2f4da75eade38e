"""The keys of a configuration. Each is one dataclass field: name, type, default, bounds and help stand here alone."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sparsemod.config.values import Bytes, Millijoules, Milliseconds, Names, Seconds, nearest, text
from sparsemod.device import DEVICES, Device
from sparsemod.errors import InputError
from sparsemod.locate import locate
from sparsemod.objectives import OBJECTIVES

if TYPE_CHECKING:
    from sparsemod.problem import Problem


SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "sobol": "sparsemod.samplers.sobol:Sobol",
        "bayes": "sparsemod.samplers.bayes:Bayes",
        "morph": "sparsemod.samplers.morph:Morph",
        "random": "sparsemod.samplers.random:Random",
        "evolution": "sparsemod.samplers.evolution:Evolution",
        "optuna": "sparsemod.samplers.optuna:Optuna",
        "optuna-nsga2": "sparsemod.samplers.optuna:nsga2",
        "optuna-gp": "sparsemod.samplers.optuna:gp",
        "ax": "sparsemod.samplers.ax:Ax",
        "ax-quality": "sparsemod.samplers.ax:quality",
    }
)
"""Where the samplers are that a stage may name; each is called with (screen, epochs, seed)."""


def _key(default: Any, help: str, **rules: Any) -> Any:
    """A configuration key: `at_least`, `at_most`, `one_of` bound its value; `or_own` lets the user name another."""
    return field(default=default, metadata={"help": help, **rules})


def _sampler(default: str, stage: str) -> Any:
    """Who proposes in a stage."""
    help = f"proposes in the {stage} stage: {', '.join(SAMPLERS)}; or your own, `sampler(screen, epochs, seed)`"
    return _key(default, help, one_of=tuple(SAMPLERS), or_own=True)


@dataclass(frozen=True)
class DefaultSection:
    """What to do with the configuration."""

    train: bool = _key(True, "true: search with [TRAIN]; false: test found networks with [TEST]")


@dataclass(frozen=True)
class TrainSection:
    """The search."""

    name: str = _key("study", "name of the study, a folder below root")
    root: str = _key("results", "folder for results, relative to where the command runs")
    r1: int = _key(20, "candidates of the quasi-random stage", at_least=0)
    r2: int = _key(20, "rounds of the Gaussian-process stage", at_least=0)
    r3: int = _key(20, "rounds of the morphism stage", at_least=0)
    epochs1: int = _key(1, "epochs per candidate in the quasi-random stage", at_least=1)
    epochs2: int = _key(5, "epochs per candidate in the Gaussian-process stage", at_least=1)
    epochs3: int = _key(10, "epochs per candidate in the morphism stage", at_least=1)
    finish_epochs: int | None = _key(
        None,
        "in the end each network of the front is trained on to this many epochs, those of its ancestors counted; "
        "empty: as many as any of them has seen; 0: never",
        at_least=0,
    )
    early_stopping: bool = _key(
        True,
        "give a candidate up once one that costs no more in any objective is far better",
    )
    objectives: Names = _key(
        Names(OBJECTIVES),
        "1 to 4 (error, + model_size, + working_memory, + latency) or a list of names; also: energy, or what the "
        "problem's own `costs` or `objective` gives",
    )
    sampler1: "str | Callable[..., Any]" = _sampler("sobol", "quasi-random")
    sampler2: "str | Callable[..., Any]" = _sampler("bayes", "Gaussian-process")
    sampler3: "str | Callable[..., Any]" = _sampler("morph", "morphism")
    batch_size: int = _key(1, "candidates proposed per Gaussian-process round; they run in parallel", at_least=1)
    quant_scheme: str = _key(
        "post",
        "post: int8; dynamic: int8 weights of linear and recurrent layers; both: each module says; none: float32",
        one_of=("post", "dynamic", "both", "none"),
    )
    schedule: str = _key(
        "step",
        "how the learning rate falls: step, by `learning_gamma` every `learning_step` epochs; cosine, to zero; "
        "one-cycle, after a rise. A searched parameter `learning_schedule` overrides it",
        one_of=("step", "cosine", "one-cycle"),
    )
    label_smoothing: float = _key(
        0.0,
        "share of a label that is spread over all classes; a searched parameter of that name overrides it",
        at_least=0,
        at_most=1,
    )
    distillation: float = _key(
        0.5,
        "weight of the problem's `teacher`, if it has one, against the labels; a searched parameter of that name "
        "overrides it",
        at_least=0,
        at_most=1,
    )
    qat_epochs: int = _key(
        0, "epochs of quantization-aware training after the others: weights and activations rounded as int8", at_least=0
    )
    pruning: bool = _key(True, "prune while training, as `prune_threshold`, `prune_pattern` and `prune_channels` say")
    morphisms: bool = _key(True, "false skips the morphism stage")
    splitter: bool = _key(
        False,
        "cut sequences into windows of the searched parameter `max_len`, each a sample; false: cut or pad each to it",
    )
    streaming: bool = _key(
        False,
        "recurrent networks take one step of a sequence at a time and keep their states between; only a step lies in "
        "memory, and latency is that of one",
    )
    flops: float = _key(
        0.0, "operations per second of the device; latency is then MACs / flops. 0: use the device's table", at_least=0
    )
    max_error: float = _key(
        1.0,
        "errors from here on count nothing: the reference point of the hypervolume; a hard limit where the error is no "
        "objective: `objectives = model_size` finds the smallest network of at most this error. Not set, an error of "
        "the problem's own is judged by its first trials",
        above=0,
    )
    seed: int = _key(0, "of every random number of the search", at_least=0, at_most=2**32 - 1)
    tolerance: float = _key(
        0.0,
        "a stage ends when the hypervolume grew by less than this share over `patience` rounds; 0: never",
        at_least=0,
    )
    patience: int = _key(10, "rounds over which `tolerance` is measured", at_least=1)
    time_limit: Seconds = _key(Seconds(0), "wall-clock limit of the search, such as 20 min or 2 h; 0: none", at_least=0)
    min_error: float = _key(0.0, "stop once a network within the limits has at most this error; 0: never", at_least=0)
    max_failures: int = _key(5, "stop after this many failed candidates in a row", at_least=1)
    debug: bool = _key(False, "show the full traceback of every failed candidate")


@dataclass(frozen=True)
class TestSection:
    """The test of found networks."""

    __test__ = False

    name: str = _key("study", "name of the study")
    root: str = _key("results", "folder for results")
    arm: int = _key(-1, "number of the candidate to retrain and test; -1: every network of the front", at_least=-1)
    seeds: int = _key(3, "trainings of each network, from different random numbers", at_least=1)
    epochs: int | None = _key(
        None,
        "epochs of each training; empty: as many as the network has seen in the search, those of its ancestors counted",
        at_least=1,
    )
    folds: str = _key(
        "none",
        "none: train on train + validation, test on the test set; groups: for each group (subject, speaker) of all the "
        "data, train on the others and test on it",
        one_of=("none", "groups"),
    )
    objectives: Names = _key(Names(OBJECTIVES), "as in [TRAIN]")
    quant_scheme: str = _key(
        "", "post, dynamic, both or none; empty: as in [TRAIN]", one_of=("", "post", "dynamic", "both", "none")
    )
    pruning: bool | None = _key(None, "true or false; empty: as in [TRAIN]")
    splitter: bool | None = _key(None, "true or false; empty: as in [TRAIN]")


@dataclass(frozen=True)
class ProblemSection:
    """What to search."""

    problem: "str | Problem" = _key(
        "", "package.module:name or path/to/file.py:name, relative to the configuration file"
    )


@dataclass(frozen=True)
class DeviceSection:
    """Where the network must run. A limit left empty is the device's own."""

    device: str | Device = _key(
        "arduino-uno",
        f"preset: {', '.join(DEVICES)}; or a sparsemod.Device of your own, as module:name or file.py:name",
        one_of=tuple(DEVICES),
        or_own=True,
    )
    model_size: Bytes | None = _key(None, "flash for the weights, such as 16 KB", above=0)
    working_memory: Bytes | None = _key(None, "RAM for the activations, such as 2 KB", above=0)
    latency: Milliseconds | None = _key(None, "time of one inference, such as 20 ms", above=0)
    energy: Millijoules | None = _key(None, "energy of one inference, such as 0.5 mJ", above=0)
    cost: str = _key("", "a cost model of your own, `cost(graph, device)`, as module:name or file.py:name")


@dataclass(frozen=True)
class RunSection:
    """How candidates are evaluated."""

    executor: str = _key("serial", "serial, processes or ray", one_of=("serial", "processes", "ray"))
    workers: int = _key(
        0,
        "candidates evaluated at the same time; 0: one per processor core, on a Ray cluster as many as it has room for",
        at_least=0,
    )
    address: str = _key("", "Ray cluster: empty for one on this machine, auto, HOST:PORT, or ray://HOST:PORT")
    accelerator: str = _key(
        "auto",
        "where networks are trained, as PyTorch names it: cpu, cuda, cuda:1, mps or another; all workers of a machine "
        "share it. auto: a GPU if `gpus_per_candidate` gives each candidate a share of one, else cpu",
    )
    cpus_per_candidate: float = _key(1.0, "processor cores for each candidate (ray)", at_least=0)
    gpus_per_candidate: float = _key(0.0, "share of a GPU for each candidate, which trains there (ray)", at_least=0)
    memory_per_candidate: Bytes | None = _key(
        None, "a worker process that takes more, such as 2 GB, is killed (Linux; processes, ray)", above=0
    )
    retries: int = _key(
        2, "how often a candidate is tried again after its worker was killed or its machine lost (ray)", at_least=0
    )
    runtime_env: str = _key(
        "",
        "what a Ray cluster must be sent: a folder with the problem's files, relative to the configuration file, or "
        'Ray\'s own description such as {"working_dir": ".", "pip": ["librosa"]}; empty: nothing',
    )


def find_device(device: str | Device, folder: Path | None = None) -> Device:
    """A device from the name of a preset, or from the place where the user's own one is.

    Args:
        device: A preset, `package.module:name` or `path/to/file.py:name`; a `Device` is returned as it is.
        folder: What a relative path is relative to; the current folder if not given.

    Raises:
        InputError: There is no such device.
    """
    if isinstance(device, str) and ":" not in device and device not in DEVICES:
        raise InputError(
            f"{device!r} is not a device{nearest(device, tuple(DEVICES))} `sparsemod devices` lists them; your own one "
            "is named as file.py:name"
        )
    found = DEVICES.get(device) or locate(device, folder, Device) if isinstance(device, str) else device
    if not isinstance(found, Device):
        raise InputError(f"{device} is a {type(found).__name__}; it must be a sparsemod.Device")
    return found


@dataclass(frozen=True)
class Config:
    """A whole configuration, checked.

    Attributes:
        folder: What the paths of a problem, a device and a cost model are relative to.
        origins: Where each value came from, by (section, key); `default` for those not in it.
    """

    default: DefaultSection = DefaultSection()
    train: TrainSection = TrainSection()
    test: TestSection = TestSection()
    problem: ProblemSection = ProblemSection()
    device: DeviceSection = DeviceSection()
    run: RunSection = RunSection()
    folder: Path = Path()
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False, hash=False)

    def target(self) -> Device:
        """The device, with the `flops` model if one is configured."""
        return dataclasses.replace(find_device(self.device.device, self.folder), flops=self.train.flops or None)

    def limits(self) -> dict[str, float]:
        """Hard upper limits by objective name: bytes, milliseconds and millijoules."""
        own = {name: getattr(self.device, name) for name in ("model_size", "working_memory", "latency", "energy")}
        return self.target().limits() | {name: float(limit) for name, limit in own.items() if limit is not None}

    def study_folder(self) -> Path:
        """Folder of the study's results."""
        return Path(self.train.root) / self.train.name

    def test_folder(self) -> Path:
        """Folder of the study to test."""
        return Path(self.test.root) / self.test.name

    def seen_from(self, folder: Path) -> "Config":
        """The same configuration in another folder: what is named by a relative path is found from there."""

        def moved(values: Any, *names: str) -> Any:
            return dataclasses.replace(
                values, **{name: _moved(getattr(values, name), self.folder, folder) for name in names}
            )

        return dataclasses.replace(
            self,
            train=moved(self.train, "sampler1", "sampler2", "sampler3"),
            problem=moved(self.problem, "problem"),
            device=moved(self.device, "device", "cost"),
            folder=folder,
        )

    def items(self) -> list[tuple[str, str, str, str]]:
        """Section, key, value as it would stand in a file, and origin, of every key."""
        return [
            (section, key.name, text(getattr(values, key.name)), self.origins.get((section, key.name), "default"))
            for section, values in ((name, getattr(self, name.lower())) for name in SECTIONS)
            for key in fields(values)
        ]

    def to_ini(self) -> str:
        """The whole configuration as a file that reads back to the same values."""
        lines: list[str] = []
        for section, key, value, _ in self.items():
            if f"[{section}]" not in lines:
                lines += ([""] if lines else []) + [f"[{section}]"]
            lines.append(f"{key} = {value}".rstrip())
        return "\n".join(lines) + "\n"


def _moved(name: Any, old: Path, new: Path) -> Any:
    """A name like `path/to/file.py:name`, relative to another folder; whatever else it is stays."""
    place, _, attribute = name.rpartition(":") if isinstance(name, str) else ("", "", "")
    if not place.endswith(".py") or Path(place).is_absolute():
        return name
    file = (old / place).resolve()
    try:
        return f"{Path(os.path.relpath(file, new.resolve())).as_posix()}:{attribute}"
    except ValueError:  # on Windows there is no way from one drive to another
        return f"{file.as_posix()}:{attribute}"


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "DEFAULT": DefaultSection,
        "TRAIN": TrainSection,
        "TEST": TestSection,
        "PROBLEM": ProblemSection,
        "DEVICE": DeviceSection,
        "RUN": RunSection,
    }
)
"""Every section of a configuration file, in order."""


def keys(section: str) -> list[str]:
    """Names of the keys of a section."""
    return [key.name for key in fields(SECTIONS[section])]
