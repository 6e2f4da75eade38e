"""A float ONNX file has the costs and the outputs of the module that it was exported from."""

import dataclasses
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.mlperf_tiny import INPUTS, NETWORKS
from problems.random_networks import Random
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.quantize import lower
from sparsemod.cost.layers import LayerCost, layer_costs, total_costs
from sparsemod.device import DEVICES
from sparsemod.errors import InputError
from sparsemod.export.onnx import export
from sparsemod.graph import trace
from sparsemod.importer import read

onnx = pytest.importorskip("onnx", reason="ONNX needs the package onnx: pip install 'sparsemod[export]'")

BOARD = DEVICES["arduino-uno"]


def costs(module: nn.Module, shape: Sequence[int]) -> list[LayerCost]:
    """The table of costs without names."""
    return [dataclasses.replace(row, name="") for row in layer_costs(trace(module, shape), BOARD)]


def assert_same(path: Path, module: nn.Module, shape: Sequence[int]) -> None:
    """Tables of costs are equal, and outputs within 1e-5."""
    found = read(path)
    assert found.input_shape == tuple(shape)
    torch.manual_seed(0)
    x = torch.randn(3, *shape)
    torch.testing.assert_close(found(x), module(x), rtol=1e-5, atol=1e-5)
    assert costs(found, shape) == costs(module, shape)
    assert total_costs(trace(found, shape), BOARD) == total_costs(trace(module, shape), BOARD)


