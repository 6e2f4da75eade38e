from pathlib import Path

import pytest
import torch
from torch import nn

from sparsemod.errors import InputError
from sparsemod.export.onnx import export
from sparsemod.graph import trace
from sparsemod.score import graph_of, load_module, parse_shape

NETS = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(4, 3))

class Wide(nn.Linear):
    pass

def make():
    return Net()

def broken():
    raise KeyError("weights.pt")

class Recurrent(nn.Module):
    def __init__(self, both=False):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4, batch_first=True, bidirectional=both), nn.LazyLinear(2)
        self(torch.zeros(1, 5, 3))

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

both = Recurrent(True)
instance = Net()
with torch.no_grad():
    instance[1].weight[0] = 0
number = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


@pytest.mark.parametrize("name", ["instance", "Net", "make"])
def test_module_class_and_function_give_a_module(file: Path, name: str) -> None:
    assert isinstance(load_module(f"{file}:{name}"), nn.Module)


def test_relative_path_starts_at_the_folder_given(file: Path) -> None:
    assert isinstance(load_module("nets.py:Net", file.parent), nn.Module)


def test_class_of_a_package_is_found() -> None:
    assert isinstance(load_module("torch.nn:Identity"), nn.Identity)


def test_weights_that_are_zero_are_not_counted(file: Path) -> None:
    graph = graph_of(f"{file}:instance", (1, 2, 2))
    assert (graph.macs, graph.params) == (12, 15)
    assert graph.nnz == 15 - 4


def test_scheme_sets_the_bytes_per_element(file: Path) -> None:
    assert graph_of(f"{file}:Net", (4,)).activations[0].itemsize == 1
    assert graph_of(f"{file}:Net", (4,), "none").activations[0].itemsize == 4


def test_streaming_sees_one_step(file: Path) -> None:
    """3 x 4 x (3 + 4) products a step, and 4 x 2 in the head."""
    graph = graph_of(f"{file}:Recurrent", (10, 3), streaming=True)
    assert (graph.steps, graph.activations[0].shape, graph.macs) == (10, (1, 3), 84 + 8)
    with pytest.raises(InputError, match=r"both: rnn.*begins with the last step, which cannot be streamed"):
        graph_of(f"{file}:both", (10, 3), streaming=True)


def test_loading_leaves_the_default_device_alone(file: Path) -> None:
    load_module(f"{file}:make")
    assert torch.empty(1).device.type == "cpu"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "is a int; it must be an nn.Module, or a class or function without arguments that makes one"),
        ("broken", "broken(), called without arguments, raised KeyError: 'weights.pt'"),
        ("Wide", "Wide(), called without arguments, raised TypeError"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_is_no_module_is_refused(file: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_module(f"{file}:{name}")
    assert message in str(caught.value)


def test_module_without_a_shape_is_refused_with_the_next_step(file: Path) -> None:
    with pytest.raises(
        InputError, match=r"--input is missing: the shape of one sample, channels first, such as 1x28x28"
    ):
        graph_of(f"{file}:Net")


def test_onnx_file_is_scored_with_its_own_shape(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX needs the package onnx: pip install 'sparsemod[export]'")
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    export(trace(net, (1, 2, 2), "none"), tmp_path / "net.onnx")
    graph = graph_of("net.onnx", folder=tmp_path)
    assert (graph.macs, graph.params, graph.activations[0].shape) == (12, 15, (1, 2, 2))
    assert graph_of("net.onnx", (1, 2, 2), "none", tmp_path).activations[0].itemsize == 4
    with pytest.raises(InputError, match=r"net.onnx takes an input of 1x2x2, not 4; leave out --input"):
        graph_of("net.onnx", (4,), folder=tmp_path)


def test_input_of_the_wrong_shape_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match=r"nets.py:Net: the network cannot process an input of 5"):
        graph_of(f"{file}:Net", (5,))


@pytest.mark.parametrize(("text", "shape"), [("1x28x28", (1, 28, 28)), ("640", (640,)), ("3X32X32", (3, 32, 32))])
def test_shape_is_read(text: str, shape: tuple[int, ...]) -> None:
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["", "1x", "1,28,28", "axb", "0x4", "-1x4", "2.5"])
def test_text_that_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must read like 1x28x28, channels first"):
        parse_shape(text)
