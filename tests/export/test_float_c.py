"""Exported C of networks with float parts: close to what `graph.run` computes, in the bytes that were predicted."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems.exported import Everything, pruned
from problems.float_exports import (
    CLOSE,
    CLOSE_BEHIND_STEPS,
    SANITIZERS,
    STEP,
    needs_compiler,
    needs_emulators,
    real,
    require_close,
)
from problems.modules import Apart
from problems.quantized_networks import dynamic, network
from problems.random_networks import Random
from problems.spaces import FAMILIES, started
from problems.streams import Stacked
from test_verify import forge
from torch import Tensor, nn

from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes, plan
from sparsemod.device import DEVICES
from sparsemod.errors import InputError
from sparsemod.export import export, verify
from sparsemod.export.float_layer import FORMULAS
from sparsemod.frontend import FilterBank
from sparsemod.graph import Graph, trace
from sparsemod.graph.functions import FUNCTIONS
from sparsemod.graph.streaming import streamed

# --- every kind ------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("scheme", "share"), [("none", 0.0), ("dynamic", 0.6), ("none", 1.0)])
def test_convolutions_poolings_and_sums(tmp_path: Path, scheme: str, share: float) -> None:
    torch.manual_seed(1)
    graph = real(pruned(Everything(), share), 2, 9, 10, scheme=scheme)
    require_close(graph, tmp_path / "net", CLOSE, *SANITIZERS)
    require_close(graph, tmp_path / "plain", CLOSE)


def test_every_function_has_a_formula() -> None:
    assert FORMULAS.keys() == FUNCTIONS.keys()


@needs_compiler
def test_every_function_is_close(tmp_path: Path) -> None:
    smooth = [nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Softmax(-1), nn.ReLU6()]
    pieces = [nn.Hardsigmoid(), nn.Hardswish(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.Hardtanh(-0.5, 1.5)]
    graph = real(Apart(*smooth, *pieces, nn.ELU(), nn.ELU(0.7), nn.SELU()), 40)
    assert {operator.function for operator in graph.operators} == {*FUNCTIONS, ""}
    require_close(graph, tmp_path / "net", CLOSE, *SANITIZERS)


class Moved(nn.Module):
    """Numbers in other places, and what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.grown = nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Upsample(scale_factor=(2, 3)))
        self.norm, self.rows = nn.BatchNorm2d(3), nn.LayerNorm((2, 5), 1e-3)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[:, :, 1:3], self.norm(x)[:, :, :2], x.permute(0, 1, 3, 2)[:, :, :2, :5]], 2)  # (3, 6, 5)
        x = self.grown(x)[:, :, ::1, 2:7]
        return self.rows(x[:, :, 4:6]) * self.rows(x[:, :, :2]).mean((2, 3), keepdim=True)


