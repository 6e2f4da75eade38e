"""`Problem`: everything the user brings, as one object."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsemod.errors import InputError
from sparsemod.locate import locate
from sparsemod.objectives import is_number
from sparsemod.space import Parameters, SearchSpace, Value

if TYPE_CHECKING:
    import numpy as np
    from ax.core.search_space import SearchSpace as AxSearchSpace
    from torch import Tensor, nn

    from sparsemod.data import Batch, Data
    from sparsemod.frontend import FrontEnd
    from sparsemod.study import Candidate

Build = Callable[[Parameters, tuple[int, ...], int], "nn.Module"]
Morphism = Callable[[Parameters, SearchSpace, "np.random.Generator"], Mapping[str, Value] | None]

TRAINING_DEFAULTS: Mapping[str, Value] = {
    "learning_rate": 3e-3,
    "learning_gamma": 0.3,
    "learning_step": 5,
    "batch_size": 64,
    "learning_schedule": "step",
    "label_smoothing": 0.0,
    "distillation": 0.5,
    "prune_threshold": 0.0,
    "prune_pattern": "element",
    "prune_channels": 0.0,
}
"""Values of the training parameters that a search space leaves out.

- learning_rate, learning_gamma, learning_step, batch_size: see `sparsemod.train.train`.
- prune_threshold: share of the weights that are zero in the end.
- prune_pattern: `element`: any weights may be; or N:M such as `2:4`: at most N of each M weights along the inputs of a
  layer are not, and `prune_threshold` says nothing.
- prune_channels: share of the channels of every group that go together which is removed for good.

A parameter `qat_epochs` replaces `[TRAIN] qat_epochs`. `[TRAIN] pruning = false` leaves all three kinds of pruning out.

Those of `learning_schedule`, `label_smoothing` and `distillation` are the keys `schedule`, `label_smoothing` and
`distillation` of `[TRAIN]`.
"""


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
        train: Replaces the built-in training loop; same arguments as `sparsemod.train.train`, without the teacher. It
            is called for each part of a training: before channels are removed, after that, and for quantization-aware
            training.
        loss: `loss(outputs, y)` gives what the built-in training makes small, a tensor of one number, in place of the
            cross entropy; real targets of as many numbers as the outputs come in their shape. For whatever is no
            classification: regression, an autoencoder (`y` are the inputs), a ranking.
        error: `error(outputs, y, x)` gives the error from all outputs of the integer network, in real units, with their
            labels or targets and inputs, in place of the share of wrong classes; at least 0, and it may be above 1.
            `sparsemod.metrics` has the usual ones.
        teacher: `teacher(data)` gives a trained network, loaded or trained on `data.train`, once per process; what is
            built learns from its scores, too (`[TRAIN] distillation`). It gets the inputs that a candidate gets. A
            `train` of one's own is not told of it.
        costs: `costs(parameters)` gives exact costs by name, instead of the cost of the traced network.
        objective: `objective(candidate)` gives scores by name and replaces everything from building to scoring.
        limits: Hard upper limits by name, beside those of the device; these hold for an objective of one's own only if
            the configuration names a device. What `costs` gives is never proposed beyond its limit; what only an
            evaluation tells is learned.
        frontend: `frontend(parameters)` makes what turns raw samples into the input of a candidate, such as a
            `sparsemod.frontend.FilterBank`. The data then hold raw samples, int16: `Tensors` (N, S), or `Sequences`.
            Its flash, RAM and time count, and its C is exported. It raises `Infeasible` for parameters that make none.

    Raises:
        InputError: A name is taken, a part is missing, or a limit is no number.
    """

    space: SearchSpace
    build: Build | None = None
    load_data: "Callable[[], Data] | None" = None
    morphisms: Sequence[Morphism] = ()
    collate: "Callable[[Sequence[Any], Parameters], Batch] | None" = None
    train: Callable[..., None] | None = None
    loss: "Callable[[Tensor, Tensor], Tensor] | None" = None
    error: "Callable[[Tensor, Tensor, Tensor], float] | None" = None
    teacher: "Callable[[Data], nn.Module] | None" = None
    costs: Callable[[Parameters], Mapping[str, float]] | None = None
    objective: "Callable[[Candidate], Mapping[str, float]] | None" = None
    limits: Mapping[str, float] = field(default_factory=dict, hash=False)
    frontend: "Callable[[Parameters], FrontEnd] | None" = None

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
        if self.teacher is not None and self.loss is not None:
            raise InputError("a teacher teaches classes, by cross entropy; leave out the teacher or the loss")
        both = [name for name in ("collate", "teacher") if getattr(self, name) is not None]
        if self.frontend is not None and both:
            raise InputError(
                f"a Problem has a frontend and a {' and a '.join(both)}: the front end alone says what a candidate "
                "gets, and it differs from one to the other; leave out one of them"
            )
        wrong = [f"{name} is {limit!r}" for name, limit in self.limits.items() if not _is_finite(limit)]
        if wrong:
            raise InputError(f"limits must be finite numbers, but {', '.join(wrong)}; leave out what has no limit")
        object.__setattr__(self, "limits", {name: float(limit) for name, limit in self.limits.items()})

    def frontend_of(self, parameters: Parameters) -> "FrontEnd | None":
        """What makes the input of a candidate from raw samples, if anything does."""
        return None if self.frontend is None else self.frontend(parameters)


def _is_finite(value: object) -> bool:
    return is_number(value) and math.isfinite(float(value))  # type: ignore[arg-type]  # just tried


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
