"""Exported C on emulated Arm Cortex-M processors, and linked into the memory of a real part.

Each network is built by `arm-none-eabi-gcc` without a C library, with a start-up file and a linker script of our own,
and run by `qemu-system-arm` on one board per core. QEMU executes instructions and knows no cycles: it tells how many
were executed, not how long they take.

`-icount shift=6` lets each instruction take 64 ns of the board's time, and SysTick counts that time at the board's
clock [QEMU]. So one tick is 0.625 instructions at 25 MHz; the count is the same in every run.

[QEMU] System Emulation User's Guide: `-icount`, and the boards mps2-an385, an386, an500 and an505.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sparsemod.device import Device
from sparsemod.errors import SparsemodError
from sparsemod.export import artefact
from sparsemod.export.build import FLAGS, SECONDS, Check, libraries, memory, objects, printed, run, vectors_check

_STACK_BYTES, _FLOAT_STACK_BYTES = 512, 640
"""What `device.ld` keeps free for the stack, of a network that is int8 throughout and of others."""

_SOURCE = Path(__file__).parent / "source" / "arm"
_PREFIX = "arm-none-eabi-"
_PACKAGES = {f"{_PREFIX}gcc": "gcc-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}
_SHIFT = 6
_MACS = 128_000_000
"""Multiply-accumulates that one run may take: some ten seconds of emulation. Larger networks run fewer vectors."""
_MACS_PER_SECOND = 500_000
"""Of a slow machine that emulates."""


@dataclass(frozen=True)
class Board:
    """An emulated board, as far as a program must know it.

    Attributes:
        core: Its processor, as `Device` names it.
        machine: The board, as the emulator names it.
        clock_hz: Of SysTick.
        flash: Address of the memory that it starts from.
        ram: Address of the memory for data.
        memory_bytes: Of each of the two.
    """

    core: str
    machine: str
    clock_hz: int
    flash: int
    ram: int
    memory_bytes: int = 4 << 20


BOARDS = {
    board.core: board
    for board in (
        Board("Cortex-M3", "mps2-an385", 25_000_000, 0x00000000, 0x20000000),
        Board("Cortex-M4", "mps2-an386", 25_000_000, 0x00000000, 0x20000000),
        Board("Cortex-M7", "mps2-an500", 25_000_000, 0x00000000, 0x20000000),
        Board("Cortex-M33", "mps2-an505", 20_000_000, 0x10000000, 0x38000000),  # it starts in the secure state
    )
}
"""One per core."""

_LINKED = {*BOARDS, "Cortex-M0", "Cortex-M0+", "Cortex-M23", "Cortex-M55"}
"""Cores of parts that a network can be linked for, with a board or without."""


def device_script(device: Device, facts: Mapping[str, int]) -> str | None:
    """Linker script with the memory of a part; None if it is no Cortex-M that can be built for.

    Args:
        device: The part.
        facts: What is predicted of the network.
    """
    if device.core not in _LINKED:
        return None
    board = BOARDS.get(device.core, BOARDS["Cortex-M3"])  # whose addresses are those of most parts
    return _script(board, device.name, device.flash_bytes, device.ram_bytes, _stack_bytes(facts))


def checks(folder: Path, facts: dict[str, int], device: Device | None) -> list[Check]:
    """What the cores find, and whether the network fits the device.

    Args:
        folder: Of an export, already known to be unchanged.
        facts: What its manifest predicts.
        device: What it was exported for, if that is known.

    Returns:
        One check with a note instead where a tool is missing or the device has another kind of processor.
    """
    missing = _missing(facts)
    if missing:
        found = [Check("", None, None, "Cortex-M", note=missing)]
    else:
        found = [check for board in BOARDS.values() for check in emulated(folder, facts, board)]
    if device is None:
        return found
    if device.core not in _LINKED:
        note = f"not built for its processor ({device.core or 'unknown'}), which is no Cortex-M that is known here"
        return [*found, Check("", None, None, device.name, note=note)]
    return found if missing else found + _linked(folder, facts, device)


def _missing(facts: Mapping[str, int]) -> str:
    """Which tools are not there, or which library, and how to get them; empty if they are."""
    missing = {name: package for name, package in _PACKAGES.items() if shutil.which(name) is None}
    if (
        not missing
        and libraries(facts)
        and not Path(run([f"{_PREFIX}gcc", "-print-file-name=libm.a"]).strip()).is_file()
    ):
        missing = {"libm.a": "libnewlib-arm-none-eabi"}
    packages = " ".join(missing.values())
    note = f"not run, as {' and '.join(missing)} cannot be found. Debian and Ubuntu: apt-get install {packages}"
    return note if missing else ""


# --- emulated --------------------------------------------------------------------------------------------------------


def emulated(folder: Path, facts: dict[str, int], board: Board) -> list[Check]:
    """What one core finds.

    Args:
        folder: Of an export, already known to be unchanged.
        facts: What its manifest predicts.
        board: One of `BOARDS`.
    """
    runs = max(1, min(facts["vectors"], _MACS // max(facts["macs"], 1)))
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as name:
        scratch = Path(name)
        script, program = scratch / "board.ld", scratch / "net.elf"
        script.write_text(_script(board, board.machine, board.memory_bytes, board.memory_bytes, _stack_bytes(facts)))
        parts = objects(_compiler(board.core), artefact.sources(folder), scratch)
        linked = [*parts, *libraries(facts)]
        if _overflows(_link(folder, board.core, script, linked, program, "main.c", f"-DRUNS={runs}")):
            note = f"not run, as {board.machine} has {board.memory_bytes:,} bytes of flash and as many of RAM"
            return [Check("", None, None, board.core, note=note)]
        arena, constants = memory(run([f"{_PREFIX}nm", "-S", *parts]))
        flash, _ = _sections(*parts)
        output = run(_emulator(board, program), seconds=SECONDS + runs * facts["macs"] / _MACS_PER_SECOND)
    return [
        vectors_check(facts, output, board.core, runs),
        Check("arena (bytes)", facts["arena_bytes"], arena, board.core),
        Check("weights and constants (bytes)", facts["const_bytes"], constants, board.core),
        Check("code, weights and constants (bytes)", None, flash, board.core),
        Check("stack (bytes)", None, printed(output, "bytes of stack"), board.core, limit=_stack_bytes(facts)),
        Check("instructions per inference", None, _instructions(printed(output, "ticks"), board, runs), board.core),
    ]


def _emulator(board: Board, program: Path) -> list[str]:
    printing = ["-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"]
    devices = ["-display", "none", "-monitor", "none", "-serial", "none"]
    counting = ["-icount", f"shift={_SHIFT}"]
    return ["qemu-system-arm", "-M", board.machine, *devices, *printing, *counting, "-kernel", str(program)]


def _instructions(ticks: int, board: Board, runs: int) -> int:
    """Instructions of one inference from the ticks of all."""
    nanoseconds = ticks * 1e9 / board.clock_hz
    return round(nanoseconds / (runs << _SHIFT))


# --- linked into the part --------------------------------------------------------------------------------------------


def _linked(folder: Path, facts: dict[str, int], device: Device) -> list[Check]:
    """Flash and RAM of the smallest program around the network, or by how much it is too large."""
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as scratch:
        program = Path(scratch) / "net.elf"
        parts = [*objects(_compiler(device.core), artefact.sources(folder), Path(scratch)), *libraries(facts)]
        beyond = _overflows(_link(folder, device.core, folder / "device.ld", parts, program, "idle.c"))
        if not beyond:
            flash, ram = _sections(str(program))
            beyond = {"FLASH": flash - device.flash_bytes, "RAM": ram - device.ram_bytes}
    return _part_checks(device, _stack_bytes(facts), beyond)


def _part_checks(device: Device, stack: int, beyond: dict[str, int]) -> list[Check]:
    """One check per memory, by how many bytes a program goes beyond it (below zero: it fits)."""
    rows = {
        "FLASH": ("flash, with start-up code (bytes)", device.flash_bytes),
        "RAM": (f"RAM, with {stack} bytes of stack (bytes)", device.ram_bytes),
    }
    found = []
    for region, excess in beyond.items():
        name, limit = rows[region]
        note = f"does not link: {region} overflows its {limit:,} bytes by {excess:,}" if excess > 0 else ""
        found.append(Check(name, None, limit + excess, device.name, limit, note))
    return found


# --- build -----------------------------------------------------------------------------------------------------------


def _stack_bytes(facts: Mapping[str, int]) -> int:
    return _FLOAT_STACK_BYTES if libraries(facts) else _STACK_BYTES


def _script(board: Board, title: str, flash_bytes: int, ram_bytes: int, stack_bytes: int) -> str:
    return Template((_SOURCE / "link.ld").read_text(encoding="utf-8")).substitute(
        title=title,
        flash_origin=f"0x{board.flash:08x}",
        ram_origin=f"0x{board.ram:08x}",
        flash_bytes=flash_bytes,
        ram_bytes=ram_bytes,
        stack_bytes=stack_bytes,
    )


def _link(folder: Path, core: str, script: Path, parts: list[str], program: Path, main: str, *flags: str) -> list[str]:
    """Compiles start-up code and a main program, and links them with the network and nothing else."""
    includes = [f"-I{folder}", f"-I{folder / 'test'}"]
    own = [str(_SOURCE / "start.c"), str(_SOURCE / main), "-fno-tree-loop-distribute-patterns"]  # memcpy is not itself
    memory = ["-T", str(script), "-Wl,--no-warn-rwx-segments"]
    math = ["-DMATH"] if "-lm" in parts else []
    return [*_compiler(core), *flags, *math, *includes, *own, *parts, "-nostdlib", "-lgcc", *memory, "-o", str(program)]


def _overflows(link: list[str]) -> dict[str, int]:
    """Runs the linker; by how many bytes each memory is too small, if it failed for that."""
    try:
        run(link)
    except SparsemodError as error:
        found = re.findall(r"region `(\w+)' overflowed by (\d+)", str(error))
        if not found:
            raise
        return {region: int(size) for region, size in found}
    return {}


def _compiler(core: str) -> list[str]:
    processor = f"-mcpu={core.lower().replace('+', 'plus')}"
    return [f"{_PREFIX}gcc", *FLAGS, processor, "-mthumb", "-mfloat-abi=soft", "-ffreestanding"]


def _sections(*files: str) -> tuple[int, int]:
    """Bytes in flash and in RAM of object files or a program; data stands in both."""
    rows = [map(int, line.split()[:3]) for line in run([f"{_PREFIX}size", *files]).splitlines()[1:]]
    text, data, bss = (sum(column) for column in zip(*rows, strict=True))
    return text + data, data + bss
