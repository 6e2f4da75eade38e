"""Exported C on emulated Cortex-M processors: the same outputs, the predicted bytes, a device that must hold them."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from problems.exported import every_operator, int8, member  # the networks that are tried on the host
from test_verify import forge
from torch import nn

from sparsemod.cli import main
from sparsemod.cost import model_size_bytes, plan
from sparsemod.device import DEVICES, Device
from sparsemod.errors import SparsemodError
from sparsemod.export import Check, export, verify
from sparsemod.graph import Graph

pytestmark = [
    pytest.mark.arm,
    pytest.mark.skipif(
        not all(map(shutil.which, ("cc", "nm", "arm-none-eabi-gcc", "qemu-system-arm"))),
        reason="no C compiler, or no arm-none-eabi-gcc or qemu-system-arm (apt-get install gcc-arm-none-eabi "
        "qemu-system-arm)",
    ),
]
CORES = ("Cortex-M3", "Cortex-M4", "Cortex-M7", "Cortex-M33")
SMALL = dataclasses.replace(DEVICES["stm32f446"], name="small", flash_bytes=16_384, ram_bytes=2_048)


def tiny(folder: Path, device: Device | None = None) -> Path:
    """An export of a small network."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    export(int8(module, 1, 4, 4), folder, device=device)
    return folder


def by_name(checks: list[Check], place: str) -> dict[str, Check]:
    return {check.name: check for check in checks if check.place == place}


def require_same_everywhere(graph: Graph, checks: list[Check]) -> None:
    for place in ("host", *CORES):
        found = by_name(checks, place)
        assert all(check.ok for check in found.values()), found
        assert found["vectors with identical outputs"].found == 8
        assert found["arena (bytes)"].found == plan(graph).size
        assert found["weights and constants (bytes)"].found == model_size_bytes(graph)


@pytest.mark.parametrize("seed", range(12))
def test_members_of_the_space_are_bit_identical_on_every_core(tmp_path: Path, seed: int) -> None:
    graph = member(seed)
    export(graph, tmp_path / "net")
    require_same_everywhere(graph, verify(tmp_path / "net"))


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_every_operator_is_bit_identical_on_every_core(tmp_path: Path, share: float) -> None:
    graph = every_operator(share)
    export(graph, tmp_path / "net")
    require_same_everywhere(graph, verify(tmp_path / "net"))


def test_signals_and_a_single_max_pool_are_bit_identical_on_every_core(tmp_path: Path) -> None:
    torch.manual_seed(0)
    signal = int8(nn.Sequential(nn.Conv1d(3, 6, 4, padding=1), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(48, 3)), 3, 17)
    pool = int8(nn.MaxPool2d(2), 1, 4, 4)
    for name, graph in {"signal": signal, "pool": pool}.items():
        export(graph, tmp_path / name)
        require_same_everywhere(graph, verify(tmp_path / name))


def test_wrong_arithmetic_is_found_on_every_core(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "net")
    forge(folder, "~(~value >> shift)", "-(-value >> shift)")
    checks = verify(folder)
    for place in CORES:
        vectors = by_name(checks, place)["vectors with identical outputs"]
        assert vectors.verdict == "DIFFERENT" and vectors.predicted == 8


def test_memory_beyond_the_prediction_is_found_on_every_core(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "net")
    forge(folder, "arena[NET_ARENA_SIZE]", "arena[NET_ARENA_SIZE + 1]")
    forge(folder, "const float net_input_scale", "const int8_t net_more[3] = {1, 2, 3};\nconst float net_input_scale")
    checks = verify(folder)
    for place in CORES:
        found = by_name(checks, place)
        arena, constants = found["arena (bytes)"], found["weights and constants (bytes)"]
        assert (arena.predicted, constants.predicted) == (arena.found - 1, constants.found - 3)


def test_a_fault_of_the_processor_is_an_error(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "net")
    forge(folder, "void net_invoke(void) {", "void net_invoke(void) {\n#ifdef __arm__\n    __builtin_trap();\n#endif")
    with pytest.raises(SparsemodError, match="the processor reports a fault"):
        verify(folder)


# --- instructions and stack ------------------------------------------------------------------------------------------


def test_a_loop_of_a_million_instructions_is_counted_as_such(tmp_path: Path) -> None:
    """The call and the reading of the clock add some ten instructions; a period of the clock is 10 million."""
    folder = tiny(tmp_path / "net")
    loop = 'int n = {}; __asm__ volatile("0: subs %0, #1\\n bne 0b" : "+r"(n) : : "cc");'
    once, often = (f"#ifdef __arm__\n{loop.format(n)} return;\n#endif\n" for n in (500_000, 10_000_000))
    start = "void net_invoke(void) {\n"
    before = start
    for loops, count in ((once, 1_000_000), (often, 20_000_000)):
        forge(folder, before, start + loops)
        before = start + loops
        checks = verify(folder)
        for place in CORES:
            assert by_name(checks, place)["instructions per inference"].found == pytest.approx(count + 15, abs=15)


def test_two_runs_find_the_same(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "net", DEVICES["nrf5340"])
    assert verify(folder) == verify(folder)


