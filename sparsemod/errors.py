"""What can go wrong, by what the reader should do about it.

`InputError` is the user's to mend (exit code 2), `Infeasible` is a result that becomes a row of the study,
everything else that derives from `SparsemodError` means the work itself failed (exit code 1).
"""

from collections.abc import Sequence


class SparsemodError(Exception):
    """Base of every error that sparsemod raises on purpose."""


class InputError(SparsemodError):
    """Something the user brought cannot be used: configuration, problem, data or study folder."""


class ConfigError(InputError):
    """All mistakes of one configuration, reported together."""

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"{source} has {count}", *(f"  {mistake}" for mistake in self.mistakes)]))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.mistakes)  # else it could not come back from another process


class BuilderError(SparsemodError):
    """A problem's builder or cost function raised what it should not; the cause is chained."""


class Infeasible(SparsemodError):
    """A candidate that cannot exist or cannot fit, with the reason in words."""
