"""An exported program of ExecuTorch computes what the network computes."""

import sys
from pathlib import Path

import pytest
import torch
from problems.exported import Everything, int8, member
from problems.random_networks import Random
from torch import nn

from sparsemod.errors import InputError
from sparsemod.export import onnx_kinds, qdq
from sparsemod.export.pte import export
from sparsemod.graph import Activation, Graph, Operator, run, trace

NEEDED = "ExecuTorch needs the package executorch: pip install 'sparsemod[executorch]'"


@pytest.fixture
def runtime():
    return pytest.importorskip("executorch.runtime", reason=NEEDED).Runtime.get()


def test_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(InputError, match=r"is not installed, for ExecuTorch: pip install 'sparsemod\[executorch\]'"):
        export(member(0), tmp_path / "net.pte")
    assert not list(tmp_path.iterdir())


def test_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net.pte").write_text("mine")
    with pytest.raises(InputError, match=r"net\.pte exists, and an export never overwrites"):
        export(member(0), tmp_path / "net.pte")
    assert (tmp_path / "net.pte").read_text() == "mine"


def test_every_kind_that_onnx_has_is_written_but_for_recurrent_ones() -> None:
    assert set(qdq.KINDS) == set(onnx_kinds.KINDS) - {"lstm", "gru", "embedding"}


def test_unknown_operators_are_refused_by_name() -> None:
    operators = (Operator("fft", "spectrum", (0,), 1), Operator("sort", "order", (1,), 2))
    with pytest.raises(InputError, match=r"cannot be written: spectrum \(fft\), order \(sort\)"):
        qdq.Qdq(Graph(operators, (Activation((4,), 1),) * 3))


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["XNNPACK", "portable"])
def test_member_of_the_space_computes_the_same_from_its_file(tmp_path: Path, runtime, kernels: str) -> None:
    """The fourth has a padding that XNNPACK does not run."""
    graph = member({"XNNPACK": 0, "portable": 3}[kernels])
    done = export(graph, tmp_path / "net.pte")
    assert done.kernels == kernels
    assert (done.whole.largest, done.whole.agreement, done.whole.vectors) == (0, 1, 64)
    method = runtime.load_program(tmp_path / "net.pte").load_method("forward")
    x = torch.randn(1, *graph.activations[0].shape)
    (found,) = method.execute([x])
    torch.testing.assert_close(found, run(graph, x))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4, 5])
def test_random_operators_are_within_one_step(tmp_path: Path, runtime, seed: int) -> None:
    module = Random(seed, sequence=False)
    done = export(int8(module, *module.shape), tmp_path / "net.pte")
    assert done.whole.integer and done.whole.largest <= 1 and done.whole.agreement >= 0.95


@pytest.mark.slow
def test_every_operator_of_c_is_exact(tmp_path: Path, runtime) -> None:
    torch.manual_seed(1)
    assert export(int8(Everything(), 2, 9, 10), tmp_path / "net.pte").whole.largest == 0


@pytest.mark.slow
def test_float_network_stays_float(tmp_path: Path, runtime) -> None:
    graph = trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (4,), "none")
    whole = export(graph, tmp_path / "net.pte").whole
    assert not whole.integer and whole.largest < 1e-5