def test_more_work_takes_more_instructions_on_every_core(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = []
    for channels in (1, 4):
        export(int8(nn.Conv2d(1, channels, 3), 1, 12, 12), tmp_path / str(channels))
        checks = verify(tmp_path / str(channels))
        found.append([by_name(checks, place)["instructions per inference"].found for place in CORES])
    for one, four in zip(*found, strict=True):
        assert 900 < one < four / 3  # 900 multiply-accumulates in each channel


def test_the_stack_does_not_grow_with_the_number_of_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stacks = []
    for layers in (2, 12):
        module = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(layers)))
        export(int8(module, 2, 6, 6), tmp_path / str(layers))
        found = by_name(verify(tmp_path / str(layers)), "Cortex-M4")["stack (bytes)"]
        assert found.limit == 512 and found.ok
        stacks.append(found.found)
    assert 0 < stacks[0] == stacks[1]


def test_a_large_network_runs_fewer_vectors(tmp_path: Path) -> None:
    """25 x 16 x 16 x 102 x 102 multiply-accumulates are 66.6 million: one vector is within 128 million."""
    torch.manual_seed(0)
    export(int8(nn.Conv2d(16, 16, 5, padding=2), 16, 102, 102), tmp_path / "net")
    checks = verify(tmp_path / "net")
    for place in CORES:
        assert by_name(checks, place)["vectors with identical outputs (the first 1)"].verdict == "same"


def test_a_network_that_no_board_can_hold_is_not_run(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "net")
    forge(folder, "arena[NET_ARENA_SIZE]", "arena[5000000]")
    notes = verify(folder)[3:]
    assert [note.place for note in notes] == list(CORES)
    assert notes[0].ok and notes[0].note == "not run, as mps2-an385 has 4,194,304 bytes of flash and as many of RAM"


# --- the device ------------------------------------------------------------------------------------------------------


def test_a_network_that_fits_its_device_is_linked_into_its_memory(tmp_path: Path) -> None:
    """The program is the network, its start-up code and 512 bytes of stack."""
    folder = tiny(tmp_path / "net", SMALL)
    checks = verify(folder)
    code = by_name(checks, "Cortex-M4")["code, weights and constants (bytes)"].found
    arena = by_name(checks, "Cortex-M4")["arena (bytes)"].found
    flash, ram = by_name(checks, "small").values()
    assert code is not None and flash.found is not None and arena is not None
    assert (flash.name, flash.limit, flash.verdict) == ("flash, with start-up code (bytes)", 16_384, "fits")
    assert code + 64 < flash.found < code + 400
    assert (ram.name, ram.limit, ram.verdict) == ("RAM, with 512 bytes of stack (bytes)", 2_048, "fits")
    assert arena + 512 <= ram.found < arena + 512 + 8


@pytest.mark.parametrize("core", ["Cortex-M0", "Cortex-M0+", "Cortex-M23", "Cortex-M55", *CORES])
def test_a_part_needs_no_emulated_board_of_its_core(tmp_path: Path, core: str) -> None:
    part = dataclasses.replace(SMALL, core=core)
    checks = by_name(verify(tiny(tmp_path / "net", part)), "small")
    assert [check.verdict for check in checks.values()] == ["fits", "fits"]


def test_too_many_weights_do_not_link(tmp_path: Path) -> None:
    """200 x 100 weights are more than 16,384 bytes."""
    torch.manual_seed(0)
    export(int8(nn.Linear(200, 100), 200), tmp_path / "net", device=SMALL)
    checks = verify(tmp_path / "net")
    (flash,) = by_name(checks, "small").values()
    assert flash.found is not None and flash.verdict == "TOO LARGE"
    assert flash.found > 20_000
    assert flash.note == f"does not link: FLASH overflows its 16,384 bytes by {flash.found - 16_384:,}"
    assert not flash.ok and all(check.ok for check in checks if check is not flash)


def test_too_large_activations_do_not_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 x 40 x 40 in and out, and 512 bytes of stack: 3,200 + 512 - 2,048 = 1,664 bytes too many."""
    torch.manual_seed(0)
    export(int8(nn.Conv2d(1, 1, 3, padding=1), 1, 40, 40), tmp_path / "net", device=SMALL)
    assert main(["verify", str(tmp_path / "net")]) == 1
    text = capsys.readouterr().out
    assert "at most 2,048" in text and "3,712" in text and "TOO LARGE" in text
    assert "small: does not link: RAM overflows its 2,048 bytes by 1,664" in text
    assert "differs from the network" not in text


def test_both_memories_can_overflow(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(int8(nn.Linear(2000, 100), 2000), tmp_path / "net", device=SMALL)
    checks = by_name(verify(tmp_path / "net"), "small").values()
    assert {check.verdict for check in checks} == {"TOO LARGE"} and len(checks) == 2


def test_other_processors_are_said_not_to_be_built_for(tmp_path: Path) -> None:
    *_, note = verify(tiny(tmp_path / "net", DEVICES["esp32-s3"]))
    assert note.ok and note.note == "not built for its processor (Xtensa LX7), which is no Cortex-M that is known here"


def test_the_command_line_shows_a_column_per_core(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny(tmp_path / "net", SMALL))]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["check", "predicted", "host", *CORES, "small"]
    assert rows[0].split() == ["vectors", "with", "identical", "outputs", *["8"] * 6, "same"]
