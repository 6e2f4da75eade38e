"""The page of a study while its search runs."""

import time
from pathlib import Path

from sparsemod.loop import Progress
from sparsemod.report.page import plotly, write
from sparsemod.report.source import open_source

_EVERY = 10.0
"""Seconds from one page to the next, at least."""
_SHARE = 0.02
"""Of the time of a search that writing pages may take."""


class Live:
    """A watcher of a search that keeps its page up to date.

    It takes at most 2 % of the time: a page that took long is followed by a long pause. A page that cannot be written
    is not tried again; the search goes on.

    Args:
        folder: Of the study; the page is its `report.html`.
        every: Seconds from one page to the next, at least.

    Raises:
        InputError: Plotly is not installed.

    Attributes:
        failure: Why no more pages are written, if that is so.
    """

    def __init__(self, folder: Path, every: float = _EVERY) -> None:
        plotly()  # or say at once that it is missing
        self.path = folder / "report.html"
        self.failure = ""
        self._folder, self._every = folder, every
        self._due = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Writes the page, if it is time."""
        if self.failure or time.monotonic() < self._due:
            return
        started = time.monotonic()
        try:
            source = open_source(self._folder, progress.study)
            write([source], ["is described when the search has ended"], self.path, refresh=round(self._every))
        except Exception as error:  # no fault of a page may end hours of search
            self.failure = f"{type(error).__name__}: {error}"
        ended = time.monotonic()
        self._due = ended + max(self._every, (ended - started) / _SHARE)
