"""An exported program of ExecuTorch computes what the network computes."""

import sys
from pathlib import Path

import pytest
import torch
from problems.exported import Everything, int8, member
from problems.mlperf_tiny import INPUTS, NETWORKS
from problems.random_networks import Joined, Random
from torch import nn

from sparsemod.cli import main
from sparsemod.errors import InputError
from sparsemod.export import onnx_kinds, qdq
from sparsemod.export.pte import export
from sparsemod.graph import Activation, Graph, Operator, run, trace
from sparsemod.results import load

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
@pytest.mark.parametrize("kernels", ["xnnpack", "portable"])
def test_member_of_the_space_computes_the_same_from_its_file(tmp_path: Path, runtime, kernels: str) -> None:
    """The fourth has a padding that XNNPACK does not run."""
    graph = member({"xnnpack": 0, "portable": 3}[kernels])
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


# --- Cortex-M --------------------------------------------------------------------------------------------------------


def operators(program: bytes) -> set[bytes]:
    """Names of those that a program calls, without its dialects."""
    return {name.split(b"\0")[0] for name in program.split(b"cortex_m::")[1:]}


@pytest.mark.slow
@pytest.mark.parametrize("core", ["Cortex-M0+", "Cortex-M4", "Cortex-M55"])
def test_member_of_the_space_is_all_kernels_of_the_cortex_m(tmp_path: Path, runtime, core: str) -> None:
    """With a skip, squeezed and depthwise layers, uneven pads and a max pool; the rest is moved, not computed."""
    done = export(member(5), tmp_path / "net.pte", "cortex-m", core)
    assert (done.kernels, done.note, done.whole.vectors) == ("cortex-m", "", 32)
    assert done.whole.largest <= 1 and done.whole.agreement == 1
    content = (tmp_path / "net.pte").read_bytes()
    assert b"aten::" not in content
    assert operators(content) == {
        b"quantize_per_tensor", b"pad", b"quantized_conv2d", b"quantized_depthwise_conv2d", b"quantized_max_pool2d",
        b"quantized_avg_pool2d", b"quantized_add", b"dequantize_per_tensor",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws", "ad"])
def test_networks_of_mlperf_tiny_are_within_one_step_on_a_cortex_m(tmp_path: Path, runtime, name: str) -> None:
    torch.manual_seed(0)
    done = export(int8(NETWORKS[name](), *INPUTS[name]), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert (done.kernels, done.note) == ("cortex-m", "")
    assert done.whole.largest <= 1 and done.whole.agreement == 1
    assert b"aten::" not in (tmp_path / "net.pte").read_bytes()


class Gated(nn.Module):
    """Squeeze-and-excitation by a sigmoid, a concatenation, and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.parts = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            Joined("mul", nn.Identity(), gate, nn.Identity()),
            Joined("cat", nn.Tanh(), nn.Conv2d(4, 2, 1), nn.Identity()),
            nn.Flatten(),
            nn.Linear(6 * 7 * 5, 4),
            nn.Softmax(-1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts(x)


@pytest.mark.slow
def test_gates_tables_and_softmax_have_kernels_too(tmp_path: Path, runtime) -> None:
    torch.manual_seed(0)
    done = export(int8(Gated(), 3, 7, 5), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert (done.kernels, done.note) == ("cortex-m", "") and done.whole.largest <= 1
    found = operators((tmp_path / "net.pte").read_bytes())
    assert {b"quantized_mul", b"quantized_activation", b"softmax"} < found


@pytest.mark.slow
def test_groups_dilation_and_bounds_are_within_one_step_on_a_cortex_m(tmp_path: Path, runtime) -> None:
    torch.manual_seed(1)
    done = export(int8(Everything(), 2, 9, 10), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert done.kernels == "cortex-m" and done.whole.largest <= 1
    assert done.note == "portable kernels compute max_pool2d_with_indices"  # in integers: it has the ceil mode


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 5, 7, 10])
def test_random_networks_agree_on_a_cortex_m(tmp_path: Path, runtime, seed: int) -> None:
    """The second permutes what comes from an image of one channel; the last is dilated."""
    module = Random(seed, sequence=False)
    done = export(int8(module, *module.shape), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert done.kernels == "cortex-m"
    assert done.whole.largest <= 3 and done.whole.agreement >= 0.95


@pytest.mark.slow
def test_functions_are_tables_and_others_are_named(tmp_path: Path, runtime) -> None:
    layers = (nn.Linear(4, 8), nn.ELU(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.LayerNorm(8), nn.Linear(8, 3))
    done = export(int8(nn.Sequential(*layers), 4), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert (done.kernels, done.note) == ("cortex-m", "portable kernels compute native_layer_norm")
    assert done.whole.largest <= 1
    assert (tmp_path / "net.pte").read_bytes().count(b"quantized_activation") == 1  # a name, called three times


@pytest.mark.slow
def test_what_a_cortex_m_cannot_compute_is_written_portable_with_the_reason(tmp_path: Path, runtime) -> None:
    real = trace(nn.Linear(4, 3), (4,), "none")
    done = export(real, tmp_path / "real.pte", "cortex-m", "Cortex-M4")
    assert done.kernels == "portable" and done.whole.largest < 1e-5
    assert done.note == (
        "not written for Cortex-M4: the network has float parts; search with [TRAIN] quant_scheme = post"
    )


@pytest.mark.slow
def test_image_in_the_wrong_order_in_memory_is_noticed(tmp_path: Path, runtime) -> None:
    """A layer norm right after an image of one channel, whose order is lost; the reference computes it all the same."""
    module = Random(0, sequence=False)
    done = export(int8(module, *module.shape), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert done.kernels == "portable"
    assert done.note == "not written for Cortex-M4: native_layer_norm would read an image in an order that it has not"


@pytest.mark.slow
def test_other_processors_have_no_such_kernels(tmp_path: Path, runtime) -> None:
    with pytest.raises(InputError, match="no Cortex-M kernels for the processor AVR; choose a device with a Cortex-M"):
        export(member(0), tmp_path / "net.pte", "cortex-m", "AVR")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_nothing_stands_in_for_tosa_afterwards(tmp_path: Path, runtime) -> None:
    export(member(2), tmp_path / "net.pte", "cortex-m", "Cortex-M4")
    assert "<class" not in str(sys.modules.get("tosa_serializer", ""))


@pytest.mark.slow
def test_command_writes_for_the_device(tmp_path: Path, runtime, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = Path(__file__).parents[1] / "problems" / "tiny.py"
    (tmp_path / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = {tiny}:problem\n[TRAIN]\nname = tiny\nroot = {tmp_path}\nr1 = 1\nr2 = 0\nr3 = 0\n"
        "epochs1 = 1\n[RUN]\nexecutor = serial\n"
    )
    assert main(["search", str(tmp_path / "config.cfg")]) == 0
    number = load(tmp_path / "tiny").pareto_front()[0].number
    command = ["export", str(tmp_path / "tiny"), str(number), "--to", "pte"]
    for number, (more, runner) in enumerate(
        [
            (
                ["--device", "microbit-v2"],
                "32 inputs, computed by ExecuTorch's reference of its kernels for Cortex-M4: ",
            ),
            (["--device", "rp2040", "--kernels", "portable"], "computed by ExecuTorch with its portable kernels"),
            ([], "64 inputs, computed by ExecuTorch with its XNNPACK kernels"),
        ]
    ):
        assert main([*command, *more, "--out", str(tmp_path / f"{number}.pte")]) == 0
        assert runner in capsys.readouterr().out
    assert main([*command, "--kernels", "cortex-m", "--out", str(tmp_path / "net.pte")]) == 2
    assert "no Cortex-M kernels for the processor AVR" in capsys.readouterr().err
