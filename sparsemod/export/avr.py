"""Exported C on an emulated AVR, and whether it fits the part that it was exported for.

Each network is built by `avr-gcc` and run by `simavr`, which gives each instruction the cycles of the data sheet, on an
ATmega2560: the same core as the ATmega328P of an Arduino Uno, with RAM for larger networks and a test beside them.
Its calls take one cycle more, as its program counter has three bytes. What the program needs is found by linking it for
an ATmega328P without end of memory, and compared with the flash and the RAM of the part.
"""

import re
import shutil
import tempfile
from pathlib import Path

from sparsemod.device import Device
from sparsemod.export import artefact
from sparsemod.export.build import SECONDS, WARNINGS, Check, libraries, memory, objects, printed, run, vectors_check

CORE = "AVR"
"""As `Device` names it."""

_SOURCE = Path(__file__).parent / "source"
_PACKAGES = {"avr-gcc": "gcc-avr avr-libc", "simavr": "simavr"}
_PARTS = {"run": "atmega2560", "link": "atmega328p"}
_CLOCK_HZ = 16_000_000
_STACK = "stack (bytes)"
_RAM_BYTES = 8_192
"""Of the part that runs."""
_TEST_BYTES = 1_536
"""RAM for the test beside the network: its stack, its text, and what is painted to measure the stack."""
_CONST_BYTES = 49_152
"""Constants and vectors that a pointer of 16 bits can reach, with code before them."""
_MACS = 1_000_000
"""Multiply-accumulates that one run may take: some seconds of emulation. Large networks run fewer vectors."""
_MACS_PER_SECOND = 10_000
"""Of a slow machine that emulates."""


def checks(folder: Path, facts: dict[str, int], device: Device) -> list[Check]:
    """What the processor finds, and whether the network fits the device.

    Args:
        folder: Of an export, already known to be unchanged.
        facts: What its manifest predicts.
        device: Of an AVR core.

    Returns:
        One check with a note instead where a tool is missing.
    """
    missing = [name for name in _PACKAGES if shutil.which(name) is None]
    if missing:
        packages = " ".join(_PACKAGES[name] for name in missing)
        note = f"not run, as {' and '.join(missing)} cannot be found. Debian and Ubuntu: apt-get install {packages}"
        return [Check("", None, None, CORE, note=note)]
    found = emulated(folder, facts)
    return found + _linked(folder, facts, device, next((check.found for check in found if check.name == _STACK), None))


def emulated(folder: Path, facts: dict[str, int]) -> list[Check]:
    """What the core finds.

    Args:
        folder: Of an export, already known to be unchanged.
        facts: What its manifest predicts.
    """
    runs = max(1, min(facts["vectors"], _MACS // max(facts["macs"], 1)))
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as scratch:
        program = Path(scratch) / "net.elf"
        parts = objects(_compiler("run"), artefact.sources(folder), Path(scratch))
        arena, constants = memory(run(["avr-nm", "-S", *parts]))
        vectors = (folder / "test" / "vectors.h").stat().st_size // 4
        if arena > _RAM_BYTES - _TEST_BYTES or constants + vectors > _CONST_BYTES:
            note = f"not run, as {_PARTS['run']} has {_RAM_BYTES:,} bytes of RAM and 64 KB of flash within easy reach"
            return [Check("", None, None, CORE, note=note)]
        main = [f"-DRUNS={runs}", f"-I{folder}", f"-I{folder / 'test'}", str(_SOURCE / "avr" / "main.c")]
        run([*_compiler("run"), *main, *parts, "-o", str(program), *libraries(facts)])
        emulator = ["simavr", "-m", _PARTS["run"], "-f", str(_CLOCK_HZ), str(program)]
        output = _plain(run(emulator, seconds=SECONDS + runs * facts["macs"] / _MACS_PER_SECOND))
    return [
        vectors_check(facts, output, CORE, runs),
        Check("arena (bytes)", facts["arena_bytes"], arena, CORE),
        Check("weights and constants (bytes)", facts["const_bytes"], constants, CORE),
        Check(_STACK, None, printed(output, "bytes of stack"), CORE),
        Check("cycles per inference", None, printed(output, "cycles") // runs, CORE),
    ]


def _plain(output: str) -> str:
    """What a program printed, without the colours and dots in which simavr shows it."""
    return re.sub(r"\x1b\[\d+m|\.$", "", output, flags=re.MULTILINE)


def _linked(folder: Path, facts: dict[str, int], device: Device, stack: int | None) -> list[Check]:
    """Flash and RAM of the smallest program around the network."""
    with tempfile.TemporaryDirectory(prefix="sparsemod-") as scratch:
        program = Path(scratch) / "net.elf"
        idle = [f"-I{folder}", str(_SOURCE / "arm" / "idle.c"), *artefact.sources(folder)]
        anything = "-Wl,--defsym=__DATA_REGION_LENGTH__=0x8000,--defsym=__TEXT_REGION_LENGTH__=0x800000"
        run([*_compiler("link"), *idle, anything, "-o", str(program), *libraries(facts)])
        text, data, bss = map(int, run(["avr-size", str(program)]).splitlines()[1].split()[:3])
    flash, ram = text + data, data + bss + (stack or 0)
    of_stack = "without stack" if stack is None else f"with {stack} bytes of stack"
    return [
        _within("flash, with start-up code (bytes)", flash, device.flash_bytes, device),
        _within(f"RAM, {of_stack} (bytes)", ram, device.ram_bytes, device),
    ]


def _within(name: str, found: int, limit: int, device: Device) -> Check:
    note = f"does not fit: {name} are {found - limit:,} beyond {limit:,}" if found > limit else ""
    return Check(name, None, found, device.name, limit, note)


def _compiler(purpose: str) -> list[str]:
    """As Arduino compiles: in GNU's C, in which constants can stay in flash, and for size."""
    return ["avr-gcc", "-std=gnu99", *WARNINGS, "-Os", f"-mmcu={_PARTS[purpose]}"]
