"""How the weights of a layer lie in flash: in the smallest of these encodings.

    dense    every weight: a byte, or four of a float32
    packed   every weight in 4 bits, two to a byte, or in 2 bits, four to a byte
    bitmap   a bit per weight that says whether it is not zero; then the values that are not
    runs     before each weight that is not zero the number of zeros, in 4 or 8 bits; then the values that are not

A value behind an index has the bits of its layer; of a ternary one (2 bits) only the sign is left. Numbers of less than
a byte fill it from its lowest bits. The largest number of a run, 15 or 255, is as many zeros with no weight after them.

Base 3 would hold five ternary weights in a byte, 1.6 bits each. A bitmap and signs take 1 + d bits where a share d is
not zero: less if d is below 60 %, and the scale that `compress` chooses leaves 54 % of normally distributed weights. In
a trained network for digits d was 56 to 69 %, and base 3 no smaller in all: not worth a kernel that divides by weight.

Weights of an N:M pattern could name their places in their group, log2(M) bits each. In 8 bits 2:4 then takes 5 bits per
weight, as with a bitmap, 1:4 takes 2.5 instead of 3, and 1:8 1.4 instead of 1.6 with runs: not worth a kernel either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsemod.graph import Operator

RUN_BITS = {"runs4": 4, "runs8": 8}
"""Bits of one run, by encoding."""
_INDEXES = ("bitmap", *RUN_BITS)


@dataclass(frozen=True)
class Encoding:
    """How the weights of one layer are stored.

    Attributes:
        name: dense, packed, bitmap, runs4 or runs8.
        bits: Of one stored value: 32, 8, 4, 2, or 1 for a sign.
        nbytes: Of the index, if it has one, and the values.
    """

    name: str
    bits: int
    nbytes: int


def smallest(operator: Operator) -> Encoding:
    """The encoding of an operator with weights; that of all weights without values, and where each is looked up."""
    assert operator.weight is not None
    bits, count = bits_per_weight(operator), operator.weight.numel()
    everything = Encoding("packed" if bits < 8 else "dense", bits, _nbytes(count, bits))
    if operator.weight.is_meta or operator.kind in ("layer_norm", "embedding"):
        return everything
    nonzero = (operator.weight != 0).flatten().cpu().numpy()
    values = _nbytes(int(np.count_nonzero(nonzero)), _value_bits(operator))
    indexed = [Encoding(name, _value_bits(operator), len(_index(nonzero, name)) + values) for name in _INDEXES]
    return min(everything, *indexed, key=lambda encoding: encoding.nbytes)


def stored(weight: np.ndarray, encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of weights.

    Args:
        weight: int8 or float32, any shape.
        encoding: As `smallest` chose it for them.

    Returns:
        Index, empty if every weight is stored, and values; both uint8, but values of 32 bits, which are float32.

    Example:
        >>> stored(np.array([0, 0, 3, 0, -1], np.int8), Encoding("runs4", 4, 2))  # after 2 zeros 3, after 1 more -1
        (array([18], dtype=uint8), array([243], dtype=uint8))
    """
    flat, index = weight.reshape(-1), np.empty(0, np.uint8)
    if encoding.name not in ("dense", "packed"):
        flat, index = flat[flat != 0], _index(flat != 0, encoding.name)
    if encoding.bits == 32:
        return index, flat
    return index, _packed(flat < 0 if encoding.bits == 1 else flat, encoding.bits)


def largest(operators: Sequence[Operator], zeros: int) -> int:
    """Bytes that layers without values take at most, wherever so many of their weights become zero.

    Every layer takes its smallest encoding, so the same one for all layers is a bound.
    """
    everything = sum(smallest(operator).nbytes for operator in operators)
    return min(everything, *(_bound(operators, zeros, name) for name in _INDEXES))


def _bound(operators: Sequence[Operator], zeros: int, name: str) -> int:
    """With one index for all layers.

    A layer of z zeros and k other weights has at most k + ceil(z / most) runs. A zero thus saves the same part of the
    index wherever it lies, and its value: the least where values are smallest.
    """
    entry = RUN_BITS.get(name, 1)
    most: int = 2**entry - 1
    parts = 0  # of a bit, `most` to one
    for operator in sorted(operators, key=_value_bits):
        assert operator.weight is not None
        count, value = operator.weight.numel(), _value_bits(operator)
        here = min(zeros, count)
        zeros -= here
        parts += most * ((count - here) * value + max(8 - value, 0))  # of the last byte a part may be empty
        if name == "bitmap":
            parts += most * 8 * _nbytes(count, 1)
        else:
            parts += entry * (most * (count - here) + here + most - 1) + most * (8 - entry)
    return parts // (8 * most)


def bits_per_weight(operator: Operator) -> int:
    """32 of float32 weights, else 8, 4 or 2."""
    return 32 if operator.weight_itemsize == 4 else operator.weight_bits


def _value_bits(operator: Operator) -> int:
    """Of a weight that is known not to be zero."""
    bits = bits_per_weight(operator)
    return 1 if bits == 2 else bits


def _nbytes(count: int, bits: int) -> int:
    return -(-count * bits // 8)


def _index(nonzero: np.ndarray, name: str) -> np.ndarray:
    if name == "bitmap":
        return np.packbits(nonzero, bitorder="little")
    return _packed(_runs(nonzero, 2 ** RUN_BITS[name] - 1), RUN_BITS[name])


def _runs(nonzero: np.ndarray, most: int) -> np.ndarray:
    """Zeros before each weight, and after the last if there are any; in numbers of at most `most`."""
    zeros = np.diff(np.flatnonzero(nonzero), prepend=-1, append=len(nonzero)) - 1
    whole, rest = np.divmod(zeros, most)
    ends = np.cumsum(whole + 1) - 1
    runs = np.full(ends[-1] + 1, most)
    runs[ends] = rest
    return runs if rest[-1] else runs[:-1]


def _packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The lowest bits of each number, one behind the other."""
    columns = np.unpackbits(numbers.astype(np.uint8)[:, None], axis=1, bitorder="little")
    return np.packbits(columns[:, :bits], bitorder="little")
