"""How many steps of a sequence a network sees: the parameter `max_len`, for any family of networks and `Sequences`.

It is no part of the families, as it belongs to the data:

    space = SearchSpace({**rnn.space(), "max_len": Int(8, 26)})
    problem = Problem(space, rnn.build, load_data, (*rnn.MORPHISMS, max_len))
"""

import numpy as np

from sparsemod.space import Parameters, SearchSpace, Value
from sparsemod.spaces.moves import scaled


def max_len(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """More or fewer steps, by up to a factor of two; weights of recurrent layers and convolutions fit any number."""
    return scaled(parameters, space, rng, "max_len") if "max_len" in parameters else None
