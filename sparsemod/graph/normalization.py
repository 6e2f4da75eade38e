"""Layer normalization in integers: to zero mean and unit variance, then one weight and one bias per element [Ba2016].

With x the n integers that are normalized together, without their zero point, and s their scale:

    v = (n * sum x^2 - (sum x)^2) * 2^k + e         the variance times n^2 * 2^k; e = round(eps * n^2 * 2^k / s^2)
    r = floor(sqrt(v))                              the standard deviation times n * 2^(k/2)
    q = floor(((n * x - sum x) * 2^(f+k/2) + r // 2) / r)                            in steps of 2^-f

and then acc = q * w + bias is brought back to eight bits like every other sum (see `network`).

Everything fits. With n <= 2^14 and |x| <= 255, sum x^2 is below 2^30 and n * sum x^2 - (sum x)^2 <= n^2 * 255^2 / 4,
which is below n^2 * 2^14. k is the largest even number with n^2 * (2^14 + eps / s^2) * 2^k < 2^53, where
n^2 * eps / s^2 counts at most 2^52, and e is at least 1: v is exact in a float64, and r from 1 to 2^27.
|n * x - sum x| < n * 2^8 and n * 2^(k/2) < 2^20, so the dividend stays below 2^(29+f). f is 18 - ceil(log2(n) / 2), so
that |q| <= sqrt(n) * 2^f, which is at most 2^18, and a thousandth more since r is rounded down. The sum is then below
2^26 + 2^29 (`compress.quantize` holds biases to 2^29): 32 bits, and below 2^53 times a multiplier.

[Ba2016] Layer normalization, arXiv 1607.06450.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_COUNT = 2**14
"""Elements that may be normalized together."""
_MAX_EPS = 2**52
_FRACTION_BITS = 18


@dataclass(frozen=True)
class Normalization:
    """The constants of one layer normalization, by the letters above.

    Attributes:
        count: Elements that are normalized together, n.
        eps: The integer e.
        bits: The even number k.
    """

    count: int
    eps: int
    bits: int

    @property
    def fraction_bits(self) -> int:
        """The number f: a normalized element counts steps of 2^-f."""
        return fraction_bits(self.count)

    @property
    def shift(self) -> int:
        """By how much an element is shifted up before it is divided."""
        return self.fraction_bits + self.bits // 2


def normalization(count: int, eps: float, scale: float) -> Normalization:
    """The constants of a layer.

    Args:
        count: Elements that are normalized together, at most `MAX_COUNT`.
        eps: What is added to the variance, in real units.
        scale: Of the input.

    Example:
        >>> normalization(4, 0.5, 0.25)  # 4^2 * 0.5 / 0.25^2 is 128, and (4^2 * 2^14 + 128) * 2^34 is below 2^53
        Normalization(count=4, eps=2199023255552, bits=34)
        >>> 128 * 2**34
        2199023255552
    """
    added = min(count**2 * eps / scale**2, _MAX_EPS)
    bits = 53 - (count**2 * 2**14 + math.ceil(added)).bit_length()
    bits -= bits % 2
    return Normalization(count, max(round(added * 2**bits), 1), bits)


def fraction_bits(count: int) -> int:
    """How finely normalized elements are counted; the largest of them is about the root of the count."""
    return _FRACTION_BITS - math.ceil(math.log2(count) / 2)


def normalized(x: Tensor, axes: int, constants: Normalization) -> Tensor:
    """The integers q.

    Args:
        x: Without zero point, whole numbers, (N, ...).
        axes: How many of the last axes are normalized together.
        constants: Of the layer.

    Returns:
        Whole numbers in float64, shaped as x.
    """
    x = x.double()
    together = tuple(range(-axes, 0))
    total = x.sum(together, keepdim=True)
    variance = constants.count * (x * x).sum(together, keepdim=True) - total * total
    variance = variance * 2.0**constants.bits + constants.eps
    root = torch.floor(torch.sqrt(variance))
    root -= (root * root > variance).double()  # where the square root was rounded up to a whole number
    dividend = ((constants.count * x - total) * 2.0**constants.shift).long() + (root / 2).long()
    return torch.div(dividend, root.long(), rounding_mode="floor").double()
