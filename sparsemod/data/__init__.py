"""`Data`: what a network learns from, what a search may look at, and the test set that no search sees.

Three kinds of split look the same from outside: `Tensors` (all samples in memory, no per-sample Python), `Sequences`
(in memory, too, of different lengths) and `Samples` (any `torch.utils.data.Dataset`). A network that takes one step at
a time gets sequences as `Packed`, each at its own length; one that is trained on a GPU gets any of them as `Placed`.

x: samples, (N, *input shape), float32; y: class numbers, (N,), or targets, (N, ...). A network that holds an
`nn.Embedding` gets x as whole numbers.
"""

from sparsemod.data.data import Data, Join, joined
from sparsemod.data.hold_out import grouped_split, stratified_split
from sparsemod.data.sequences import Packed, Sequences
from sparsemod.data.split import Augmentation, Batch, Collate, Placed, Samples, Split, Tensors, Tokens

__all__ = ["Augmentation", "Batch", "Collate", "Data", "Join", "Packed", "Placed", "Samples", "Sequences", "Split",
           "Tensors", "Tokens", "grouped_split", "joined", "stratified_split"]  # fmt: skip
