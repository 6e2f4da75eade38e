"""Spoken digits from raw samples: a filter bank whose settings are searched, and depthwise-separable convolutions.

`problem` is tested, and validated, on speakers that nothing was learned from; `known_speakers` on other recordings of
the same six, the official test part. The files are found below DATA_PATH, in the environment or in a file `.env`; see
`datasets.fsdd`.
"""

from functools import partial

from sparsemod import Problem, SearchSpace, datasets
from sparsemod.spaces import audio, dscnn

networks = dscnn.space(blocks=4, filters=(8, 48), learning_rate=(2e-3, 2e-2), batch_size=(16, 128))
sounds = audio.parameters(window=(20, 40), stride=(15, 40), filters=(16, 40), coefficients=(0, 10, 13))


def tested_on(speaker):
    """The problem, with this speaker, or the official part, to test on."""
    return Problem(
        space=SearchSpace({**networks, **sounds}),
        build=dscnn.build,
        load_data=partial(datasets.fsdd, features="waveform", test=speaker),
        morphisms=(*dscnn.MORPHISMS, audio.settings),
        frontend=audio.FrontEnds(samples=8_000, rate=8_000),
    )


problem = tested_on("theo")
known_speakers = tested_on("official")
