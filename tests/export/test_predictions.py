"""What is known of a network before it is built, against its exported C: bytes, outputs, and which one is faster."""

import shutil
import subprocess
from itertools import islice
from pathlib import Path

import pytest
import torch
from problems.members import fitting, integer, member
from problems.mlperf_tiny import INPUTS, NETWORKS
from scipy.stats import spearmanr
from torch import nn

from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.quantize import lower
from sparsemod.cost import latency_ms, model_size_bytes, plan
from sparsemod.device import DEVICES
from sparsemod.export import Check, arm, artefact, export
from sparsemod.export.build import FLAGS
from sparsemod.graph import Graph

needs_arm = pytest.mark.skipif(
    not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))),
    reason="no arm-none-eabi-gcc or qemu-system-arm (apt-get install gcc-arm-none-eabi qemu-system-arm)",
)
IMAGE = (1, 28, 28)


def emulated(graph: Graph, folder: Path, vectors: int) -> dict[str, Check]:
    """What an emulated Cortex-M4 finds for random inputs, by the name of the check without its unit."""
    export(graph, folder, torch.randint(-128, 128, (vectors, *graph.activations[0].shape), dtype=torch.int8))
    checks = arm.emulated(folder, artefact.read(folder), arm.BOARDS["Cortex-M4"])
    return {check.name.partition(" (")[0]: check for check in checks}


def require_as_predicted(graph: Graph, found: dict[str, Check]) -> None:
    same = found["vectors with identical outputs"]
    assert same.found == same.predicted
    assert found["arena"].found == plan(graph).size
    assert found["weights and constants"].found == model_size_bytes(graph)


@needs_arm
@pytest.mark.arm
@pytest.mark.parametrize("name", NETWORKS)
def test_mlperf_tiny_on_a_cortex_m4_is_as_predicted(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    graph = integer(NETWORKS[name](), torch.randn(8, *INPUTS[name]))
    require_as_predicted(graph, emulated(graph, tmp_path / "net", vectors=2))


@needs_arm
@pytest.mark.arm
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", range(0, 200, 25))
def test_two_hundred_draws_of_the_space_on_a_cortex_m4_are_as_predicted(tmp_path: Path, start: int) -> None:
    """Flash and RAM to the byte, and the outputs, pruned as drawn. One of the draws makes no network."""
    for seed in range(start, start + 25):
        graph = member(seed, IMAGE)
        if graph is not None:
            require_as_predicted(graph, emulated(graph, tmp_path / str(seed), vectors=1))


@needs_arm
@pytest.mark.arm
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sparsity", [0.0, None], ids=["dense", "pruned as drawn"])
def test_latency_ranks_fifty_members_of_the_space_as_counted_instructions_do(
    tmp_path: Path, sparsity: float | None
) -> None:
    """Seen: 0.98 dense, 0.97 pruned. Instructions are those of our C, which leaves out zeros; cycles of CMSIS-NN."""
    device = DEVICES["stm32f446"]
    graphs = list(islice(fitting(device, IMAGE, sparsity), 50))
    counted = [
        emulated(graph, tmp_path / str(number), vectors=1)["instructions per inference"].found
        for number, graph in enumerate(graphs)
    ]
    assert spearmanr([latency_ms(graph, device) for graph in graphs], counted).statistic > 0.95


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) on this machine")
def test_a_network_that_is_90_percent_pruned_has_a_smaller_object_file(tmp_path: Path) -> None:
    """Of 41,000 weights 36,900 go, and some 2,500 bytes of run lengths come; the code differs by some hundred."""
    sizes = []
    for sparsity in (0.0, 0.9):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(400, 100), nn.ReLU(), nn.Linear(100, 10))
        PruningRamp(module, sparsity)(1, 1)
        folder, net = tmp_path / str(sparsity), tmp_path / f"{sparsity}.o"
        export(lower(module.eval(), [torch.randn(8, 400)]), folder)
        subprocess.run(["cc", *FLAGS, "-c", str(folder / "net.c"), "-o", str(net)], check=True)
        sizes.append(net.stat().st_size)
    assert sizes[0] - sizes[1] == pytest.approx(36_900 - 2_500, abs=600)