def exported(module: nn.Module, shape: Sequence[int], path: Path, batch: str | None = "batch") -> Path:
    """What PyTorch's exporter writes, with an open or a fixed batch."""
    axes = {} if batch is None else {"input_names": ["x"], "dynamic_axes": {"x": {0: batch}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter needs one more package, and writes the same operators
        torch.onnx.export(module.eval(), (torch.randn(1, *shape),), path, dynamo=False, **axes)
    return path


def built(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
) -> Path:
    """A file from `x` to `y`, as another tool may write it."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["any"]) for name in outputs]
    stored = [numpy_helper.from_array(values, name) for name, values in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "net", inputs, ends, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.other", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def node(kind: str, *inputs: str, output: str = "y", **attributes: object) -> onnx.NodeProto:
    return onnx.helper.make_node(kind, list(inputs), [output], name=f"the_{kind}", **attributes)


ONE_CHANNEL = {0, 15}
"""Seeds with a batch norm of one channel, which our own file holds as a convolution that it cannot be told from."""


@pytest.mark.parametrize("seed", [seed for seed in range(20) if seed not in ONE_CHANNEL])
def test_our_own_file_is_the_module_it_was_written_from(tmp_path: Path, seed: int) -> None:
    module = Random(seed, sequence=False)
    export(trace(module, module.shape, "none"), tmp_path / "net.onnx")
    assert_same(tmp_path / "net.onnx", module, module.shape)


@pytest.mark.parametrize("seed", range(24, 30))
@pytest.mark.parametrize("batch", ["batch", None])
def test_file_of_pytorch_is_the_module_it_was_written_from(tmp_path: Path, seed: int, batch: str | None) -> None:
    module = Random(seed, sequence=False)
    assert_same(exported(module, module.shape, tmp_path / "net.onnx", batch), module, module.shape)


@pytest.mark.parametrize("name", ["ad", "kws"])
def test_mlperf_tiny_is_the_same(tmp_path: Path, name: str) -> None:
    module = NETWORKS[name]().eval()
    export(trace(module, INPUTS[name], "none"), tmp_path / "net.onnx")
    assert_same(tmp_path / "net.onnx", module, INPUTS[name])


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.forward_part = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
        self.head = nn.Linear(2 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_part(x).flatten(1))


def test_layers_have_the_names_of_their_weights(tmp_path: Path) -> None:
    path = exported(Named(), (1, 6, 6), tmp_path / "net.onnx")
    rows = layer_costs(trace(read(path), (1, 6, 6)), BOARD)
    assert rows == layer_costs(trace(Named(), (1, 6, 6)), BOARD)
    assert [row.name for row in rows] == ["forward_part.0", "reshape_1", "head"]


def test_zeros_count_as_pruned(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    net[0].weight.data[0] = 0
    assert trace(read(exported(net, (4,), tmp_path / "net.onnx")), (4,)).nnz == 15 - 4


def test_padding_by_rule_is_that_of_tensorflow(tmp_path: Path) -> None:
    """A stride of two over six elements with a kernel of three: one zero, at the end."""
    weight = np.ones((1, 1, 3, 3), np.float32)
    for rule, sides in (("SAME_UPPER", (0, 1, 0, 1)), ("SAME_LOWER", (1, 0, 1, 0)), ("VALID", (0, 0, 0, 0))):
        conv = node("Conv", "x", "w", auto_pad=rule, strides=[2, 2])
        path = built(tmp_path / f"{rule}.onnx", [conv], ("N", 1, 6, 6), {"w": weight})
        x = torch.randn(2, 1, 6, 6)
        torch.testing.assert_close(read(path)(x), F.conv2d(F.pad(x, sides), torch.from_numpy(weight), stride=2))


def test_matrix_product_and_sum_are_one_linear_layer(tmp_path: Path) -> None:
    weight, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2, 3], np.float32)
    nodes = [node("MatMul", "x", "w", output="p"), node("Add", "p", "b")]
    path = built(tmp_path / "net.onnx", nodes, ("N", 2), {"w": weight, "b": bias})
    assert read(path)(torch.tensor([[1.0, 2.0]])).tolist() == [[7.0, 11.0, 15.0]]  # 0 + 6 + 1, 1 + 8 + 2, 2 + 10 + 3
    graph = trace(read(path), (2,))
    assert [(operator.kind, operator.macs) for operator in graph.operators] == [("linear", 6)]
    assert graph.params == 9


def test_function_written_in_parts_is_found(tmp_path: Path) -> None:
    """An older exporter divides by the root of two; the last line of another multiplies in another order."""
    constants = {"r": np.array(2**0.5, np.float32), "one": np.ones(1, np.float32), "half": np.array(0.5, np.float32)}
    nodes = [
        node("Div", "x", "r", output="a"),
        node("Erf", "a", output="b"),
        node("Add", "b", "one", output="c"),
        node("Mul", "x", "c", output="d"),
        node("Mul", "half", "d"),
    ]
    path = built(tmp_path / "net.onnx", nodes, ("N", 4), constants)
    assert [operator.function for operator in trace(read(path), (4,)).operators] == ["gelu"]
    x = torch.randn(2, 4)
    torch.testing.assert_close(read(path)(x), F.gelu(x))


def test_shape_that_is_computed_is_constant(tmp_path: Path) -> None:
    """Flattening as x.view(x.shape[0], -1) is exported."""
    constants = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    nodes = [
        node("Shape", "x", output="s"),
        node("Gather", "s", "zero", output="n"),
        node("Unsqueeze", "n", "axes", output="m"),
        node("Concat", "m", "rest", output="t", axis=0),
        node("Reshape", "x", "t"),
    ]
    assert read(built(tmp_path / "net.onnx", nodes, ("N", 2, 3), constants))(torch.ones(5, 2, 3)).shape == (5, 6)


CASES = {
    "unknown": ([node("Cosh", "x")], "Cosh 'the_Cosh': the operator is not read; known are Add, AveragePool"),
    "int8": (
        [node("QuantizeLinear", "x", "s", output="q"), node("DequantizeLinear", "q", "s")],
        "QuantizeLinear 'the_QuantizeLinear': the network is quantized; read are float networks",
    ),
    "weights": ([node("Conv", "x", "x")], "Conv 'the_Conv': 2 of its inputs are computed by the network"),
    "resize": (
        [node("Resize", "x", "", "scales", mode="linear")],
        "Resize 'the_Resize': resizing is read to the nearest",
    ),
    "batch": ([node("Reshape", "x", "all")], "Reshape 'the_Reshape': the shape [-1] does not keep the batch"),
    "constant": ([node("Add", "x", "plane")], "ChannelAffine 'the_Add': a constant of shape (4, 4)"),
    "second output": (
        [onnx.helper.make_node("Split", ["x", "halves"], ["a", "b"], "the_Split", axis=2), node("Relu", "b")],
        "Relu 'the_Relu': reads 'b', which is another than the first output of its node",
    ),
    "domain": (
        [onnx.helper.make_node("FusedConv", ["x"], ["y"], "the_conv", domain="com.other")],
        "com.other.FusedConv 'the_conv': the operator is not read",
    ),
    "function": ([node("HardSigmoid", "x")], "HardSigmoid 'the_HardSigmoid': alpha 0.2 and beta 0.5"),
}
CONSTANTS = {
    "s": np.array(0.1, np.float32),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "all": np.array([-1]),
    "halves": np.array([2, 2]),
    "plane": np.ones((4, 4), np.float32),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, case: str) -> None:
    nodes, message = CASES[case]
    used = {name: values for name, values in CONSTANTS.items() if any(name in part.input for part in nodes)}
    path = built(tmp_path / "net.onnx", nodes, ("N", 1, 4, 4), used)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read(path)


@pytest.mark.parametrize(("shape", "shown"), [(("N", 1, "H", 8), "N, 1, H, 8"), ((8,), "8"), (("N", None), "N, ?")])
def test_open_axes_beside_the_batch_are_refused(tmp_path: Path, shape: Sequence[int | str], shown: str) -> None:
    path = built(tmp_path / "net.onnx", [node("Relu", "x")], shape)
    with pytest.raises(InputError, match=re.escape(f"has the axes ({shown}); the first must be the batch, and only")):
        read(path)


def test_our_own_integer_file_is_refused(tmp_path: Path) -> None:
    export(lower(nn.Linear(4, 3).eval(), [torch.randn(8, 4)]), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="the network is quantized; read are float networks, which are costed as int8"):
        read(tmp_path / "net.onnx")


def test_two_outputs_are_refused(tmp_path: Path) -> None:
    path = built(tmp_path / "net.onnx", [node("Relu", "x"), node("Tanh", "x", output="z")], ("N", 4), None, 17, "yz")
    with pytest.raises(InputError, match="has 2 outputs; a network must have one"):
        read(path)


def test_absent_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.onnx cannot be read: No such file"):
        read(tmp_path / "no.onnx")
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"net\.onnx is damaged, or no ONNX file"):
        read(tmp_path / "net.onnx")


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        InputError, match=r"onnx is not installed, to read net\.onnx: pip install 'sparsemod\[export\]'"
    ):
        read("net.onnx")