@needs_compiler
def test_moved_numbers_norms_and_products(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = real(Moved(), 3, 5, 5)
    kinds = {operator.kind for operator in graph.operators}
    assert kinds >= {"slice", "permute", "pad", "upsample", "concat", "layer_norm", "mul", "avg_pool", "depthwise"}
    require_close(graph, tmp_path / "net", CLOSE, *SANITIZERS)


@needs_compiler
def test_equal_elements_are_normalized_to_nothing_but_the_bias(tmp_path: Path) -> None:
    """Whatever the last bits of their mean: divided by the root of eps they would be seen."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Hardtanh(0.1, 0.7), nn.LayerNorm(49, 1e-12))
    nn.init.normal_(module[1].bias)
    graph = real(module, 49)
    vectors = torch.tensor([0.1, 0.3, 0.7])[:, None] * torch.ones(49)
    export(graph, tmp_path / "net", vectors)
    assert torch.allclose(graph(vectors), module[1].bias.expand(3, 49), atol=1e-6)
    assert verify(tmp_path / "net", emulate=False)[0].ok


# --- weights ---------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("kept", [1.0, 0.5, 0.05])
def test_every_encoding_of_int8_and_float32_weights(tmp_path: Path, bits: int, kept: float) -> None:
    """A float32 convolution, a linear layer and a recurrent one of int8; dense, bitmap and runs."""
    torch.manual_seed(0)

    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rnn = nn.Conv1d(4, 18, 3), nn.GRU(20, 6, batch_first=True)
            self.head, self.weight_bits = nn.Linear(6, 9), bits

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.conv(x))[0][:, -1])

    graph = real(pruned(Layers(), 1 - kept), 4, 22, scheme="dynamic")
    assert [(operator.weight_itemsize, operator.weight_bits) for operator in graph.operators] == [
        *((4, 8), (1, bits), (1, bits)),
    ]
    require_close(graph, tmp_path / "net", CLOSE, *(SANITIZERS if bits == 4 else ()))


@needs_compiler
def test_a_wrong_weight_is_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = real(nn.Linear(4, 2), 4)
    require_close(graph, tmp_path / "net")
    weight = (tmp_path / "net" / "net.c").read_text().partition("_values[8] = {")[2].partition(",")[0]
    forge(tmp_path / "net", f"{{{weight},", f"{{{float(weight.rstrip('f')) + 0.01:.9g}f,")
    vectors, arena, constants = verify(tmp_path / "net", emulate=False)
    assert vectors.verdict == "DIFFERENT" and arena.ok and constants.ok


# --- where parts meet ------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("name", "compared"),
    [
        *(("dynamic head", CLOSE), ("dynamic stem", STEP), ("dynamic middle", STEP)),
        *(("dynamic branch", STEP), ("dynamic trunk", STEP), ("all dynamic", CLOSE)),
    ],
)
def test_int8_and_float_parts_meet(tmp_path: Path, name: str, compared: str) -> None:
    module, x = network(name)
    graph = lower(module, [x], "both")
    require_close(graph, tmp_path / "net", compared)
    require_close(graph, tmp_path / "clean", compared, *SANITIZERS)


@needs_compiler
def test_float_output_behind_steps_may_be_further_off(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        dynamic(nn.Conv2d(2, 4, 3)), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), dynamic(nn.Linear(36, 3))
    )
    require_close(real(module, 2, 7, 7, scheme="both"), tmp_path / "net", CLOSE_BEHIND_STEPS)


def schemed(seed: int, scheme: str) -> Graph:
    """A random network, whose parts choose their schemes under `both`."""
    module, rng = Random(seed, sequence=seed % 3 == 0 or None), torch.Generator().manual_seed(seed)
    for part in [*module.steps, module.head] if scheme == "both" else []:
        part.quant_scheme = ("post", "dynamic", "none")[int(torch.randint(3, (), generator=rng))]
    x = module.inputs(16)
    graph, traced = lower(module, [x], scheme), trace(module, module.shape, scheme)
    assert (plan(graph).size, graph.macs) == (plan(traced).size, traced.macs)
    assert model_size_bytes(graph) <= model_size_bytes(traced)
    return graph


@needs_compiler
@pytest.mark.parametrize("scheme", ["dynamic", "both"])
@pytest.mark.parametrize("seed", [0, 1, 3, 9])
def test_random_network_is_close(tmp_path: Path, seed: int, scheme: str) -> None:
    graph = schemed(seed, scheme)
    require_close(graph, tmp_path / "net", "", *SANITIZERS)
    require_close(graph, tmp_path / "plain")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("scheme", ["dynamic", "both", "none"])
def test_a_hundred_random_networks_are_close(tmp_path: Path, scheme: str) -> None:
    found = 0
    for seed in range(100, 200):
        with suppress(InputError):  # a norm may not stand everywhere under `both`
            require_close(schemed(seed, scheme), tmp_path / str(seed))
            found += 1
    assert found > 60


@needs_compiler
@pytest.mark.parametrize("scheme", ["dynamic", "both"])
@pytest.mark.parametrize("name", ["mlp", "rnn", "cnn1d", "cnn_rnn", "dscnn"])
def test_members_of_every_family_are_close(tmp_path: Path, name: str, scheme: str) -> None:
    """Under `both` every second layer chooses for itself."""
    family = FAMILIES[name]
    torch.manual_seed(0)
    built = next(found for parameters in family.members(20) if (found := family.built(parameters)) is not None)
    module = started(built, family.inputs(8))
    layers = [
        part for part in module.modules() if isinstance(part, nn.LSTM | nn.GRU | nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    for layer in layers[::2] if scheme == "both" else []:
        dynamic(layer)
    require_close(real(module, *family.shape, scheme=scheme), tmp_path / "net")


# --- what is written -------------------------------------------------------------------------------------------------


def test_header_and_library_say_float(tmp_path: Path) -> None:
    export(real(nn.Linear(4, 2), 4), tmp_path / "net")
    for path in (tmp_path / "net").rglob("*.[chi]*"):
        assert max(map(len, path.read_text().splitlines())) <= 120, path.name
    header = (tmp_path / "net" / "net.h").read_text()
    assert "float *net_input(void);" in header and "const float *net_output(void);" in header
    assert "A float is a real number as it is" in header and "An integer q" not in header
    assert "A neural network in float" in (tmp_path / "net" / "library.json").read_text()
    assert "float *input = net_input();" in (tmp_path / "net" / "examples" / "invoke" / "invoke.ino").read_text()


def test_ends_may_be_of_both_kinds(tmp_path: Path) -> None:
    export(real(nn.Sequential(nn.Linear(4, 3), dynamic(nn.Linear(3, 2))), 4, scheme="both"), tmp_path / "net")
    header = (tmp_path / "net" / "net.h").read_text()
    assert "int8_t *net_input(void);" in header and "const float *net_output(void);" in header
    assert "An integer q" in header and "A float is" in header and "in 8-bit integers and float" in header


def test_int8_networks_need_no_mathematical_library(tmp_path: Path) -> None:
    export(real(nn.Linear(4, 2), 4, scheme="post"), tmp_path / "net")
    for name in ("net.c", "net.h", "Makefile", "CMakeLists.txt", "test/vectors.h"):
        text = (tmp_path / "net" / name).read_text()
        assert "math.h" not in text and "-lm" not in text and "PUBLIC m" not in text and "TOLERANCE" not in text


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
@needs_compiler
def test_the_makefile_tests_the_network(tmp_path: Path) -> None:
    export(real(nn.Sequential(nn.Linear(4, 2), nn.GELU()), 4), tmp_path / "net")
    done = subprocess.run(["make", "-C", str(tmp_path / "net"), "test"], capture_output=True, text=True, check=True)
    assert "8 of 8 vectors within the tolerance" in done.stdout


@needs_compiler
@pytest.mark.parametrize("width", [1, 30])
def test_features_of_a_front_end_become_real_numbers(tmp_path: Path, width: int) -> None:
    """With the front end before the input in the arena, or behind it."""
    torch.manual_seed(0)
    front = FilterBank(samples=1_000, rate=8_000, window_ms=13, stride_ms=21, filters=9)
    module = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    module(torch.zeros(1, *front.output_shape))
    graph = lower(module.eval(), [torch.randn(8, *front.output_shape)], "dynamic", input_scale=front.scale)
    require_close(replace(graph, frontend=front), tmp_path / "net", CLOSE, "-fsanitize=undefined,address")
    require_close(replace(graph, frontend=front), tmp_path / "plain", CLOSE)
    assert "int8_t *net_input(void);" in (tmp_path / "net" / "net.h").read_text()


@needs_compiler
def test_missing_mathematical_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that knows no such file prints its name as it is."""
    for name in ("arm-none-eabi-gcc", "qemu-system-arm"):
        (tmp_path / name).write_text("#!/bin/sh\necho libm.a\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    export(real(nn.Linear(4, 2), 4), tmp_path / "net")
    *_, note = verify(tmp_path / "net")
    assert note.ok and note.note.startswith("not run, as libm.a cannot be found")
    assert note.note.endswith("apt-get install libnewlib-arm-none-eabi")


# --- emulated --------------------------------------------------------------------------------------------------------


def steps(seed: int) -> Graph:
    module = Stacked(seed)
    return streamed(lower(module, [module.inputs(16)], "dynamic"))


@pytest.mark.arm
@needs_emulators
@pytest.mark.parametrize(
    "graph",
    [
        *(lambda: schemed(0, "none"), lambda: schemed(1, "dynamic"), lambda: schemed(2, "none")),
        *(lambda: schemed(3, "both"), lambda: schemed(9, "both"), lambda: steps(1), lambda: steps(2)),
    ],
    ids=["real", "int8 weights", "real", "both", "both", "steps", "steps"],
)
def test_float_networks_are_close_on_emulated_processors(tmp_path: Path, graph: Callable[[], Graph]) -> None:
    export(graph(), tmp_path / "net", device=DEVICES["arduino-uno"])
    checks = [check for check in verify(tmp_path / "net") if check.place != "arduino-uno"]
    assert all(check.ok for check in checks), checks
    assert {check.place for check in checks if check.name.startswith("vectors")} == {
        *("host", "Cortex-M3", "Cortex-M4", "Cortex-M7", "Cortex-M33", "AVR"),
    }


@pytest.mark.arm
@needs_emulators
def test_float_network_is_linked_into_its_device(tmp_path: Path) -> None:
    """With the library's functions in flash, and more stack than integers need."""
    torch.manual_seed(0)
    export(real(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), 4), tmp_path / "net", device=DEVICES["stm32f446"])
    flash, ram = (check for check in verify(tmp_path / "net") if check.place == "stm32f446")
    assert flash.verdict == ram.verdict == "fits" and ram.name == "RAM, with 640 bytes of stack (bytes)"


@pytest.mark.arm
@needs_emulators
def test_a_wrong_formula_is_found_on_emulated_processors(tmp_path: Path) -> None:
    export(real(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), 4), tmp_path / "net", device=DEVICES["arduino-uno"])
    forge(tmp_path / "net", "return tanhf(x);", "return 1.001f * tanhf(x);")
    vectors = [check for check in verify(tmp_path / "net") if check.name.startswith("vectors")]
    assert len(vectors) == 6 and {check.verdict for check in vectors} == {"DIFFERENT"}
