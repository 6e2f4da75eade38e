"""`Sparse`: a search by the keywords of the earlier SpArSeMod, so that its scripts run after a change of the import.

    from sparsemod import Sparse

    sparse = Sparse(r1=20, r2=20, r3=20, epochs1=1, epochs2=5, epochs3=10, name="gestures", root="results",
                    objectives=3, datasets=(train, test), classes=8, search_space=space, net=Net, collate_fn=collate)
    study = sparse.run_sparse()

What is new in a script is better said with `Problem` and `search`: see `docs/own_problem.md`.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.data import DataLoader

from sparsemod.config import Config, from_keywords
from sparsemod.config.sections import keys
from sparsemod.config.values import nearest
from sparsemod.data import Batch, Data
from sparsemod.device import DEVICES
from sparsemod.errors import InputError
from sparsemod.loop import search
from sparsemod.problem import Morphism, Problem
from sparsemod.space import Parameter, Parameters, SearchSpace
from sparsemod.study import Study

if TYPE_CHECKING:
    from ax.core.search_space import SearchSpace as AxSearchSpace

_log = logging.getLogger(__name__)

_SETTINGS = [key for section in ("TRAIN", "DEVICE", "RUN") for key in keys(section)]
_PARTS = ["datasets", "classes", "search_space", "net", "quant_params", "collate_fn", "morpher_ops", "trainer"]


class Sparse:
    """A search, told what it is by keywords.

    Args:
        net: `net(parameters, classes, input_shape)`, a class or a function, makes an `nn.Module`; neither stubs nor a
            `fuse_model` are needed, and both do no harm.
        search_space: An Ax `SearchSpace`, a `sparsemod.SearchSpace`, or its parameters by name.
        datasets: `Data`; or torch data sets, or loaders, as (train, test) or (train, validation, test). Of two, a tenth
            of each class of the first validates: nothing is chosen by the test set.
        classes: How many, or their names; `net` gets what is given here.
        collate_fn: `collate_fn(samples)` or `collate_fn(samples, parameters)` joins samples to a batch (x, y).
        trainer: A function with the arguments of `sparsemod.train.train`, in place of the built-in training.
        morpher_ops: Functions `(parameters, space, rng) -> parameters or None`; without any there is no third stage.
        quant_params: Accepted and ignored: scales follow from calibration.
        settings: Keys of [TRAIN], [DEVICE] and [RUN] by name: `r1` to `r3`, `epochs1` to `epochs3`, `name`, `root`,
            `objectives`, `batch_size`, `debug`, `flops`, `quant_scheme`, `morphisms`, `pruning`, `splitter`, and those
            that are new, such as `device`. There was no device: without one the limits are those of the largest preset.

    Raises:
        InputError: All unknown keywords together, each with the nearest known one; or a part that cannot be used.
    """

    def __init__(
        self,
        *,
        net: Callable[..., nn.Module],
        search_space: "SearchSpace | Mapping[str, Parameter] | AxSearchSpace",
        datasets: "Data | Sequence[Any]",
        classes: int | Sequence[str],
        collate_fn: Callable[..., Batch] | None = None,
        trainer: Callable[..., None] | None = None,
        morpher_ops: Sequence[Morphism] | None = None,
        quant_params: object = None,
        **settings: Any,
    ) -> None:
        unknown = [name for name in settings if name not in _SETTINGS]
        if unknown:
            lines = [f"  {name}: is not a keyword{nearest(name, [*_PARTS, *_SETTINGS])}" for name in unknown]
            raise InputError("\n".join(["Sparse cannot use these keywords", *lines]))
        if quant_params is not None:
            _log.warning("quant_params is ignored: all scales follow from calibration, of int8 by `quant_scheme`")
        space: Any = search_space
        self.problem = Problem(
            SearchSpace(space) if isinstance(space, Mapping) and not isinstance(space, SearchSpace) else space,
            functools.partial(_built, net, classes),
            functools.partial(_loaded, datasets, classes if isinstance(classes, int) else len(classes)),
            _checked_ops(morpher_ops or ()),
            collate=_with_parameters(collate_fn),
            train=_checked_trainer(trainer),
        )
        self.config: Config = from_keywords(problem=self.problem, **_with_device(settings))

    def run_sparse(self) -> Study:
        """Runs the search, or goes on with one of this name that was interrupted.

        Raises:
            InputError: Something that was given cannot be used.
            SparsemodError: The search failed.
        """
        return search(self.config)


def _built(
    net: Callable[..., nn.Module],
    classes: int | Sequence[str],
    parameters: Parameters,
    input_shape: tuple[int, ...],
    num_classes: int,
) -> nn.Module:
    """A module of the old signature under the new one; at the top of this file so that it reaches other processes."""
    return net(parameters, classes, input_shape)


def _loaded(datasets: "Data | Sequence[Any]", classes: int) -> Data:
    if isinstance(datasets, Data):
        return datasets
    parts = list(datasets)
    if not 1 <= len(parts) <= 3:
        raise InputError(f"datasets has {len(parts)} parts; it must be (train, test) or (train, validation, test)")
    train, test = parts[0], parts[-1] if len(parts) > 1 else None
    make = Data.from_loaders if isinstance(train, DataLoader) else Data.from_datasets
    return make(train, test, num_classes=classes, validation=parts[1] if len(parts) == 3 else 0.1)


def _with_parameters(collate: Callable[..., Batch] | None) -> Callable[[Sequence[Any], Parameters], Batch] | None:
    """A `collate_fn` of one argument is one of two that does not read the second."""
    if collate is None or len(inspect.signature(collate).parameters) >= 2:
        return collate
    return functools.partial(_without_parameters, collate)


def _without_parameters(collate: Callable[..., Batch], samples: Sequence[Any], parameters: Parameters) -> Batch:
    return collate(samples)


def _checked_ops(operators: Sequence[Morphism]) -> Sequence[Morphism]:
    strange = next((each for each in operators if not callable(each)), None)
    if strange is not None:
        raise InputError(
            f"morpher_ops holds {strange!r}; each must be a function (parameters, space, rng) -> parameters or None"
        )
    return operators


def _checked_trainer(trainer: Callable[..., None] | None) -> Callable[..., None] | None:
    if isinstance(trainer, type) or (trainer is not None and not callable(trainer)):
        kind = "the class " + trainer.__name__ if isinstance(trainer, type) else f"a {type(trainer).__name__}"
        raise InputError(
            f"trainer is {kind}; it must be a function train(network, split, parameters, epochs, rng, after_step, "
            "collate), which trains the network in place"
        )
    return trainer


def _with_device(settings: Mapping[str, Any]) -> dict[str, Any]:
    if "device" in settings:
        return dict(settings)
    largest = max(DEVICES.values(), key=lambda device: device.ram_bytes)
    _log.info("no device is given: the limits are those of %s; say device=...", largest.name)
    return {**settings, "device": largest.name}
