"""The one picture of a network: operators and activations, float-shaped when traced, integer when lowered.

`network` holds the data, `trace` reads it off any `nn.Module` (`record` its calls, `rules` and `sequences` what each
becomes, `shapes` without computing), `run` executes it. `normalization` and `recurrence` have arithmetic of their own.
`streaming` makes of a network of sequences that of one step. `channels` says which channels go together and removes
some (`labels` and `label_rules` find that), `pattern` which weights stay.
"""

from sparsemod.graph.network import Activation, Graph, Operator
from sparsemod.graph.record import record
from sparsemod.graph.run import run
from sparsemod.graph.trace import assemble, trace

__all__ = ["Activation", "Graph", "Operator", "assemble", "record", "run", "trace"]
