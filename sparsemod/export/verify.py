"""Builds exported C and compares: outputs with those of `graph.run`, bytes with the costs.

On the host always; on emulated processors where their tools are installed (see `arm` and `avr`).
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sparsemod.export import arm, artefact, avr
from sparsemod.export.build import FLAGS, Check, NoCompiler, libraries, memory, objects, run, vectors_check

_COMPILERS = ("cc", "gcc", "clang")


def verify(folder: str | Path, flags: Sequence[str] = (), emulate: bool = True) -> list[Check]:
    """Compares an export with what was recorded when it was written.

    Args:
        folder: As `export` wrote it; nothing is added to it.
        flags: For the host's compiler, beside `FLAGS`.
        emulate: Also on Cortex-M processors, and as the device it was exported for: in its memory, and on an AVR if it
            is one.

    Returns:
        For the host: vectors whose outputs are as recorded (see `recorded`), bytes of the arena and bytes of constants,
        as the object file holds them. Then the same and more for each emulated processor, or one check whose note says
        which package is missing.

    Raises:
        NoCompiler: There is no C compiler on the host, or no nm.
        InputError: The folder holds no export, or a file was changed.
        SparsemodError: The code does not compile or does not end.
    """
    folder = Path(folder)
    facts = artefact.read(folder)
    checks = _host(folder, facts, flags)
    if not emulate:
        return checks
    device = artefact.device(folder)
    if device is not None and device.core == avr.CORE:
        return checks + arm.checks(folder, facts, None) + avr.checks(folder, facts, device)
    return checks + arm.checks(folder, facts, device)


def _host(folder: Path, facts: dict[str, int], flags: Sequence[str]) -> list[Check]:
    compiler, nm = _tool(*_COMPILERS), _tool("nm")
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as scratch:
        program = Path(scratch) / "net_test"
        test = folder / "test" / "test_main.c"
        parts = objects([compiler, *FLAGS, *flags], artefact.sources(folder), Path(scratch))
        run([compiler, *FLAGS, *flags, f"-I{folder}", *parts, str(test), "-o", str(program), *libraries(facts)])
        arena, constants = memory(run([nm, "-S", *parts]))
        output = run([str(program)], accepted=(0, 1))
    return [
        vectors_check(facts, output),
        Check("arena (bytes)", facts["arena_bytes"], arena),
        Check("weights and constants (bytes)", facts["const_bytes"], constants),
    ]


def _tool(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise NoCompiler(
        f"{' or '.join(names)} is not installed, which building the exported C needs. Debian and Ubuntu: "
        "apt-get install gcc libc6-dev; macOS: xcode-select --install; Windows: use WSL"
    )
