"""The comparison in ONNX Runtime tells where a file differs, and what it cannot compare."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.exported import int8
from problems.onnx_files import compared, halved, onnx
from problems.random_networks import Random
from torch import nn

from sparsemod import load
from sparsemod.cli import main
from sparsemod.compress.quantize import lower
from sparsemod.errors import InputError
from sparsemod.export import onnx as sparsemod_onnx
from sparsemod.export.onnx import export
from sparsemod.export.onnx_check import check


def test_halves_are_one_step_apart(tmp_path: Path) -> None:
    """-1.5, -0.5, 0, 0.5, 1.5, 2.5 are -1, 0, 0, 1, 2, 3 rounded up, and -2, 0, 0, 0, 2, 2 rounded to even."""
    found = compared(halved(), tmp_path / "net.onnx", torch.tensor([[-3.0], [-1.0], [0.0], [1.0], [3.0], [5.0]]))
    (layer,) = found.layers
    assert (layer.name, layer.kind, layer.largest, layer.same, layer.ok) == ("fc", "linear", 1, 0.5, True)
    assert (found.whole.largest, found.whole.same, found.agreement, found.vectors) == (1, 0.5, 1, 6)


def test_a_wrong_layer_is_found_and_no_other(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)), 1, 4, 4)
    path = tmp_path / "net.onnx"
    export(graph, path)
    changed = onnx.load(path)
    (bias,) = (tensor for tensor in changed.graph.initializer if tensor.name == "0.bias.integers")
    bias.raw_data = (np.frombuffer(bias.raw_data, np.int32) + 1000).tobytes()
    onnx.save(changed, path)
    found = check(path, graph)
    assert [layer.ok for layer in found.layers] == [False, True, True]
    assert not found.ok and found.layers[0].largest > 1


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"cut"])
def test_damaged_files_are_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    export(halved(), path)
    path.write_bytes(path.read_bytes()[:-40] if content == b"cut" else content)
    with pytest.raises(InputError, match=r"net\.onnx is damaged, or no ONNX file"):
        check(path, halved())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.onnx cannot be read: No such file"):
        check(tmp_path / "net.onnx", halved())


def test_a_file_of_another_network_is_an_error(tmp_path: Path) -> None:
    export(halved(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net\.onnx is not of this network: .*other\.int8"):
        check(tmp_path / "net.onnx", halved().renamed(["other"]))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    export(halved(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} is not installed.*pip install 'sparsemod\[export\]'"):
        check(tmp_path / "net.onnx", halved())


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["post", "none"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the smallest problem, with convolutions; int8 or float."""
    here = tmp_path_factory.mktemp("study")
    tiny = Path(__file__).parents[1] / "problems" / "tiny.py"
    (here / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = {tiny}:problem\n[TRAIN]\nname = tiny\nroot = {here}\nr1 = 1\nr2 = 0\nr3 = 0\n"
        f"epochs1 = 1\nquant_scheme = {request.param}\n[RUN]\nexecutor = serial\n"
    )
    assert main(["search", str(here / "config.cfg")]) == 0
    return here / "tiny"


def test_export_writes_and_compares(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial, net = load(study).pareto_front()[0], tmp_path / "net.onnx"
    command = ["export", str(study), str(trial.number), "--to", "onnx", "--out", str(net)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"wrote {net} ({net.stat().st_size:,} bytes)" in text
    assert text.count(" ok\n") == len(load(study).load_model(trial.number).operators)
    assert "whole network" in text and "same class 100.00%" in text and "64 inputs" in text
    assert main(command) == 2
    assert "never overwrites" in capsys.readouterr().err


def test_a_layer_that_differs_exits_1(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {
        **sparsemod_onnx.KINDS,
        "linear": lambda draft, name, *_: draft.node("Neg", [right(draft, name, *_)], name),
    }
    right = sparsemod_onnx.KINDS["linear"]
    monkeypatch.setattr(sparsemod_onnx, "KINDS", kinds)
    number = load(study).pareto_front()[0].number
    assert main(["export", str(study), str(number), "--to", "onnx", "--out", str(tmp_path / "net.onnx")]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_fusion_that_onnx_runtime_fails_at_is_left_out(tmp_path: Path) -> None:
    """One random network, whose integer global average refuses its own scales."""
    module = Random(1060, sequence=True)
    graph = lower(module, [module.inputs(16)])
    export(graph, tmp_path / "net.onnx")
    assert check(tmp_path / "net.onnx", graph, optimize=True).ok
