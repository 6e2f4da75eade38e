"""An exported folder is a library for CMake, PlatformIO and the Arduino IDE, and its test stays outside."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsemod.compress.quantize import lower
from sparsemod.export import export

SKETCH_STUB = """
#include <stdio.h>
struct Port {
    void begin(long) {}
    void print(float value) { printf("%g", (double)value); }
    void print(char value) { putchar(value); }
    void print(unsigned long value) { printf("%lu", value); }
    void println(const char *text) { puts(text); }
} Serial;
static unsigned long micros() { return 0; }
static void delay(int) {}
#include "SKETCH"
int main() { setup(); loop(); }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    export(lower(nn.Linear(3, 2).eval(), [torch.randn(8, 3)]), tmp_path / "net")
    return tmp_path / "net"


def test_only_the_network_is_compiled_from_the_folder_itself(folder: Path) -> None:
    """Arduino and PlatformIO compile what lies beside the manifest, and leave out test/ and examples/."""
    assert [path.name for path in folder.glob("*.c*")] == ["net.c"]
    sources = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.suffix in (".c", ".ino")}
    assert sources == {"net.c", "test/test_main.c", "examples/invoke/invoke.ino"}


def test_platformio_builds_the_network_alone(folder: Path) -> None:
    manifest = json.loads((folder / "library.json").read_text())
    assert {"name", "version", "description"} <= set(manifest)
    assert manifest["headers"] == "net.h" and (folder / "net.h").is_file()
    assert manifest["build"] == {"srcDir": ".", "includeDir": ".", "srcFilter": "-<*> +<net.c> +<frontend.c>"}


def test_arduino_finds_every_required_property(folder: Path) -> None:
    lines = (folder / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert required <= set(properties)
    assert properties["architectures"] == "*" and properties["includes"] == "net.h"


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler (c++) on this machine")
def test_the_sketch_compiles_and_prints_one_number_per_output(folder: Path, tmp_path: Path) -> None:
    stub, program = tmp_path / "sketch.cpp", tmp_path / "sketch"
    stub.write_text(SKETCH_STUB.replace("SKETCH", str(folder / "examples" / "invoke" / "invoke.ino")))
    subprocess.run(["make", "-s", "-C", str(folder), "net.o"], check=True)
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{folder}"]
    subprocess.run(["c++", *flags, str(stub), str(folder / "net.o"), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    *outputs, microseconds, unit = done.stdout.split()
    assert (len(outputs), microseconds, unit) == (2, "0", "us")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine")
def test_cmake_builds_the_library_and_ctest_compares_the_vectors(folder: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    for command in (["cmake", "-S", str(folder), "-B", str(build)], ["cmake", "--build", str(build)]):
        subprocess.run(command, capture_output=True, check=True)
    assert (build / "libnet.a").is_file()
    done = subprocess.run(["ctest", "--test-dir", str(build)], capture_output=True, text=True, check=True)
    assert "100% tests passed" in done.stdout


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine")
def test_a_project_links_the_library_without_its_test(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("#include <net.h>\nint main(void) { net_invoke(); return 0; }\n")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app net)\n"
    )
    build = tmp_path / "build"
    for command in (["cmake", "-S", str(tmp_path), "-B", str(build)], ["cmake", "--build", str(build)]):
        subprocess.run(command, capture_output=True, check=True)
    assert (build / "app").is_file() and not list(build.rglob("net_test*"))
