"""An exported LiteRT model computes what the network computes, within a step per layer."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.exported import Everything, int8, member
from problems.mlperf_tiny import INPUTS, NETWORKS
from problems.random_networks import Random
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod import load
from sparsemod.cli import main
from sparsemod.compress.quantize import lower
from sparsemod.errors import InputError
from sparsemod.export import tflite, tflite_kinds
from sparsemod.export.tflite import export
from sparsemod.graph import Activation, Graph, Operator, trace

NEEDED = "LiteRT needs the package ai-edge-litert: pip install 'sparsemod[litert]'"


@pytest.fixture
def interpreter():
    """The module of LiteRT's interpreter."""
    return pytest.importorskip("ai_edge_litert.interpreter", reason=NEEDED)


def test_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(InputError, match=r"is not installed, for LiteRT: pip install 'sparsemod\[litert\]'"):
        export(member(0), tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


def test_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_text("mine")
    with pytest.raises(InputError, match=r"net\.tflite exists, and an export never overwrites"):
        export(member(0), tmp_path / "net.tflite")
    assert (tmp_path / "net.tflite").read_text() == "mine"


@pytest.mark.parametrize("seed", range(6))
def test_members_of_the_space_compute_the_same(tmp_path: Path, interpreter, seed: int) -> None:
    whole = export(member(seed), tmp_path / "net.tflite")
    assert whole.largest <= 2 and whole.agreement == 1


def alone(graph: Graph, operator: Operator) -> Graph:
    """One operator of one input as a network."""
    ends = (graph.activations[operator.inputs[0]], graph.activations[operator.output])
    return Graph((replace(operator, inputs=(0,) * len(operator.inputs), output=1),), ends)


@pytest.mark.parametrize("seed", range(10))
def test_each_operator_alone_is_within_one_step(tmp_path: Path, interpreter, seed: int) -> None:
    module = Random(seed, sequence=False)
    graph = int8(module, *module.shape)
    for place, operator in enumerate(graph.operators):
        if len(set(operator.inputs)) == 1 and operator.kind in tflite_kinds.KINDS:
            whole = export(alone(graph, operator), tmp_path / f"{place}.tflite")
            assert whole.largest <= (1 if operator.multiplier is not None or operator.kind == "softmax" else 0)


def test_sums_products_and_joined_channels_are_within_one_step(tmp_path: Path, interpreter) -> None:
    class Joined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            gate = F.adaptive_avg_pool2d(x, 1)
            return torch.cat([F.relu(x * gate), x + F.max_pool2d(x, 3, 1, 1)], 1)

    assert export(int8(Joined(), 2, 5, 4), tmp_path / "net.tflite").largest <= 1


@pytest.mark.parametrize(("axis", "shape"), [(2, (2, 5, 4)), (3, (2, 5, 4)), (2, (3, 6)), (1, (5,))])
def test_any_axis_can_be_joined(tmp_path: Path, interpreter, axis: int, shape: tuple[int, ...]) -> None:
    class Joined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([F.relu(x), x], axis)

    assert export(int8(Joined(), *shape), tmp_path / "net.tflite").largest <= 1


def test_every_operator_of_c_is_written(tmp_path: Path, interpreter) -> None:
    """Groups, dilation, unequal strides, bounds that are not those of a ReLU, and a pool that counts upwards."""
    torch.manual_seed(1)
    assert export(int8(Everything(), 2, 9, 10), tmp_path / "net.tflite").largest <= 2


class Moved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(F.relu(F.pad(x, (1, 0, 2, 3))), scale_factor=(2, 3))
        return torch.cat([x.permute(0, 3, 1, 2), x.transpose(1, 3).transpose(2, 3)], 1).flatten(1)


def test_what_moves_numbers_is_exact(tmp_path: Path, interpreter) -> None:
    assert export(int8(Moved(), 2, 4, 5), tmp_path / "net.tflite").largest == 0


def test_file_has_int8_ends_with_channels_last(tmp_path: Path, interpreter) -> None:
    graph = int8(nn.Conv2d(3, 2, 3), 3, 6, 5)
    export(graph, tmp_path / "net.tflite")
    model = interpreter.Interpreter(str(tmp_path / "net.tflite"))
    (entry,), (end,) = model.get_input_details(), model.get_output_details()
    assert (entry["shape"].tolist(), entry["dtype"]) == ([1, 6, 5, 3], np.int8)
    assert (end["shape"].tolist(), end["dtype"]) == ([1, 4, 3, 2], np.int8)
    assert entry["quantization"] == pytest.approx((graph.activations[0].scale, graph.activations[0].zero_point))


def test_mlperf_tiny_keyword_spotting_is_as_small_as_its_weights(tmp_path: Path, interpreter) -> None:
    """A byte for each weight, four for each bias and for each scale; the rest describes tensors and operators."""
    torch.manual_seed(0)
    graph = int8(NETWORKS["kws"](), *INPUTS["kws"])
    whole = export(graph, tmp_path / "net.tflite")
    assert whole.largest <= 1 and whole.agreement == 1
    assert (tmp_path / "net.tflite").stat().st_size < 2.1 * graph.params


def test_operator_without_a_counterpart_is_refused_by_name(tmp_path: Path, interpreter) -> None:
    graph = int8(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6)), 4)
    with pytest.raises(InputError, match=r"LiteRT has no such operators: 1 \(layer_norm\)"):
        export(graph, tmp_path / "net.tflite")
    with pytest.raises(InputError, match=r"max_pool_0: LiteRT has no max pooling with dilation \(2, 2\)"):
        export(int8(nn.MaxPool2d(2, dilation=2), 1, 5, 5), tmp_path / "net.tflite")


