"""The command line as a user meets it first: help, examples, mistakes, values and devices."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sparsemod import DEVICES, Device, __version__
from sparsemod.cli import main

THREE_FAULTS = """
import torch
from torch import nn
from sparsemod import Data, Int, Problem, SearchSpace, Tensors

def build(parameters, input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, parameters["width"]), nn.ReLU(), nn.Linear(parameters["width"], 10))

def load_data():
    samples = Tensors(torch.randn(40, 4), torch.arange(40) % 2)
    return Data(samples, samples, None, (4,), 2)

def widen(parameters, space, rng):
    return {"width": parameters["width"] * 100}

problem = Problem(SearchSpace({"width": Int(4, 8)}), build, load_data, [widen])
"""


def test_help_names_every_command_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for command in (
        "init",
        "check",
        "search",
        "pareto",
        "report",
        "test",
        "export",
        "verify",
        "score",
        "devices",
        "config",
    ):
        assert command in text
    assert "2 bad input" in text


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_module_and_script_are_the_same_command():
    module = subprocess.run(
        [sys.executable, "-m", "sparsemod", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout.strip() == f"sparsemod {__version__}"


@pytest.mark.parametrize(
    "kind", ["digits", "mnist", "cifar10", "custom", "har", "spoken_digits", "japanese_vowels", "autoencoder"]
)
def test_init_writes_a_configuration_without_mistakes(folder, capsys, kind):
    assert main(["init", "new", "--kind", kind]) == 0
    assert "sparsemod check new/config.cfg" in capsys.readouterr().out
    assert sorted(path.name for path in Path("new").iterdir()) == ["config.cfg", "problem.py"]
    assert main(["config", "show", "new/config.cfg"]) == 0


def test_init_never_overwrites(folder, capsys):
    Path("config.cfg").write_text("mine")
    assert main(["init", ".", "--kind", "custom"]) == 2
    assert "config.cfg" in capsys.readouterr().err
    assert Path("config.cfg").read_text() == "mine"
    assert not Path("problem.py").exists()


def test_check_passes_the_example(folder, capsys):
    main(["init", ".", "--kind", "custom"])
    assert main(["check", "config.cfg"]) == 0
    assert "no faults found" in capsys.readouterr().out


def test_check_names_three_planted_faults(folder, capsys):
    Path("mine.py").write_text(THREE_FAULTS)
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n")
    assert main(["check", "config.cfg"]) == 2
    text = capsys.readouterr().out
    assert "100% of the validation samples are training samples too" in text
    assert "output (10,); it must be (2,)" in text
    assert "widen leaves the space: width is" in text
    assert "3 faults found" in text


def test_devices_are_listed_with_what_is_known_of_them(capsys):
    assert main(["devices"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows.keys() >= DEVICES.keys()
    assert rows["stm32l4r5"] == [
        *("stm32l4r5", "Cortex-M4", "120", "655,360", "2,097,152", "3.7", "12", "3.9", "75", "measured"),
    ]
    assert rows["cortex-m55"][-1] == "estimate"


def test_devices_show_their_sources(capsys):
    assert main(["devices", "--sources"]) == 0
    text = capsys.readouterr().out
    for device in DEVICES.values():
        assert f"{device.name}\n  cycles: {device.source}\n" in text
    assert "power: not known" in text


def test_devices_as_json_have_every_figure(capsys):
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Device(**row) for row in found] == list(DEVICES.values())


def test_config_show_names_the_origin_of_every_value(folder, capsys, monkeypatch):
    Path("config.cfg").write_text("[TRAIN]\nr1 = 3\n")
    monkeypatch.setenv("SPARSEMOD_TRAIN_R2", "5")
    assert main(["config", "show", "config.cfg", "--set", "TRAIN.r3=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("#")[1].strip() for line in lines if line.startswith(("r1 ", "r2 ", "r3 ", "seed "))] == [
        "config.cfg", "environment SPARSEMOD_TRAIN_R2", "--set", "default",
    ]  # fmt: skip
