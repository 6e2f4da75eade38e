"""Search spaces: what may vary, and within which bounds.

A space is a mapping from names to `Int`, `Float` or `Choice`. A parameter may be active only under a condition on
others (`when`); an inactive one does not exist in a candidate, so two networks that build alike compare alike.

    >>> space = SearchSpace({"depth": Int(1, 2), "width_2": Int(4, 64, log=True, when={"depth": (2,)})})
    >>> space.canonical({"depth": 1, "width_2": 8})
    {'depth': 1}
"""

from sparsemod.space.parameters import STEP, Choice, Condition, Float, Int, Parameter, Parameters, Value
from sparsemod.space.searchspace import SearchSpace, identity

__all__ = ["STEP", "Choice", "Condition", "Float", "Int", "Parameter", "Parameters", "SearchSpace", "Value", "identity"]
