"""`search`: for each stage ask, submit, record, and keep the slots full."""

from sparsemod.loop.running import Progress, Watch
from sparsemod.loop.stages import Stage
from sparsemod.loop.start import begin, search

__all__ = ["Progress", "Stage", "Watch", "begin", "search"]
