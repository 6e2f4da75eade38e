"""Builds exported C with the host's compiler and compares: outputs with those of `graph.run`, sizes with the costs."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsemod.errors import InputError, SparsemodError
from sparsemod.export import artefact

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O2")
_COMPILERS = ("cc", "gcc", "clang")
_SECONDS = 120


class NoCompiler(InputError):
    """A tool that building needs is not installed."""


@dataclass(frozen=True)
class Check:
    """One figure that was predicted, and what was found."""

    name: str
    predicted: int
    found: int

    @property
    def ok(self) -> bool:
        """Whether they are the same."""
        return self.predicted == self.found


def verify(folder: str | Path, flags: Sequence[str] = ()) -> list[Check]:
    """Compares an export with what was recorded when it was written.

    Args:
        folder: As `export` wrote it; nothing is added to it.
        flags: For the compiler, beside `FLAGS`.

    Returns:
        Identical vectors, bytes of the arena and bytes of constants, as the object file holds them.

    Raises:
        NoCompiler: There is no C compiler, or no nm.
        InputError: The folder holds no export, or a file was changed.
        SparsemodError: The code does not compile or does not end.
    """
    folder = Path(folder)
    facts = artefact.read(folder)
    compiler, nm = _tool(*_COMPILERS), _tool("nm")
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as scratch:
        net, program = Path(scratch) / "net.o", Path(scratch) / "net_test"
        _run([compiler, *FLAGS, *flags, "-c", str(folder / "net.c"), "-o", str(net)])
        _run([compiler, *FLAGS, *flags, str(net), str(folder / "test_main.c"), "-o", str(program)])
        symbols = _symbols(_run([nm, "-S", str(net)]))
        identical = _identical(_run([str(program)], accepted=(0, 1)))
    return [
        Check("vectors with identical outputs", facts["vectors"], identical),
        Check("arena (bytes)", facts["arena_bytes"], sum(size for kind, size in symbols if kind in "bBdD")),
        Check(
            "weights and constants (bytes)", facts["const_bytes"], sum(size for kind, size in symbols if kind in "rR")
        ),
    ]


def _symbols(listing: str) -> list[tuple[str, int]]:
    """Section letter and bytes of every object; names that begin with two underscores are the compiler's own."""
    found = re.findall(r"^[0-9a-f]+ ([0-9a-f]+) (\w) (?!__)", listing, re.MULTILINE)
    return [(kind, int(size, 16)) for size, kind in found]


def _identical(output: str) -> int:
    """How many vectors the program found identical."""
    found = re.search(r"^(\d+) of \d+ vectors identical$", output, re.MULTILINE)
    if found is None:
        raise SparsemodError(f"the exported network did not run to its end; it printed:\n{output}")
    return int(found[1])


def _tool(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise NoCompiler(
        f"{' or '.join(names)} is not installed, which building the exported C needs. Debian and Ubuntu: "
        "apt-get install gcc libc6-dev; macOS: xcode-select --install; Windows: use WSL"
    )


def _run(command: Sequence[str], accepted: Sequence[int] = (0,)) -> str:
    """What a command prints.

    Args:
        command: Program and arguments.
        accepted: Exit codes that are no failure, as long as nothing is written to standard error.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise SparsemodError(f"`{' '.join(command)}` did not end within {_SECONDS} seconds") from None
    if done.returncode not in accepted or (done.returncode and done.stderr):
        raise SparsemodError(f"`{' '.join(command)}` failed (exit code {done.returncode}):\n{done.stderr}")
    return done.stdout
