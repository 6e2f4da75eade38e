"""How a fault is told."""

from sparsemod.errors import SparsemodError


def told(error: Exception) -> str:
    """An exception in a line; with its kind, unless it is one of ours."""
    text = str(error).strip().splitlines()
    kind = "" if isinstance(error, SparsemodError) else f"{type(error).__name__}: "
    return f"{kind}{text[0] if text else 'without a message'}"