def test_float_networks_are_refused(tmp_path: Path, interpreter) -> None:
    with pytest.raises(InputError, match=r"has float parts\. LiteRT is written for networks that are int8 throughout"):
        export(trace(nn.Linear(2, 1), (2,), "none"), tmp_path / "net.tflite")
    between = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    between[1].quant_scheme = "none"  # int8 before and behind it
    with pytest.raises(InputError, match="has float parts"):
        export(lower(between.eval(), [torch.randn(8, 2)], "both"), tmp_path / "net.tflite")
    with pytest.raises(InputError, match="computes nothing"):
        export(Graph((), (Activation((2,), 1),)), tmp_path / "net.tflite")


def test_same_network_gives_the_same_bytes(interpreter) -> None:
    assert tflite.model(member(0)) == tflite.model(member(0))


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the smallest problem."""
    here = tmp_path_factory.mktemp("study")
    tiny = Path(__file__).parents[1] / "problems" / "tiny.py"
    (here / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = {tiny}:problem\n[TRAIN]\nname = tiny\nroot = {here}\nr1 = 1\nr2 = 0\nr3 = 0\n"
        "epochs1 = 1\n[RUN]\nexecutor = serial\n"
    )
    assert main(["search", str(here / "config.cfg")]) == 0
    return here / "tiny"


def test_command_writes_and_says_how_far_apart(
    study: Path, tmp_path: Path, interpreter, capsys: pytest.CaptureFixture[str]
) -> None:
    net, number = tmp_path / "net.tflite", load(study).pareto_front()[0].number
    command = ["export", str(study), str(number), "--to", "tflite", "--out", str(net)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"wrote {net} ({net.stat().st_size:,} bytes)" in text
    assert "64 inputs, computed by LiteRT with its reference kernels: largest difference" in text
    assert main(command) == 2
    assert "never overwrites" in capsys.readouterr().err
    assert main(["verify", str(net)]) == 2
    assert "is a file, and folders of C are verified" in capsys.readouterr().err


def test_wrong_model_is_not_written(
    study: Path, tmp_path: Path, interpreter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def negated(draft, name, operator, inputs):
        weight = -operator.weight
        return right(draft, name, replace(operator, weight=weight, bias=-operator.bias), inputs)

    right = tflite_kinds.KINDS["linear"]
    monkeypatch.setattr(tflite_kinds, "KINDS", {**tflite_kinds.KINDS, "linear": negated})
    number = load(study).pareto_front()[0].number
    assert main(["export", str(study), str(number), "--to", "tflite", "--out", str(tmp_path / "net.tflite")]) == 1
    assert "computes something else for 64 inputs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
