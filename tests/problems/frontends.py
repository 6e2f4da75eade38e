"""Signals for front ends, and their C code as a function."""

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsemod.frontend import FrontEnd

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def signals(count: int, rate: int, seed: int = 0) -> Tensor:
    """Silence, the two ends of the scale, a square wave, noise of three levels, and a chirp: (8, count), int16."""
    rng = np.random.default_rng(seed)
    time = np.arange(count)
    square = np.where(time // 7 % 2 == 0, 32767, -32768)
    noise = [rng.integers(-level, level + 1, count) for level in (1, 300, 32767)]
    chirp = 20_000 * np.sin(np.pi * time * time * 0.45 / count)
    rows = [np.zeros(count), np.full(count, -32768), np.full(count, 32767), square, *noise, chirp]
    return torch.from_numpy(np.round(np.stack(rows)).astype(np.int16))


def write(front: FrontEnd, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in front.c_source().items():
        (folder / name).write_text(text)


def compiled(front: FrontEnd, folder: Path) -> Callable[[Tensor, int], Tensor]:
    """The C code as a function of clips (N, S), given so many samples at a time."""
    write(front, folder)
    library = folder / "frontend.so"
    subprocess.run(["cc", *FLAGS, "-shared", "-fPIC", str(folder / "frontend.c"), "-o", str(library)], check=True)
    code = ctypes.CDLL(str(library))
    state = ctypes.create_string_buffer(front.ram_bytes)

    def run(clips: Tensor, chunk: int) -> Tensor:
        found = torch.zeros(len(clips), *front.output_shape, dtype=torch.int8)
        for clip, features in zip(clips, found, strict=True):
            code.frontend_start(state)
            parts = clip.split(chunk)
            done = [
                code.frontend_push(
                    state,
                    ctypes.c_void_p(part.data_ptr()),
                    ctypes.c_long(len(part)),
                    ctypes.c_void_p(features.data_ptr()),
                )
                for part in parts
            ]
            assert done[-1] == 1
        return found

    return run
