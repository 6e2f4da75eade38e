"""The settings of a filter bank as parameters, for any space of networks that read images or sequences.

    space = SearchSpace({**cnn.space(), **audio.parameters()})
    problem = Problem(space, cnn.build, load_data, (*cnn.MORPHISMS, audio.settings),
                      frontend=audio.FrontEnds(samples=8_000, rate=8_000))

The data of such a problem are raw samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsemod.errors import InputError
from sparsemod.frontend import FilterBank
from sparsemod.space import Choice, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.moves import moved


def parameters(
    *,
    window: tuple[int, int] = (20, 40),
    stride: tuple[int, int] = (10, 40),
    filters: tuple[int, int] = (10, 40),
    coefficients: Sequence[int] = (),
) -> dict[str, Parameter]:
    """`fe_window`, `fe_stride`, `fe_filters` and, if there are options for it, `fe_coefficients`.

    Args:
        window: Shortest and longest window of a frame, ms.
        stride: Shortest and longest time from one frame to the next, ms.
        filters: Fewest and most mel filters.
        coefficients: Options for the number of cepstral coefficients, such as (0, 10, 13); 0 are the logarithms of the
            filters themselves.

    Raises:
        InputError: There are more coefficients than the fewest filters.
    """
    if max(coefficients, default=0) > filters[0]:
        raise InputError(
            f"coefficients are up to {max(coefficients)} and filters from {filters[0]} on; there can be no more "
            "coefficients than filters, so raise the fewest filters or leave out options"
        )
    found: dict[str, Parameter] = {"fe_window": Int(*window), "fe_stride": Int(*stride), "fe_filters": Int(*filters)}
    return found | ({"fe_coefficients": Choice(coefficients)} if coefficients else {})


@dataclass(frozen=True)
class FrontEnds:
    """`Problem.frontend`: the filter bank that the parameters of a candidate say.

    Attributes:
        samples: Of a clip.
        rate: Samples per second.
        low: Hz, lower corner of the first filter.
        high: Hz, upper corner of the last; half the rate if not given.
        layout: `1 T F` for spaces that read images, `T F` for those that read sequences.
    """

    samples: int
    rate: int
    low: float = 60.0
    high: float | None = None
    layout: str = "1 T F"

    def __call__(self, parameters: Parameters) -> FilterBank:
        """The filter bank; raises `Infeasible` for settings that make none."""
        return FilterBank(
            samples=self.samples,
            rate=self.rate,
            window_ms=float(parameters["fe_window"]),
            stride_ms=float(parameters["fe_stride"]),
            filters=int(parameters["fe_filters"]),
            coefficients=int(parameters.get("fe_coefficients", 0)),
            low=self.low,
            high=self.high,
            layout=self.layout,
        )


def settings(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One of the settings of the filter bank moved; the network stays."""
    names = [name for name in parameters if name.startswith("fe_")]
    if not names:
        return None
    return moved(parameters, space, rng, names[rng.integers(len(names))])
