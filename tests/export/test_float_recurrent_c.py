"""Exported C of recurrent layers in float: whole sequences and steps of them, in every form."""

from pathlib import Path

import pytest
import torch
from problems.float_exports import CLOSE, SANITIZERS, STEP, needs_compiler, real, require_close
from problems.modules import Apart
from problems.quantized_networks import dynamic
from problems.random_networks import Sequence
from problems.streams import STEPS, Stacked
from test_verify import forge
from torch import nn

from sparsemod.compress.quantize import lower
from sparsemod.export import export, verify
from sparsemod.graph.streaming import streamed


@needs_compiler
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("scheme", ["dynamic", "none"])
def test_recurrent_layers_of_every_form(tmp_path: Path, kind: type, scheme: str) -> None:
    """Two layers and directions, without bias, all steps and the last."""
    torch.manual_seed(0)
    both = Sequence(kind(3, 5, 2, batch_first=True, bidirectional=True), "state")
    last = Sequence(kind(3, 4, batch_first=True, bias=False), "last")
    every = nn.Sequential(Sequence(kind(3, 2, batch_first=True), "all"), nn.Flatten())
    require_close(real(Apart(both, last, every), 6, 3, scheme=scheme), tmp_path / "net", CLOSE, *SANITIZERS)


@needs_compiler
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("read", ["all", "last"])
@pytest.mark.parametrize("scheme", ["dynamic", "none"])
def test_float_recurrent_layer_between_int8_layers(tmp_path: Path, kind: type, read: str, scheme: str) -> None:
    """It reads and writes int8, and keeps its states in float."""
    torch.manual_seed(0)
    layer = Sequence(kind(6, 5, batch_first=True), read)
    layer.quant_scheme = scheme
    module = nn.Sequential(
        nn.Conv1d(4, 7, 1), nn.ReLU(), layer, nn.Flatten(), nn.Linear(35 if read == "all" else 5, 3)
    ).eval()
    graph = lower(module, [x := torch.randn(32, 4, 6)], "both")
    assert {activation.itemsize for activation in graph.activations} == {1}
    assert not graph.exact
    assert (graph(x) - module(x)).abs().max() < 0.01
    require_close(graph, tmp_path / "net", STEP, *(SANITIZERS if scheme == "none" else ()))


@needs_compiler
@pytest.mark.parametrize(("seed", "scheme"), [(0, "dynamic"), (1, "none"), (2, "dynamic"), (3, "dynamic")])
def test_float_networks_of_one_step_keep_their_states(tmp_path: Path, seed: int, scheme: str) -> None:
    module = Stacked(seed)
    graph = streamed(lower(module, [module.inputs(16)], scheme))
    assert graph.steps == STEPS
    require_close(graph, tmp_path / "net", CLOSE)
    forge(tmp_path / "net", "saved[unit] = before[unit]", "saved[unit] = 0")
    assert not verify(tmp_path / "net", emulate=False)[0].ok


@needs_compiler
def test_network_of_one_step_that_writes_float_states_in_eight_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = dynamic(Sequence(nn.LSTM(4, 5, batch_first=True), "last"))
    graph = streamed(real(nn.Sequential(layer, nn.Linear(5, 3)), 6, 4, scheme="both"))
    require_close(graph, tmp_path / "net", STEP, *SANITIZERS)


@needs_compiler
def test_tokens_are_written_as_they_are(tmp_path: Path) -> None:
    """Those beyond the table read its last row, and nothing behind it."""
    module = nn.Sequential(nn.Embedding(300, 3), nn.Flatten(), nn.Linear(12, 2)).eval()
    graph = lower(module, [torch.randint(300, (8, 4))], "dynamic")
    vectors = torch.tensor([[0, 1, 2, 299], [300, 299, 70_000, 17]]).float()
    export(graph, tmp_path / "net", vectors)
    assert "#define NET_INPUT_SIZE 4 /* 4, tokens from 0 on */" in (tmp_path / "net" / "net.h").read_text()
    assert all(found.ok for found in verify(tmp_path / "net", SANITIZERS, emulate=False))
    require_close(graph, tmp_path / "defaults")
