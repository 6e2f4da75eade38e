"""Spoken digits from ten cepstral coefficients of 49 frames: depthwise-separable convolutions, as for keywords.

The files are found below DATA_PATH, in the environment or in a file `.env`; see `datasets.fsdd`. Give it `test="theo"`
to test, and validate, on speakers that nothing was learned from.
"""

from functools import partial

from sparsemod import Problem, datasets
from sparsemod.spaces import dscnn

problem = Problem(
    space=dscnn.space(blocks=4, filters=(8, 48), learning_rate=(2e-3, 2e-2), batch_size=(16, 128)),
    build=dscnn.build,
    load_data=partial(datasets.fsdd, layout="1 T F"),
    morphisms=dscnn.MORPHISMS,
)
