"""`FrontEnd`: what stands between the samples of a sensor and a network."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class FrontEnd(Protocol):
    """Integer arithmetic from a clip of raw samples to the int8 input of a network.

    One of your own is a frozen dataclass of plain values at the top of a module, so that it can be compared, sent to
    another process and stored with a network by its name and its values.

    Its C is a file `frontend.c` with a header `frontend.h` that defines a type `Frontend`, all RAM of a front end, and

        void frontend_start(Frontend *f);                begins a clip
        int frontend_push(Frontend *f, const int16_t *samples, long count, int8_t *features);

    of which the second takes any number of further samples, writes features as soon as they are known, and returns 1
    once all of them are written, else 0; it ignores the samples that follow.
    """

    @property
    def samples(self) -> int:
        """Raw samples of a clip, S."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the features of a clip, without the batch."""

    @property
    def scale(self) -> float:
        """Real value of one step of a feature; the network reads `feature * scale`."""

    @property
    def flash_bytes(self) -> int:
        """Constants of the C code."""

    @property
    def ram_bytes(self) -> int:
        """Size of `Frontend` in C, a multiple of 4: everything it needs beside the samples given and the features."""

    @property
    def macs(self) -> int:
        """Work for one clip in multiply-accumulates of a linear layer."""

    def __hash__(self) -> int:
        """Equal front ends are equal in all of this, and then features are computed once."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Features (N, *output shape), int8, of clips (N, S), int16: bit for bit what the C code gives."""

    def c_source(self) -> Mapping[str, str]:
        """Text of `frontend.h` and `frontend.c`: C99 without floating point, allocation or static memory."""
