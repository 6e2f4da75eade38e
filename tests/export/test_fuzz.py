"""Random networks of all operators: what is traced, run and exported is one network."""

import shutil
from pathlib import Path

import pytest
import torch
from problems.random_networks import Random

from sparsemod.compress.prune import prunable
from sparsemod.compress.quantize import lower
from sparsemod.cost import model_size_bytes, plan
from sparsemod.export import export, verify
from sparsemod.graph import Graph, run, trace

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
needs_arm_tools = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "nm", "arm-none-eabi-gcc", "qemu-system-arm"))),
    reason="a C compiler, arm-none-eabi-gcc or qemu-system-arm is not installed",
)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def narrow(module: Random, seed: int) -> Random:
    """The network with a number of bits for each of its parts, and some of its weights at zero."""
    rng = torch.Generator().manual_seed(seed)
    for part in [*module.steps, module.head]:
        part.weight_bits = (8, 4, 4, 2, 2)[int(torch.randint(5, (), generator=rng))]
    for weight in prunable(module):
        weight.data *= torch.rand(weight.shape, generator=rng) >= 0.9 * torch.rand((), generator=rng)
    return module


def check(module: Random, folder: Path, emulate: bool = False) -> Graph:
    x = module.inputs(16)
    real = trace(module, module.shape, "none")
    assert torch.allclose(run(real, x), module(x), atol=1e-5)
    graph, traced = lower(module, [x]), trace(module, module.shape)
    assert [operator.kind for operator in graph.operators] == [operator.kind for operator in traced.operators]
    assert plan(graph).size == plan(traced).size
    assert graph.macs == traced.macs
    assert model_size_bytes(graph) <= model_size_bytes(traced)
    export(graph, folder)
    found = verify(folder, SANITIZERS, emulate)
    assert all(check.ok for check in found), [operator.name for operator in graph.operators]
    return graph


def check_onnx(graph: Graph, path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX needs the package onnx: pip install 'sparsemod[export]'")
    pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime: 'sparsemod[export]'")
    from sparsemod.export import onnx, onnx_check

    onnx.export(graph, path)
    found = onnx_check.check(path, graph)
    assert found.ok, [layer for layer in found.layers if not layer.ok]


@needs_compiler
@pytest.mark.parametrize("seed", range(12))
def test_random_network_is_the_same_everywhere(seed: int, tmp_path: Path) -> None:
    check(Random(seed), tmp_path / "net")


@needs_compiler
@pytest.mark.parametrize("seed", range(12, 15))
def test_random_network_of_few_bits_is_the_same_everywhere(seed: int, tmp_path: Path) -> None:
    check(narrow(Random(seed), seed), tmp_path / "net")


@needs_compiler
@pytest.mark.parametrize("seed", range(10))
def test_random_sequence_is_the_same_everywhere(seed: int, tmp_path: Path) -> None:
    """Recurrent layers, some of few bits, some of tokens; as C and in ONNX Runtime."""
    module = Random(seed, sequence=True)
    graph = check(narrow(module, seed) if seed % 2 else module, tmp_path / "net")
    check_onnx(graph, tmp_path / "net.onnx")


@pytest.mark.arm
@needs_arm_tools
@pytest.mark.parametrize("seed", range(15, 30))
def test_random_network_is_the_same_on_emulated_processors(seed: int, tmp_path: Path) -> None:
    module = Random(seed, sequence=seed % 5 == 0)
    check(narrow(module, seed) if seed % 2 else module, tmp_path / "net", emulate=True)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("start", range(100, 600, 50))
def test_five_hundred_random_networks_are_the_same_everywhere(start: int, tmp_path: Path) -> None:
    """Every fifth one has weights of few bits and every fourth is a sequence, as C and in ONNX Runtime."""
    for seed in range(start, start + 50):
        module = Random(seed, sequence=seed % 4 == 0)
        graph = check(narrow(module, seed) if seed % 5 == 0 else module, tmp_path / f"net{seed}")
        check_onnx(graph, tmp_path / f"net{seed}.onnx")


@pytest.mark.parametrize("seed", range(40))
def test_random_network_is_within_one_step_in_onnx(seed: int, tmp_path: Path) -> None:
    module = Random(seed)
    graph = lower(module, [module.inputs(16)], "none" if seed % 5 == 0 else "post")
    check_onnx(graph, tmp_path / "net.onnx")
