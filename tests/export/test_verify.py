"""What `verify` finds, and what it refuses; export and verify on the command line."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsemod import load
from sparsemod.cli import main
from sparsemod.compress.quantize import lower
from sparsemod.device import DEVICES
from sparsemod.errors import InputError, SparsemodError
from sparsemod.export import NoCompiler, export, verify
from sparsemod.graph import Graph

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of a small network."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    export(lower(module, [torch.randn(8, 1, 4, 4)]), tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def host_only(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a C compiler and not the Arm tools."""
    tools = tmp_path_factory.mktemp("tools")
    for name in ("cc", "nm", "as", "ld"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))


def forge(folder: Path, old: str, new: str) -> None:
    """Changes net.c, and the manifest so that it does not show."""
    path, manifest = folder / "net.c", folder / "manifest.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    facts = json.loads(manifest.read_text())
    facts["sha256"]["net.c"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(facts))


@needs_compiler
def test_verify_adds_nothing_to_the_folder(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert all(check.ok for check in verify(folder, emulate=False))
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [name for name in before if name.startswith("net.")] == ["net.c", "net.h"]


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(int64_t)1 << (shift - 1)", "(int64_t)1 << shift"),
        ("*in - zero_point", "*in + zero_point"),
        ("~(~value >> shift)", "-(-value >> shift)"),
    ],
)
def test_wrong_arithmetic_is_found(
    folder: Path, host_only: None, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    forge(folder, old, new)
    vectors, arena, constants = verify(folder, emulate=False)
    assert not vectors.ok and vectors.found < 8
    assert arena.ok and constants.ok
    assert main(["verify", str(folder)]) == 1
    text = capsys.readouterr().out
    assert "DIFFERENT" in text and "names each output that does" in text


@needs_compiler
def test_more_memory_than_predicted_is_found(folder: Path) -> None:
    forge(folder, "static int8_t arena[NET_ARENA_SIZE];", "static int8_t arena[NET_ARENA_SIZE + 4];")
    assert [check.ok for check in verify(folder, emulate=False)] == [True, False, True]
    forge(folder, "const float net_input_scale", "const int8_t net_more[3] = {1, 2, 3};\nconst float net_input_scale")
    vectors, arena, constants = verify(folder, emulate=False)
    assert (vectors.ok, arena.found - arena.predicted, constants.found - constants.predicted) == (True, 4, 3)


@needs_compiler
def test_code_that_does_not_compile_shows_the_compiler_s_words(folder: Path) -> None:
    forge(folder, "#include", "#inclde")
    with pytest.raises(SparsemodError, match="invalid preprocessing directive"):
        verify(folder)


@needs_compiler
def test_code_that_aborts_is_an_error(folder: Path) -> None:
    forge(folder, "void net_invoke(void) {", "void net_invoke(void) {\n    __builtin_trap();")
    with pytest.raises(SparsemodError, match="net_test` failed"):
        verify(folder)


@pytest.mark.parametrize("name", ["net.c", "net.h", "test/test_main.c", "test/vectors.h", "Makefile"])
def test_changed_and_missing_files_are_named(folder: Path, name: str) -> None:
    with open(folder / name, "a") as file:
        file.write(" ")
    with pytest.raises(InputError, match=f"not as it was exported: {name} was changed"):
        verify(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        verify(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "sha256": 3}'])
def test_a_damaged_manifest_is_an_error(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        verify(folder)


def test_a_manifest_of_another_version_is_an_error(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match=r"another version of sparsemod \(format 2\)"):
        verify(folder)


def test_a_folder_without_an_export_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no export"):
        verify(tmp_path)


def test_a_file_is_an_error_that_says_when_it_was_compared(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"net\.onnx is a file, and folders of C are verified; other files were compared"
    ):
        verify(tmp_path / "net.onnx")


def test_without_a_compiler_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(NoCompiler, match=r"cc or gcc or clang is not installed.*apt-get install gcc"):
        verify(folder)


# --- the device ------------------------------------------------------------------------------------------------------


def tiny_graph() -> Graph:
    torch.manual_seed(0)
    return lower(nn.Linear(3, 2).eval(), [torch.randn(8, 3)])


def test_an_export_knows_its_device_and_writes_its_memory(tmp_path: Path) -> None:
    export(tiny_graph(), tmp_path / "net", device=DEVICES["stm32f746"])
    device = json.loads((tmp_path / "net" / "manifest.json").read_text())["device"]
    assert (device["name"], device["core"], device["flash_bytes"]) == ("stm32f746", "Cortex-M7", 1_048_576)
    script = (tmp_path / "net" / "device.ld").read_text()
    assert "stm32f746" in script
    assert "FLASH (rx) : ORIGIN = 0x00000000, LENGTH = 1048576" in script
    assert "RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 327680" in script


def test_a_part_that_is_no_cortex_m_gets_no_linker_script(tmp_path: Path) -> None:
    export(tiny_graph(), tmp_path / "net", device=DEVICES["arduino-uno"])
    assert not (tmp_path / "net" / "device.ld").exists()
    assert json.loads((tmp_path / "net" / "manifest.json").read_text())["device"]["name"] == "arduino-uno"


@needs_compiler
def test_without_arm_tools_a_note_says_which_package_to_install(
    tmp_path: Path, host_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny_graph(), tmp_path / "net", device=DEVICES["stm32f746"])
    *host, missing = verify(tmp_path / "net")
    assert [check.place for check in host] == ["host"] * 3
    assert missing.ok and missing.found is None
    assert "arm-none-eabi-gcc and qemu-system-arm cannot be found" in missing.note
    compiler = tmp_path / "arm-none-eabi-gcc"
    compiler.symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    *_, missing = verify(tmp_path / "net")
    assert missing.note == (
        "not run, as qemu-system-arm cannot be found. Debian and Ubuntu: apt-get install qemu-system-arm"
    )


@needs_compiler
@pytest.mark.parametrize("device", ["3", '{"name": "mine"}', '{"speed": 3}'])
def test_a_damaged_device_is_an_error(folder: Path, device: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "device": json.loads(device)}))
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        verify(folder)


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the smallest problem, with convolutions."""
    here = tmp_path_factory.mktemp("study")
    tiny = Path(__file__).parents[1] / "problems" / "tiny.py"
    (here / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = {tiny}:problem\n[TRAIN]\nname = tiny\nroot = {here}\nr1 = 2\nr2 = 0\nr3 = 0\n"
        "epochs1 = 1\n[RUN]\nexecutor = serial\n"
    )
    assert main(["search", str(here / "config.cfg")]) == 0
    return here / "tiny"


@needs_compiler
def test_export_and_verify_a_trial(
    study: Path, tmp_path: Path, host_only: None, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = load(study).pareto_front()[0]
    net = tmp_path / "net"
    assert main(["export", str(study), str(trial.number), "--to", "c", "--out", str(net)]) == 0
    assert "manifest.json, net.c, net.h, test to" in capsys.readouterr().out
    assert main(["verify", str(net)]) == 0
    text = capsys.readouterr().out
    assert text.count("same") == 3
    assert "Cortex-M: not run, as arm-none-eabi-gcc and qemu-system-arm cannot be found. Debian and Ubuntu: " in text
    assert "apt-get install gcc-arm-none-eabi qemu-system-arm" in text
    assert "AVR: not run, as avr-gcc and simavr cannot be found" in text
    vectors, arena, constants = verify(net, emulate=False)
    assert (vectors.found, arena.found, constants.found) == (
        *(8, trial.score["working_memory"]),
        trial.score["model_size"],
    )
    assert main(["export", str(study), str(trial.number), "--out", str(net)]) == 2
    assert "never overwrites" in capsys.readouterr().err


def test_export_without_a_compiler_still_writes(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = load(study).pareto_front()[0].number
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["export", str(study), str(number), "--out", str(tmp_path / "net")]) == 0
    assert "not verified: cc or gcc or clang is not installed" in capsys.readouterr().out
    assert (tmp_path / "net" / "net.c").is_file()


def test_export_of_a_trial_without_a_model(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(study), "99", "--out", str(tmp_path / "net")]) == 2
    assert "the model of trial 99 was not kept" in capsys.readouterr().err


def test_verify_of_changed_files_exits_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.c").write_text("")
    assert main(["verify", str(folder)]) == 2
    assert "net.c was changed" in capsys.readouterr().err
