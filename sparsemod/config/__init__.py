"""`config.cfg` -> frozen `Config`; every mistake of every source is reported at once.

Values come, the later winning, from the defaults (`sections`), the file, a `.env` file, the environment
(`SPARSEMOD_TRAIN_R1=4` in both) and the command line (`--set TRAIN.r1=4`).
"""

from sparsemod.config.sections import SAMPLERS, SECTIONS, Config, ProblemSection, find_device
from sparsemod.config.sources import from_keywords, quantities, read

__all__ = ["SAMPLERS", "SECTIONS", "Config", "ProblemSection", "find_device", "from_keywords", "quantities", "read"]
