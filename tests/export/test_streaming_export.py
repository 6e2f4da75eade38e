"""Exported networks of one step: fed step by step they give what was recorded of whole sequences, in the bytes kept."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from problems.streams import FEATURES, STEPS, Stacked, Stepwise, whole
from test_verify import forge
from torch import nn

from sparsemod.cost import model_size_bytes, plan
from sparsemod.device import DEVICES
from sparsemod.errors import InputError
from sparsemod.export import export, onnx, pte, tflite, verify
from sparsemod.graph import Graph
from sparsemod.graph.streaming import streamed

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def of_steps(seed: int) -> Graph:
    module = Stacked(seed)
    return streamed(whole(module, module.inputs(16)))


def stepwise() -> Graph:
    torch.manual_seed(0)
    return streamed(whole(Stepwise(), torch.randn(32, STEPS, FEATURES)))


@needs_compiler
@pytest.mark.parametrize("seed", range(12))
def test_steps_give_what_the_whole_sequence_gives(tmp_path: Path, seed: int) -> None:
    """Dense layers and pruned ones, with weights of 8 and 4 bits, for numbers and for tokens."""
    graph = of_steps(seed)
    vectors = torch.randint(-128, 128, (12, *graph.input_shape), dtype=torch.int8)
    export(graph, tmp_path / "net", vectors)
    assert [check.found for check in verify(tmp_path / "net", emulate=False)] == [
        *(12, plan(graph).size, model_size_bytes(graph))
    ]


@needs_compiler
@pytest.mark.parametrize("make", [stepwise, lambda: of_steps(3), lambda: of_steps(4)])
def test_steps_are_clean_under_sanitizers(tmp_path: Path, make: Callable[[], Graph]) -> None:
    export(make(), tmp_path / "net")
    assert all(check.ok for check in verify(tmp_path / "net", SANITIZERS, emulate=False))


@needs_compiler
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_states_go_on_from_step_to_step_and_begin_anew_with_a_sequence(tmp_path: Path, kind: type) -> None:
    """Without the one or the other there is a difference, so the recorded vectors tell."""
    torch.manual_seed(0)
    graph = streamed(whole(Last(kind), torch.randn(16, STEPS, FEATURES)))
    for name, old, new in (
        ("never begins", "        arena[i] = 0;", "        arena[i] = arena[i];"),
        ("forgets", "saved[unit] = now.h[unit];", "saved[unit] = 0;"),
        ("begins at each step", "void net_invoke(void) {", "void net_invoke(void) {\n    net_start();"),
    ):
        export(graph, tmp_path / name)
        assert verify(tmp_path / name, emulate=False)[0].verdict == "same"
        forge(tmp_path / name, old, new)
        assert verify(tmp_path / name, emulate=False)[0].verdict == "DIFFERENT"


class Last(nn.Module):
    """The last state of a recurrent layer, and a linear layer of it."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.layer, self.head = kind(FEATURES, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0][:, -1])


def test_header_explains_the_steps(tmp_path: Path) -> None:
    graph = of_steps(3)
    export(graph, tmp_path / "net")
    header, code = ((tmp_path / "net" / name).read_text() for name in ("net.h", "net.c"))
    assert f"#define NET_STEPS {STEPS}\nvoid net_start(void);" in header
    assert f"#define NET_INPUT_SIZE {FEATURES} /* 1 x {FEATURES} */" in header
    assert "begin a sequence, then for each of its steps write the input and call net_invoke" in header
    assert f"for (long i = {min(plan(graph).scratch.values())}; i < NET_ARENA_SIZE; i++)" in code
    module = Stacked(3)
    export(whole(module, module.inputs(8)), tmp_path / "whole")
    assert "net_start" not in "".join((tmp_path / "whole" / name).read_text() for name in ("net.h", "net.c"))


@pytest.mark.parametrize(
    ("package", "write"), [("onnx", onnx.export), ("ai_edge_litert", tflite.export), ("", pte.export)]
)
def test_formats_without_states_refuse(tmp_path: Path, package: str, write: Callable[[Graph, Path], object]) -> None:
    if package:
        pytest.importorskip(package, reason=f"needs {package}")
    with pytest.raises(InputError, match="keeps its states, which only exported C does: --to c"):
        write(of_steps(3), tmp_path / "net")
    assert not list(tmp_path.iterdir())


# --- emulated --------------------------------------------------------------------------------------------------------


@pytest.mark.arm
@pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "arm-none-eabi-gcc", "qemu-system-arm", "avr-gcc", "simavr"))),
    reason="no C compiler, or no arm-none-eabi-gcc, qemu-system-arm, avr-gcc or simavr",
)
@pytest.mark.parametrize("make", [stepwise, *(lambda seed=seed: of_steps(seed) for seed in range(6))])
def test_steps_are_the_same_on_emulated_processors(tmp_path: Path, make: Callable[[], Graph]) -> None:
    graph = make()
    export(graph, tmp_path / "net", device=DEVICES["arduino-uno"])
    checks = verify(tmp_path / "net")
    assert all(check.ok for check in checks), checks
    arenas = {check.place: check.found for check in checks if check.name == "arena (bytes)"}
    assert arenas == dict.fromkeys(
        ("host", "Cortex-M3", "Cortex-M4", "Cortex-M7", "Cortex-M33", "AVR"), plan(graph).size
    )
    assert {check.found for check in checks if check.name == "vectors with identical outputs"} == {8}


@pytest.mark.arm
@pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "arm-none-eabi-gcc", "qemu-system-arm"))),
    reason="no C compiler, or no arm-none-eabi-gcc or qemu-system-arm",
)
def test_what_is_counted_is_one_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = whole(Last(nn.GRU), torch.randn(16, 20, FEATURES))
    counts = []
    for name, each in {"whole": graph, "step": streamed(graph)}.items():
        export(each, tmp_path / name)
        checks = verify(tmp_path / name)
        counts.append([check.found for check in checks if check.name == "instructions per inference"])
    for of_sequence, of_step in zip(*counts, strict=True):
        assert of_sequence is not None and of_step is not None
        assert 15 * of_step < of_sequence < 20 * of_step
