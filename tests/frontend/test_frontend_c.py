"""The C code of a front end gives the same integers, in as many bytes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.frontends import compiled, signals, write

from sparsemod.errors import Infeasible
from sparsemod.export.build import memory, run
from sparsemod.frontend import FilterBank

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)


def member(seed: int) -> FilterBank:
    """Random settings that can be."""
    rng = np.random.default_rng(seed)
    while True:
        try:
            return FilterBank(
                samples=int(rng.integers(2_000, 9_000)),
                rate=int(rng.choice([8_000, 11_025, 16_000])),
                window_ms=float(rng.uniform(4, 64)),
                stride_ms=float(rng.uniform(5, 80)),
                filters=int(rng.integers(1, 41)),
                coefficients=int(rng.choice([0, 1, 6, 13])),
                low=float(rng.uniform(0, 300)),
                high=float(rng.uniform(2_000, 4_000)),
            )
        except Infeasible:
            continue


@needs_compiler
@pytest.mark.parametrize("seed", range(6))
def test_c_gives_the_same_integers_for_samples_in_any_portions(seed: int, tmp_path: Path) -> None:
    front = member(seed)
    clips = signals(front.samples, front.rate, seed)
    code = compiled(front, tmp_path)
    assert torch.equal(code(clips, 1 + 97 * seed), front(clips))


@needs_compiler
def test_samples_after_the_last_frame_are_ignored(tmp_path: Path) -> None:
    front = FilterBank(samples=1_000, rate=8_000)
    longer = signals(5_000, 8_000)
    assert torch.equal(compiled(front, tmp_path)(longer, 5_000), front(longer[:, :1_000]))


@needs_compiler
@pytest.mark.parametrize("coefficients", [0, 10])
def test_object_file_has_the_predicted_bytes(coefficients: int, tmp_path: Path) -> None:
    front = FilterBank(samples=16_000, rate=16_000, window_ms=25, coefficients=coefficients)
    write(front, tmp_path)
    (tmp_path / "ram.c").write_text('#include "frontend.h"\nFrontend frontend_state;\n')
    for name in ("frontend", "ram"):
        subprocess.run(["cc", "-std=c99", "-O2", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path, check=True)
    assert memory(run(["nm", "-S", str(tmp_path / "frontend.o")])) == (0, front.flash_bytes)
    assert memory(run(["nm", "-S", str(tmp_path / "ram.o")])) == (front.ram_bytes, 0)
