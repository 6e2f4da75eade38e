"""How the text of a value is read, and refused."""

from pathlib import Path

import pytest
from problems.settings import Write, mistakes

from sparsemod.config import read
from sparsemod.device import DEVICES


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("DEVICE.model_size", "2 KB", 2000),
        ("DEVICE.model_size", "64 KiB", 65_536),
        ("DEVICE.model_size", "64kib", 65_536),
        ("DEVICE.model_size", "1.5 MB", 1_500_000),
        ("DEVICE.model_size", "1 MiB", 1_048_576),
        ("DEVICE.model_size", "300 B", 300),
        ("DEVICE.model_size", "1e3", 1000),
        ("DEVICE.model_size", "none", None),
        ("DEVICE.working_memory", "1536", 1536),
        ("DEVICE.latency", "0.1 s", 100),
        ("DEVICE.latency", "20 ms", 20),
        ("DEVICE.latency", "20", 20),
        ("DEVICE.latency", "500 us", 0.5),
        ("DEVICE.energy", "0.5 mJ", 0.5),
        ("DEVICE.energy", "20 uJ", 0.02),
        ("DEVICE.energy", "0.1 J", 100),
        ("DEVICE.energy", "3", 3),
        ("DEVICE.device", "board.py:board", "board.py:board"),
        ("TRAIN.time_limit", "20 min", 1200),
        ("TRAIN.time_limit", "2h", 7200),
        ("TRAIN.time_limit", "1 d", 86_400),
        ("TRAIN.time_limit", "300 ms", 0.3),
        ("TRAIN.time_limit", "90", 90),
        ("TRAIN.r1", "1_000", 1000),
        ("TRAIN.flops", "16e6", 16_000_000),
        ("TRAIN.max_error", "1", 1),
        ("TRAIN.max_error", "250.5", 250.5),
        ("TRAIN.pruning", "OFF", False),
        ("TRAIN.pruning", "Yes", True),
        ("TRAIN.objectives", "1", ("error",)),
        ("TRAIN.objectives", "2", ("error", "model_size")),
        ("TRAIN.objectives", "3", ("error", "model_size", "working_memory")),
        ("TRAIN.objectives", "4", ("error", "model_size", "working_memory", "latency")),
        ("TRAIN.objectives", "latency, error", ("latency", "error")),
        ("TRAIN.objectives", "error, energy", ("error", "energy")),
        ("TRAIN.objectives", "[error,]", ("error",)),
        ("TEST.arm", "-1", -1),
    ],
)
def test_text_is_read_as(write: Write, key: str, text: str, value: object) -> None:
    section, _, name = key.partition(".")
    config = read(write(f"[{section}]", f"{name} = {text}"))
    assert getattr(getattr(config, section.lower()), name) == value


@pytest.mark.parametrize(
    ("key", "text", "mistake"),
    [
        ("TRAIN.r1", "ten", "'ten' is not a whole number"),
        ("TRAIN.r1", "2.5", "'2.5' is not a whole number"),
        ("TRAIN.r1", "", "'' is not a whole number"),
        ("TRAIN.r1", "-1", "-1 must be at least 0"),
        ("TRAIN.seed", str(2**32), "4294967296 must be at most 4294967295"),
        ("TRAIN.epochs1", "0", "0 must be at least 1"),
        ("TRAIN.max_error", "0", "0 must be above 0"),
        ("TRAIN.max_error", "-1.5", "-1.5 must be above 0"),
        ("TRAIN.min_error", "x", "'x' is not a number"),
        ("TRAIN.min_error", "nan", "'nan' is not a finite number"),
        ("TRAIN.flops", "inf", "'inf' is not a finite number"),
        ("TRAIN.pruning", "maybe", "'maybe' is not true or false"),
        ("TRAIN.time_limit", "-3 min", "-3 min must be at least 0"),
        ("TRAIN.time_limit", "3 weeks", "'3 weeks' is not like 20 min; units: s, ms, min, m, h, d"),
        ("DEVICE.model_size", "0 KB", "0 KB must be above 0"),
        ("DEVICE.model_size", "9e999", "'9e999' is not a finite number"),
        ("DEVICE.model_size", "KB", "'KB' is not like 2 KB; units: b, kb, mb, gb, kib, mib, gib"),
        ("DEVICE.model_size", "2 TB", "'2 TB' is not like 2 KB; units: b, kb, mb, gb, kib, mib, gib"),
        ("DEVICE.model_size", "-", "'-' is not like 2 KB; units: b, kb, mb, gb, kib, mib, gib"),
        ("DEVICE.latency", "20 min", "'20 min' is not like 20 ms; units: ms, s, us"),
        ("DEVICE.energy", "3 kWh", "'3 kWh' is not like 0.5 mJ; units: mj, j, uj"),
        ("TRAIN.objectives", "0", "0 must be from 1 to 4, or a list of names"),
        ("TRAIN.objectives", "5", "5 must be from 1 to 4, or a list of names"),
        ("TRAIN.objectives", "", "no objective is named"),
        ("TRAIN.objectives", "error, error", "an objective is named twice"),
        (
            "TRAIN.objectives",
            "error, latncy",
            "'latncy' is not an objective; did you mean 'latency'? Known: error, model_size, working_memory, latency, "
            "energy",
        ),
        (
            "TRAIN.quant_scheme",
            "pots",
            "'pots' is not allowed; did you mean 'post'? Known: post, dynamic, both, none",
        ),
        ("RUN.executor", "dask", "'dask' is not allowed. Known: serial, processes, ray"),
        (
            "DEVICE.device",
            "arduino",
            f"'arduino' is not allowed; did you mean 'arduino-uno'? Known: {', '.join(DEVICES)}, or your own as "
            "file.py:name",
        ),
        (
            "TRAIN.name",
            "run #3",
            "'run #3' must be one line, and no word of it may begin with # or ;, which begin a comment",
        ),
        (
            "TRAIN.name",
            "a\nb",
            "'a\\nb' must be one line, and no word of it may begin with # or ;, which begin a comment",
        ),
    ],
)
def test_wrong_value_is_refused_with_what_is_allowed(write: Write, key: str, text: str, mistake: str) -> None:
    assert mistakes(write(), f"{key}={text}") == [f"--set {key}: {mistake}"]


def test_objectives_of_ones_own_may_be_named_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.cfg"
    path.write_text("[TRAIN]\nobjectives = error, heat, energy_uj, memory\n")
    config = read(path)
    assert config.train.objectives == ("error", "heat", "energy_uj", "memory")
    path.write_text(config.to_ini())
    assert read(path).train.objectives == config.train.objectives
