"""A place for every buffer in one arena, so that buffers that are needed at the same time do not overlap.

The arena has at least the largest sum of bytes that are needed at one step. The smallest arena is hard to find in
general, and the search here stops after a fixed number of tries. Every chain of operators meets that sum, and so do
over 99 % of random graphs of 8 to 40 operators. Of graphs of two to six long branches 84 to 99.9 % do where sizes are
those of images, and 59 to 99 % where they are arbitrary; the others miss it by 5 % on average, 20 % at worst
(`benchmarks/cost.py`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sparsemod.cost.liveness import Buffer

_TRIES = 100


def offsets(buffers: Sequence[Buffer], bound: int) -> list[int]:
    """Start of each buffer.

    Args:
        buffers: In the order in which they are first written.
        bound: Largest sum of bytes that are needed at one step.
    """
    found, end = _from_both_ends(buffers, bound), bound
    while found is None:
        found = _piled(buffers, end)
        end += end // 32 + 1
    return found


def arena(buffers: Sequence[Buffer], starts: Sequence[int]) -> int:
    """Bytes up to the last end of a buffer."""
    return max(start + buffer.size for buffer, start in zip(buffers, starts, strict=True))


def _from_both_ends(buffers: Sequence[Buffer], end: int) -> list[int] | None:
    """Lowest and highest place in turn, so that input and output of an operator lie at opposite ends.

    What is gone after one step lies between them. Every chain of operators fits.
    """
    starts: list[int] = []
    high = False
    for buffer in buffers:
        before = zip(starts, buffers, strict=False)
        taken = [(start, start + other.size) for start, other in before if other.dies >= buffer.born]
        gaps = _gaps(sorted(taken), buffer.size, end)
        if not gaps:
            return None
        starts.append(gaps[-1][1] - buffer.size if high else gaps[0][0])
        high ^= buffer.dies > buffer.born
    return starts


def _gaps(taken: Sequence[tuple[int, int]], size: int, end: int) -> list[tuple[int, int]]:
    """Start and end of all places before `end` that are free and large enough."""
    gaps, free = [], 0
    for start, stop in (*taken, (end, end)):
        if start - free >= size:
            gaps.append((free, start))
        free = max(free, stop)
    return gaps


# --- from the bottom up ----------------------------------------------------------------------------------------------


class _Pile(NamedTuple):
    """Buffers that have a place; the others lie on top of them.

    Attributes:
        starts: By number of the buffer.
        last: Start of the last one; none that follows starts lower.
        heights: Where what is free begins, by step.
        spare: Bytes that may stay empty, by step.
    """

    starts: dict[int, int]
    last: int
    heights: list[int]
    spare: list[int]

    def topped(self, number: int, buffer: Buffer, start: int) -> "_Pile | None":
        """With one more buffer; None if too much stays empty below it."""
        heights, spare = self.heights.copy(), self.spare.copy()
        for step in range(buffer.born, buffer.dies + 1):
            spare[step] -= start - heights[step]
            heights[step] = start + buffer.size
            if spare[step] < 0:
                return None
        return _Pile({**self.starts, number: start}, start, heights, spare)


_URGENCIES: tuple[Callable[[Buffer], int], ...] = (
    lambda buffer: buffer.born,
    lambda buffer: buffer.born - buffer.dies,
    lambda buffer: buffer.size * (buffer.born - 1 - buffer.dies),
    lambda buffer: -buffer.dies,
    lambda buffer: -buffer.size,
)
"""Which of several buffers lies lowest: the one that is written first, needed longest, long and large, needed last, or
the largest."""


def _piled(buffers: Sequence[Buffer], end: int) -> list[int] | None:
    """Places before `end`, lowest first; None if there are none or too many to try."""
    for urgency in _URGENCIES:
        sequence = sorted(range(len(buffers)), key=lambda number: urgency(buffers[number]))
        found = _depth_first(buffers, end, sequence)
        if found is not None:
            return found
    return None


def _depth_first(buffers: Sequence[Buffer], end: int, sequence: Sequence[int]) -> list[int] | None:
    spare = [end] * (max(buffer.dies for buffer in buffers) + 1)
    for buffer in buffers:
        for step in range(buffer.born, buffer.dies + 1):
            spare[step] -= buffer.size
    empty = _Pile({}, 0, [0] * len(spare), spare)
    untried = [(empty, *place) for place in _places(buffers, empty, sequence)]
    for _ in range(len(buffers) + _TRIES):
        if not untried:
            return None
        below, start, number = untried.pop()
        pile = below.topped(number, buffers[number], start)
        if pile is None:
            continue
        if len(pile.starts) == len(buffers):
            return [pile.starts[number] for number in range(len(buffers))]
        untried += [(pile, *place) for place in _places(buffers, pile, sequence)]
    return None


def _places(buffers: Sequence[Buffer], pile: _Pile, sequence: Sequence[int]) -> list[tuple[int, int]]:
    """Start and number of the buffers that can be next, the one to try first last."""
    places = []
    for number in sequence:
        if number not in pile.starts:
            buffer = buffers[number]
            start = max(pile.heights[buffer.born : buffer.dies + 1])
            if start >= pile.last:
                places.append((start, number))
    # A buffer that starts above the end of another one can wait for it.
    end = min((start + buffers[number].size for start, number in places), default=0)
    return sorted([place for place in places if place[0] <= end], key=lambda place: place[0])[::-1]
