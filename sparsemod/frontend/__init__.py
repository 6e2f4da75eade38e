"""What turns raw samples into the features that a network gets, in integers, in Python and in C alike.

`protocol` says what a front end must be, `filterbank` is the one that comes along: the logarithms of a mel filter
bank, or their cosine transform. `tables` are its constants and `features` its arithmetic, which `source` has as C.
"""

from sparsemod.frontend.filterbank import FilterBank
from sparsemod.frontend.protocol import FrontEnd

__all__ = ["FilterBank", "FrontEnd"]
