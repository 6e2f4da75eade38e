"""Spoken digits from ten cepstral coefficients of 49 frames: depthwise-separable convolutions, as for keywords.

The files are found below DATA_PATH, in the environment or in a file `.env`; see `datasets.fsdd`. Give it `test="theo"`
to test, and validate, on speakers that nothing was learned from.
"""

from functools import partial

from sparsemod import Augment, Problem, datasets
from sparsemod.spaces import dscnn

problem = Problem(
    space=dscnn.space(blocks=4, filters=(8, 64), learning_rate=(1e-3, 1e-2), batch_size=(16, 128)),
    build=dscnn.build,
    load_data=partial(datasets.fsdd, layout="1 T F", augment=Augment(shift=2)),
    morphisms=dscnn.MORPHISMS,
)
