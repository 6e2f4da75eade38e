"""Which of nine speakers says a vowel: recurrent layers on sequences of 7 to 26 frames, of which `max_len` are seen.

Only 270 utterances are there to learn from, so that many of them validate, or luck would choose; `sparsemod test`
trains on all of them. RAM and time are far below what the device has: error and size are the objectives.

The file is found below DATA_PATH, in the environment or in a file `.env`; see `datasets.uea`.
"""

from functools import partial

from sparsemod import Int, Problem, SearchSpace, datasets
from sparsemod.spaces import rnn
from sparsemod.spaces.length import max_len

networks = rnn.space(rnn_layers=2, rnn_units=(8, 48), fc_units=(8, 32), learning_rate=(2e-3, 2e-2), batch_size=(8, 64))
problem = Problem(
    space=SearchSpace({**networks, "max_len": Int(8, 26)}),
    build=rnn.build,
    load_data=partial(datasets.uea, "JapaneseVowels", validation=0.4),
    morphisms=(*rnn.MORPHISMS, max_len),
)
