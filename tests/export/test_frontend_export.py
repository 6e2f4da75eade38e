"""Networks behind a front end as C: from raw samples to the same outputs, in the predicted bytes."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems import tones
from problems.exported import int8
from problems.searches import searched
from torch import nn

from sparsemod.cli import main
from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes, plan
from sparsemod.export import arm, artefact, avr, export, verify
from sparsemod.frontend import FilterBank
from sparsemod.graph import Graph

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
FILE = Path(tones.__file__)


def network(front: FilterBank, width: int = 4) -> Graph:
    """An untrained network behind a front end."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(3)
    )
    module(torch.zeros(1, *front.output_shape))
    graph = lower(module.eval(), [torch.randn(8, *front.output_shape)], input_scale=front.scale)
    return replace(graph, frontend=front)


SMALL = FilterBank(samples=1_000, rate=8_000, window_ms=13, stride_ms=21, filters=9)
CEPSTRAL = FilterBank(samples=4_000, rate=16_000, filters=15, coefficients=7)


@pytest.mark.parametrize("front", [SMALL, CEPSTRAL], ids=["logarithms", "coefficients"])
@pytest.mark.parametrize("width", [1, 60])
def test_samples_give_the_same_outputs_in_the_predicted_bytes(front: FilterBank, width: int, tmp_path: Path) -> None:
    graph = network(front, width)
    export(graph, tmp_path / "net")
    vectors, arena, constants = verify(tmp_path / "net", ["-fsanitize=undefined"], emulate=False)
    assert vectors.found == vectors.predicted == 4
    assert arena.found == plan(graph).size
    assert constants.found == model_size_bytes(graph)


class Recurrent(nn.Module):
    """A GRU over the frames."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(features, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x)[0][:, -1])


def test_frames_may_be_the_steps_of_a_sequence(tmp_path: Path) -> None:
    front = replace(SMALL, layout="T F")
    torch.manual_seed(0)
    graph = lower(Recurrent(9).eval(), [torch.randn(8, *front.output_shape)], input_scale=front.scale)
    graph = replace(graph, frontend=front)
    export(graph, tmp_path / "net")
    vectors, arena, _ = verify(tmp_path / "net", emulate=False)
    assert vectors.found == 4
    assert arena.found == plan(graph).size


def test_samples_of_ones_own_are_recorded(tmp_path: Path) -> None:
    clips = tones.clips(3, 7).x[:, :1_000]
    export(network(SMALL), tmp_path / "net", clips)
    assert verify(tmp_path / "net", emulate=False)[0].found == 3
    assert str(int(clips[0, 5])) in (tmp_path / "net" / "test" / "vectors.h").read_text()


def test_whole_clip_gives_what_its_portions_give(tmp_path: Path) -> None:
    export(network(SMALL), tmp_path / "net")
    whole = "static void give(int vector) {\n    net_input_from_samples(inputs[vector]);\n}\n"
    vectors = tmp_path / "net" / "test" / "vectors.h"
    text = vectors.read_text()
    vectors.write_text(text[: text.index("static void give")] + whole)
    assert "4 of 4 vectors identical" in run_make(tmp_path / "net", "test")


def run_make(folder: Path, target: str) -> str:
    done = subprocess.run(["make", "-C", str(folder), target], capture_output=True, text=True, check=True)
    return done.stdout


def test_folder_without_front_end_has_no_file_of_one(tmp_path: Path) -> None:
    export(int8(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 1, 2, 2), tmp_path / "net")
    assert not list((tmp_path / "net").glob("frontend*"))
    assert "frontend" not in (tmp_path / "net" / "net.c").read_text() + (tmp_path / "net" / "net.h").read_text()


def test_searched_front_end_is_exported_without_its_problem(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    budget = {"r1": 2, "r2": 0, "r3": 1, "epochs1": 3, "epochs3": 2, "finish_epochs": 0, "quant_scheme": "post"}
    study = searched(tmp_path, problem=f"{FILE}:problem", objectives=2, **budget)
    assert [trial.status for trial in study.trials] == 3 * ["complete"]
    best = study.pareto_front()[0]
    parameters = best.candidate.parameters
    assert study.load_model(best.number).frontend == tones.FRONT_ENDS(parameters)
    number, folder = str(best.number), tmp_path / "study"
    assert main(["score", str(folder), number]) == 0
    assert "FilterBank" in capsys.readouterr().out
    export(study.load_model(best.number), tmp_path / "net")
    found = {check.name: check.found for check in verify(tmp_path / "net", emulate=False)}
    assert found["arena (bytes)"] == best.score["working_memory"]
    assert found["weights and constants (bytes)"] == best.score["model_size"]
    assert found["vectors with identical outputs"] == 4


@pytest.mark.arm
@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
                    reason="no arm-none-eabi-gcc or qemu-system-arm (apt-get install gcc-arm-none-eabi "
                    "qemu-system-arm)")  # fmt: skip
@pytest.mark.parametrize("front", [SMALL, CEPSTRAL], ids=["logarithms", "coefficients"])
def test_cortex_m_gives_the_same_at_the_predicted_instructions(front: FilterBank, tmp_path: Path) -> None:
    export(network(front), tmp_path / "net")
    facts = artefact.read(tmp_path / "net")
    for core in ("Cortex-M3", "Cortex-M4"):
        checks = arm.emulated(tmp_path / "net", facts, arm.BOARDS[core])
        assert all(check.ok for check in checks), checks
        found = {check.name: check.found for check in checks}
        assert found["vectors with identical outputs"] == 4
    per_mac = found["instructions per inference"] / facts["macs"]
    assert 2.8 < per_mac < 4.5


@pytest.mark.arm
@pytest.mark.skipif(shutil.which("avr-gcc") is None or shutil.which("simavr") is None,
                    reason="no avr-gcc or simavr (apt-get install gcc-avr avr-libc simavr)")  # fmt: skip
def test_avr_gives_the_same(tmp_path: Path) -> None:
    export(network(SMALL), tmp_path / "net")
    checks = avr.emulated(tmp_path / "net", artefact.read(tmp_path / "net"))
    assert all(check.ok for check in checks), checks
    assert checks[0].found == checks[0].predicted > 0
