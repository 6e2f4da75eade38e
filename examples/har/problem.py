"""What somebody does, from the sensors of a smartphone: convolutions over time on nine signals of 128 steps.

The file is found below DATA_PATH, in the environment or in a file `.env`; see `datasets.har`. Blocks of neighbouring
windows are held out to validate, as neighbours overlap.
"""

from functools import partial

from sparsemod import Problem, datasets
from sparsemod.spaces import cnn1d

problem = Problem(
    space=cnn1d.space(filters=(4, 48), fc_units=(8, 64), learning_rate=(1e-3, 1e-2), batch_size=(16, 128)),
    build=cnn1d.build,
    load_data=partial(datasets.har, layout="F T"),
    morphisms=cnn1d.MORPHISMS,
)
