"""The one picture of a network: operators and activations, float-shaped when traced, integer when lowered.

`network` holds the data, `trace` reads it off any `nn.Module`, `run` executes it.
"""

from sparsemod.graph.network import Activation, Graph, Operator
from sparsemod.graph.run import run
from sparsemod.graph.trace import assemble, record, trace

__all__ = ["Activation", "Graph", "Operator", "assemble", "record", "run", "trace"]
