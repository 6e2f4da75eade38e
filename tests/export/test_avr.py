"""Exported C on an emulated AVR: the same outputs and bytes, constants in flash, a part that must hold them."""

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
from sparsemod.export import Check, export, verify
from sparsemod.graph import Graph

pytestmark = [
    pytest.mark.arm,
    pytest.mark.skipif(
        not all(map(shutil.which, ("cc", "nm", "avr-gcc", "simavr"))),
        reason="no C compiler, or no avr-gcc or simavr (apt-get install gcc-avr avr-libc simavr)",
    ),
]
UNO = DEVICES["arduino-uno"]


@pytest.fixture(autouse=True)
def only_avr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the Arm tools, whose emulation takes longer."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cc", "nm", "as", "ld", "avr-gcc", "avr-nm", "avr-size", "simavr"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tools))


def found(graph: Graph, folder: Path, device: Device = UNO) -> dict[str, dict[str, Check]]:
    """What `verify` finds in an export, by place and name."""
    export(graph, folder, device=device)
    places: dict[str, dict[str, Check]] = {}
    for check in verify(folder):
        places.setdefault(check.place, {})[check.name] = check
    return places


def require_same(graph: Graph, checks: dict[str, Check]) -> None:
    assert all(check.ok for check in checks.values()), checks
    assert checks["vectors with identical outputs"].found == 8
    assert checks["arena (bytes)"].found == plan(graph).size
    assert checks["weights and constants (bytes)"].found == model_size_bytes(graph)


@pytest.mark.parametrize("seed", range(6))
def test_members_of_the_space_are_bit_identical(tmp_path: Path, seed: int) -> None:
    graph = member(seed)
    require_same(graph, found(graph, tmp_path / "net")["AVR"])


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_every_operator_is_bit_identical(tmp_path: Path, share: float) -> None:
    graph = every_operator(share)
    require_same(graph, found(graph, tmp_path / "net")["AVR"])


def test_wrong_arithmetic_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(member(2), tmp_path / "net")
    forge(tmp_path / "net", "~(~value >> shift)", "-(-value >> shift)")
    assert main(["verify", str(tmp_path / "net")]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_weights_stay_in_flash(tmp_path: Path) -> None:
    """100 x 20 weights are nearly all of the RAM: were they copied there, they would not fit beside arena and stack."""
    torch.manual_seed(0)
    checks = found(int8(nn.Linear(100, 20), 100), tmp_path / "net")["arduino-uno"]
    ram = next(check for name, check in checks.items() if name.startswith("RAM, with "))
    assert ram.verdict == "fits" and ram.found < 500  # 120 of the arena, the rest stack and descriptions of tensors
    assert checks["flash, with start-up code (bytes)"].found > 2_000


def test_too_large_a_network_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 x 40 x 40 in and out are 3,200 bytes; the part that runs it has 8,192, the device 2,048."""
    torch.manual_seed(0)
    export(int8(nn.Conv2d(1, 1, 3, padding=1), 1, 40, 40), tmp_path / "net", device=UNO)
    assert main(["verify", str(tmp_path / "net")]) == 1
    text = capsys.readouterr().out
    assert "TOO LARGE" in text and "beyond 2,048" in text and "differs from the network" not in text


def test_what_the_emulated_part_cannot_hold_is_not_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mega = dataclasses.replace(UNO, name="mine", ram_bytes=16_384)
    checks = found(int8(nn.Conv2d(1, 1, 3, padding=1), 1, 64, 64), tmp_path / "net", mega)
    assert "not run, as atmega2560 has 8,192 bytes of RAM" in checks["AVR"][""].note
    ram = checks["mine"]["RAM, without stack (bytes)"]
    assert ram.verdict == "fits" and ram.found > 8_192


def test_missing_tools_are_named(tmp_path: Path) -> None:
    (tmp_path / "tools" / "simavr").unlink()
    note = found(member(2), tmp_path / "net")["AVR"][""]
    assert note.ok and note.note == "not run, as simavr cannot be found. Debian and Ubuntu: apt-get install simavr"
