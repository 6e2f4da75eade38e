"""What a check of exported code is, and the programs that find it: compilers, nm, an emulator."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsemod.errors import InputError, SparsemodError

WARNINGS = ("-Wall", "-Wextra", "-Werror")
FLAGS = ("-std=c99", *WARNINGS, "-O2")
"""For every C compiler that keeps constants in flash by itself."""

SECONDS = 120.0
"""What a command may take."""


class NoCompiler(InputError):
    """A tool that building needs is not installed."""


def libraries(facts: Mapping[str, int]) -> list[str]:
    """What a program links beside the network: a mathematical library if that computes in float."""
    return ["-lm"] if any(name.startswith("tolerance") for name in facts) else []


@dataclass(frozen=True)
class Check:
    """One figure of exported code.

    Attributes:
        name: What is counted, with its unit.
        predicted: What must be found; None if nothing was predicted.
        found: What there is; None if it could not be looked at.
        place: Where it was found: host, a processor core, or the device of the search.
        limit: The most that may be found; None if there is no limit.
        note: Why nothing was found, or what does not fit.
    """

    name: str
    predicted: int | None
    found: int | None
    place: str = "host"
    limit: int | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing that was found is wrong; a figure without prediction and limit never is."""
        return self.verdict not in ("DIFFERENT", "TOO LARGE")

    @property
    def verdict(self) -> str:
        """The check in a word, for people; empty where there is nothing to compare."""
        if self.found is None:
            return ""
        if self.predicted is not None:
            return "same" if self.found == self.predicted else "DIFFERENT"
        if self.limit is not None:
            return "fits" if self.found <= self.limit else "TOO LARGE"
        return ""


def run(command: Sequence[str], accepted: Sequence[int] = (0,), seconds: float = SECONDS) -> str:
    """What a command prints, standard error last.

    Args:
        command: Program and arguments.
        accepted: Exit codes that are no failure, as long as nothing is written to standard error.
        seconds: In which it must end.

    Raises:
        SparsemodError: It failed or did not end; with the command and what it wrote to standard error.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SparsemodError(f"`{' '.join(command)}` did not end within {seconds:.0f} seconds") from None
    if done.returncode not in accepted or (done.returncode and done.stderr):
        raise SparsemodError(
            f"`{' '.join(command)}` failed (exit code {done.returncode}):\n{done.stderr or done.stdout}"
        )
    return done.stdout + done.stderr


def objects(compiler: Sequence[str], sources: Sequence[str], scratch: Path) -> list[str]:
    """Compiles each source to an object of its own.

    Args:
        compiler: With all its flags.
        sources: Paths of different names.
        scratch: Folder for the objects.
    """
    found = [str(scratch / Path(source).with_suffix(".o").name) for source in sources]
    for source, target in zip(sources, found, strict=True):
        run([*compiler, "-c", source, "-o", target])
    return found


def symbols(listing: str) -> list[tuple[str, int]]:
    """Section letter and bytes of every object that `nm -S` lists, without the compiler's own (`__...`).

    Example:
        >>> symbols("00000000 0000000c B arena")
        [('B', 12)]
    """
    found = re.findall(r"^[0-9a-f]+ ([0-9a-f]+) (\w) (?!__)", listing, re.MULTILINE)
    return [(kind, int(size, 16)) for size, kind in found]


def memory(listing: str) -> tuple[int, int]:
    """Bytes of RAM and of read-only data of the objects that `nm -S` lists."""
    sizes = symbols(listing)
    return sum(size for kind, size in sizes if kind in "bBdD"), sum(size for kind, size in sizes if kind in "rR")


def printed(output: str, pattern: str) -> int:
    """The number that stands at the start of a printed line, before what the pattern matches.

    Raises:
        SparsemodError: There is no such line.
    """
    found = re.search(rf"^(\d+) {pattern}$", output, re.MULTILINE)
    if found is None:
        raise SparsemodError(f"the exported network did not run to its end; it printed:\n{output}")
    return int(found[1])


def vectors_check(facts: Mapping[str, int], output: str, place: str = "host", runs: int | None = None) -> Check:
    """How many recorded vectors give what was recorded.

    Args:
        facts: Of the export.
        output: What a program printed that compared them.
        place: Where it ran.
        runs: How many it compared; all unless given.
    """
    runs = facts["vectors"] if runs is None else runs
    name = "vectors with identical outputs"
    if "tolerance_steps" in facts:
        name = f"vectors within {facts['tolerance_steps']} step"
    if "tolerance_millionths" in facts:
        name = f"vectors within {facts['tolerance_millionths'] / 1e6:g} of the largest output"
    first = "" if runs == facts["vectors"] else f" (the first {runs})"
    found = printed(output, r"of \d+ vectors .+")
    return Check(f"{name}{first}", runs, found, place)
