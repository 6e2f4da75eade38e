"""Exported ONNX is the network that was scored: every layer within one step, in ONNX Runtime."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_c import SHAPE, Everything, int8, member, pruned
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod import load
from sparsemod.cli import main
from sparsemod.compress.quantize import lower
from sparsemod.errors import InputError
from sparsemod.export import layer, onnx_kinds
from sparsemod.export import onnx as sparsemod_onnx
from sparsemod.export.onnx import KINDS, OPSET, export
from sparsemod.export.onnx_check import Comparison, check
from sparsemod.graph import Activation, Graph, Operator, trace
from sparsemod.graph.functions import FUNCTIONS

onnx = pytest.importorskip("onnx", reason="ONNX needs the package onnx: pip install 'sparsemod[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime: 'sparsemod[export]'")


def compared(graph: Graph, path: Path, vectors: Tensor | None = None) -> Comparison:
    """What ONNX Runtime makes of the exported graph."""
    export(graph, path)
    return check(path, graph, vectors)


def operators(path: Path) -> list[str]:
    """Kinds of the nodes of a file, in order."""
    return [node.op_type for node in onnx.load(path).graph.node]


def initializers(path: Path) -> dict[str, np.ndarray]:
    """Constants of a file by name."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def halved() -> Graph:
    """y = x / 2 in whole steps."""
    operator = Operator(
        *("linear", "fc", (0,), 1),
        weight=torch.ones(1, 1, dtype=torch.int8),
        weight_scale=torch.ones(1),
        multiplier=torch.tensor([1], dtype=torch.int32),
        shift=torch.tensor([1], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    return Graph((operator,), (Activation((1,), 1, 1.0), Activation((1,), 1, 2.0)))


@pytest.mark.parametrize("bits", [4, 2])
def test_weights_of_few_bits_are_int8_in_the_file(tmp_path: Path, bits: int) -> None:
    torch.manual_seed(0)
    module = Everything()
    module.weight_bits = bits
    found = compared(int8(module, 2, 9, 10), tmp_path / "net.onnx")
    assert found.ok
    weights = [
        values for values in initializers(tmp_path / "net.onnx").values() if values.dtype == np.int8 and values.ndim > 1
    ]
    assert weights and max(int(np.abs(values).max()) for values in weights) == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("seed", range(20))
def test_members_of_the_space_are_within_one_step_per_layer(tmp_path: Path, seed: int) -> None:
    graph = member(seed)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok and found.vectors == 64
    assert [layer.name for layer in found.layers] == [operator.name for operator in graph.operators]
    assert max(layer.largest for layer in found.layers) <= 1
    assert min(layer.same for layer in found.layers) > 0.9
    assert found.agreement > 0.95


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_every_operator_is_within_one_step(tmp_path: Path, share: float) -> None:
    torch.manual_seed(1)
    graph = int8(pruned(Everything(), share), 2, 9, 10)
    kinds = {operator.kind for operator in graph.operators}
    assert kinds == {"conv", "depthwise", "linear", "max_pool", "avg_pool", "add", "relu", "reshape"}
    assert compared(graph, tmp_path / "net.onnx").ok
    assert check(tmp_path / "net.onnx", graph, optimize=True).ok


def test_a_signal_has_one_axis(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 6, 4, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 4, 3, stride=2, dilation=2)]
    graph = int8(nn.Sequential(*layers, nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 3)), 3, 17)
    assert compared(graph, tmp_path / "net.onnx").ok


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d((2, 3), (1, 2), (1, 1), (2, 1)), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.MaxPool2d(2, 2, 1, 4),
     nn.MaxPool2d(3, 3, 0, 3, ceil_mode=True)],
)  # fmt: skip
def test_max_pools_see_the_same_windows(tmp_path: Path, pool: nn.Module) -> None:
    assert compared(int8(pool, 2, 12, 11), tmp_path / "net.onnx").whole.same == 1


def test_unequal_padding_is_on_the_right_side(tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(F.pad(x, (3, 0, 0, 1)))

    torch.manual_seed(0)
    assert compared(int8(Shifted(), 1, 5, 6), tmp_path / "net.onnx").ok
    (conv,) = (node for node in onnx.load(tmp_path / "net.onnx").graph.node if node.op_type == "Conv")
    assert [list(attribute.ints) for attribute in conv.attribute if attribute.name == "pads"] == [[0, 3, 1, 0]]


class Moved(nn.Module):
    """Everything that hands on numbers or puts them in other places."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(F.relu(F.pad(x, (1, 0, 2, 3))), scale_factor=(2, 3))
        return torch.cat([x.permute(0, 3, 1, 2), x.transpose(1, 3).transpose(2, 3)], 1)


def test_what_moves_numbers_is_exact(tmp_path: Path) -> None:
    graph = int8(Moved(), 2, 4, 5)
    assert {operator.kind for operator in graph.operators} == {"relu", "pad", "upsample", "permute", "concat"}
    found = compared(graph, tmp_path / "net.onnx")
    assert (found.whole.largest, found.whole.same) == (0, 1)


class Gated(nn.Module):
    """Squeeze and excitation, and a share of attention, on a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.norm, self.inner = nn.AdaptiveAvgPool1d(1), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.norm(self.pool(x).flatten(1)).sigmoid()
        return self.inner(x * gate[..., None]) * x.softmax(-1)


def test_products_and_norms_are_within_one_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(Gated(), 3, 8)
    assert {"avg_pool", "depthwise", "function", "mul", "softmax"} < {operator.kind for operator in graph.operators}
    assert compared(graph, tmp_path / "net.onnx").ok


FUNCTIONS_OF_ONE_ELEMENT = [
    *(nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid(inplace=True), nn.Hardswish(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")),
    *(nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.ELU(), nn.ELU(0.7), nn.SELU()),
]


@pytest.mark.parametrize("function", FUNCTIONS_OF_ONE_ELEMENT, ids=str)
def test_functions_are_their_tables(tmp_path: Path, function: nn.Module) -> None:
    """All 256 inputs; float32 rounds hardly any of them to another step."""
    x = (torch.arange(-128.0, 128.0) / 32)[:, None]
    found = compared(lower(function, [x]), tmp_path / "int8.onnx", x)
    assert found.ok and found.layers[0].same > 0.98
    assert compared(lower(function, [x], "none"), tmp_path / "float.onnx", x).ok


class Steps(nn.Module):
    """All steps of a recurrent layer, or the last one, and what a linear layer makes of them."""

    def __init__(self, layer: nn.Module, last: bool, tokens: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, layer.input_size) if tokens else nn.Identity()
        self.layer, self.last, self.head = layer, last, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.layer(self.embedding(x))[0]
        return self.head(steps[:, -1] if self.last else steps.flatten(1))


@pytest.mark.parametrize("scheme", ["post", "dynamic", "none"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "layer",
    [nn.LSTM(4, 6, batch_first=True), nn.GRU(4, 6, batch_first=True), nn.LSTM(4, 6, 2, False, True, bidirectional=True),
     nn.GRU(4, 6, 2, True, True, bidirectional=True)],
)  # fmt: skip
def test_recurrent_layers_are_those_of_onnx(tmp_path: Path, layer: nn.Module, last: bool, scheme: str) -> None:
    torch.manual_seed(0)
    module, x = Steps(layer, last), torch.randn(16, 7, 4)
    module(x)
    graph = lower(module.eval(), [x], scheme)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok
    of_layers = [one for one in found.layers if one.kind in ("lstm", "gru")]
    assert max(one.largest for one in of_layers) <= (1 if scheme == "post" else 1e-6)
    assert {one.allowed for one in of_layers} == {8.0 if scheme == "post" else 1e-5}
    assert operators(tmp_path / "net.onnx").count("GRU" if isinstance(layer, nn.GRU) else "LSTM") == len(of_layers)


@pytest.mark.parametrize("scheme", ["post", "none"])
def test_tokens_read_the_same_rows(tmp_path: Path, scheme: str) -> None:
    """Also those beyond the table, which are among the random ones."""
    module, x = Steps(nn.GRU(4, 6, batch_first=True), True, 9), torch.randint(9, (16, 7))
    module(x)
    found = compared(lower(module.eval(), [x], scheme), tmp_path / "net.onnx")
    assert found.ok and found.layers[0].same == 1


def test_slices_are_exact(tmp_path: Path) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[:, 1:, 2:3], x[:, 1:, :1]], 2)[:, :, 1]

    assert compared(int8(nn.Sequential(nn.ReLU(), Cut()), 3, 4, 5), tmp_path / "net.onnx").whole.same == 1


def test_every_kind_that_c_has_is_written() -> None:
    assert set(KINDS) == set(layer.KINDS)
    assert set(onnx_kinds.FUNCTIONS) == set(FUNCTIONS)


def test_halves_are_one_step_apart(tmp_path: Path) -> None:
    """-1.5, -0.5, 0, 0.5, 1.5, 2.5 are -1, 0, 0, 1, 2, 3 rounded up, and -2, 0, 0, 0, 2, 2 rounded to even."""
    found = compared(halved(), tmp_path / "net.onnx", torch.tensor([[-3.0], [-1.0], [0.0], [1.0], [3.0], [5.0]]))
    (layer,) = found.layers
    assert (layer.name, layer.kind, layer.largest, layer.same, layer.ok) == ("fc", "linear", 1, 0.5, True)
    assert (found.whole.largest, found.whole.same, found.agreement, found.vectors) == (1, 0.5, 1, 6)


def test_a_wrong_layer_is_found_and_no_other(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)), 1, 4, 4)
    path = tmp_path / "net.onnx"
    export(graph, path)
    changed = onnx.load(path)
    (bias,) = (tensor for tensor in changed.graph.initializer if tensor.name == "0.bias.integers")
    bias.raw_data = (np.frombuffer(bias.raw_data, np.int32) + 1000).tobytes()
    onnx.save(changed, path)
    found = check(path, graph)
    assert [layer.ok for layer in found.layers] == [False, True, True]
    assert not found.ok and found.layers[0].largest > 1


def test_weights_are_the_int8_values_and_scales_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), 4)
    (operator,) = graph.operators
    export(graph, tmp_path / "net.onnx")
    constants = list(initializers(tmp_path / "net.onnx").values())
    assert [(array.dtype.name, array.shape) for array in constants] == [
        *(("float32", ()), ("int8", ())),
        *(("int8", (3, 4)), ("float32", (3,)), ("int8", (3,))),
        *(("int32", (3,)), ("float32", (3,)), ("int32", (3,))),
        *(("float32", ()), ("int8", ())),
    ]
    assert operator.weight is not None and operator.bias is not None and operator.weight_scale is not None
    assert np.array_equal(constants[2], operator.weight) and np.array_equal(constants[5], operator.bias)
    assert np.allclose(constants[6], operator.weight_scale * graph.activations[0].scale, rtol=1e-6, atol=0)
    assert not constants[4].any() and not constants[7].any()
    assert operators(tmp_path / "net.onnx") == [
        *("QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "DequantizeLinear", "Gemm"),
        *("QuantizeLinear", "DequantizeLinear"),
    ]


@pytest.mark.parametrize(
    ("bounds", "nodes"),
    [((-9.0, 9.0), []), ((0.0, 9.0), ["Relu"]), ((-0.1, 9.0), ["Clip"]), ((-9.0, 0.1), ["Clip"]), ((0, 0.1), ["Clip"])],
)
def test_bounds_that_int8_does_not_hold_by_itself_are_written(
    tmp_path: Path, bounds: tuple[float, float], nodes: list[str]
) -> None:
    """Steps of 0.01: int8 reaches from -1.28 to 1.27."""
    low, high = (max(-128, min(127, round(bound / 0.01))) for bound in bounds)
    scale = {"multiplier": torch.tensor([2**20]), "shift": torch.tensor([20])}
    operator = Operator("relu", "relu", (0,), 1, low=float(low), high=float(high), **scale)
    graph = Graph((operator,), (Activation((4,), 1, 0.01), Activation((4,), 1, 0.01)))
    assert compared(graph, tmp_path / "net.onnx").whole.same == 1
    assert [kind for kind in operators(tmp_path / "net.onnx") if kind in ("Relu", "Clip")] == nodes


def messages(message: Any) -> list[Any]:
    """A protobuf message and all messages in it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            found += [inner for part in (value if field.is_repeated else [value]) for inner in messages(part)]
    return found


def test_a_file_has_opset_and_names_but_no_metadata(tmp_path: Path) -> None:
    export(member(1), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)] == [("", 13)]
    assert (model.ir_version, model.producer_name, model.producer_version, model.domain) == (7, "", "", "")
    for message in messages(model):
        assert not getattr(message, "doc_string", "") and not list(getattr(message, "metadata_props", []))
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"input": ["batch", *SHAPE], "output": ["batch", 3]}
    assert str(tmp_path).encode() not in (tmp_path / "net.onnx").read_bytes()


def test_a_file_is_its_weights_and_less_than_a_kilobyte_per_operator(tmp_path: Path) -> None:
    """A channel has 4 bytes of bias, two scales of 4, zero points of 1 and 4."""
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)), 300)
    export(graph, tmp_path / "net.onnx")
    overhead = (tmp_path / "net.onnx").stat().st_size - (300 * 100 + 100 * 10) - (100 + 10) * (4 + 8 + 5)
    assert 0 < overhead < 1000 * len(graph.operators)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = member(2)
    export(graph, tmp_path / "one.onnx")
    export(graph, tmp_path / "folder" / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "folder" / "two.onnx").read_bytes()


# --- float -----------------------------------------------------------------------------------------------------------


def test_a_float_network_computes_what_torch_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Everything().eval()
    graph, x = lower(module, [torch.randn(8, 2, 9, 10)], "none"), torch.randn(33, 2, 9, 10)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok and found.agreement == 1
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(operators(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), module(x),
                                   rtol=1e-5, atol=1e-5)  # fmt: skip


class Mixed(nn.Module):
    """A layer of each scheme, and both kinds of borders between int8 and float."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.real = nn.Conv2d(4, 4, 3)
        self.real.quant_scheme = "none"
        self.hidden = nn.Linear(16, 5)
        self.hidden.quant_scheme = "dynamic"
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.real(F.relu(self.conv(x))))
        return self.head(F.relu(self.hidden(x.flatten(1))))


@pytest.mark.parametrize("scheme", ["dynamic", "both", "none", "post"])
def test_every_scheme_is_written_as_it_was_scored(tmp_path: Path, scheme: str) -> None:
    torch.manual_seed(0)
    graph = lower(Mixed().eval(), [torch.randn(8, 2, 6, 6)], scheme)
    found = compared(graph, tmp_path / "net.onnx")
    assert found.ok
    weights = [operator.weight for operator in graph.operators if operator.weight is not None]
    stored = [array for name, array in initializers(tmp_path / "net.onnx").items() if "weight" in name]
    assert [weight.numpy().dtype for weight in weights] == [array.dtype for array in stored if array.ndim > 1]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_network_without_its_integer_weights_is_refused(tmp_path: Path, device: str) -> None:
    graph = trace(nn.Sequential(nn.Linear(4, 2)).to(device), (4,))
    with pytest.raises(InputError, match=r"0: the network is only traced.*`Study.load_model` or"):
        export(graph, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    graph = Graph((Operator("sort", "order", (0,), 1),), (Activation((1,), 1), Activation((1,), 1)))
    with pytest.raises(InputError, match="order: the ONNX export has no operator 'sort'"):
        export(graph, tmp_path / "net.onnx")


def test_a_network_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network computes nothing"):
        export(Graph((), (Activation((1,), 4),)), tmp_path / "net.onnx")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists, and an export never overwrites"):
        export(halved(), path)
    assert path.read_text() == "mine"


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export(halved(), tmp_path / "file" / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"cut"])
def test_damaged_files_are_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    export(halved(), path)
    path.write_bytes(path.read_bytes()[:-40] if content == b"cut" else content)
    with pytest.raises(InputError, match=r"net\.onnx is damaged, or no ONNX file"):
        check(path, halved())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.onnx cannot be read: No such file"):
        check(tmp_path / "net.onnx", halved())


def test_a_file_of_another_network_is_an_error(tmp_path: Path) -> None:
    export(halved(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net\.onnx is not of this network: .*other\.int8"):
        check(tmp_path / "net.onnx", halved().renamed(["other"]))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    export(halved(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} is not installed.*pip install 'sparsemod\[export\]'"):
        check(tmp_path / "net.onnx", halved())


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["post", "none"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of the smallest problem, with convolutions; int8 or float."""
    here = tmp_path_factory.mktemp("study")
    tiny = Path(__file__).parents[1] / "problems" / "tiny.py"
    (here / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = {tiny}:problem\n[TRAIN]\nname = tiny\nroot = {here}\nr1 = 1\nr2 = 0\nr3 = 0\n"
        f"epochs1 = 1\nquant_scheme = {request.param}\n[RUN]\nexecutor = serial\n"
    )
    assert main(["search", str(here / "config.cfg")]) == 0
    return here / "tiny"


def test_export_writes_and_compares(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial, net = load(study).pareto_front()[0], tmp_path / "net.onnx"
    command = ["export", str(study), str(trial.number), "--to", "onnx", "--out", str(net)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"wrote {net} ({net.stat().st_size:,} bytes)" in text
    assert text.count(" ok\n") == len(load(study).load_model(trial.number).operators)
    assert "whole network" in text and "same class 100.00%" in text and "64 inputs" in text
    assert main(command) == 2
    assert "never overwrites" in capsys.readouterr().err


def test_a_layer_that_differs_exits_1(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {
        **sparsemod_onnx.KINDS,
        "linear": lambda draft, name, *_: draft.node("Neg", [right(draft, name, *_)], name),
    }
    right = sparsemod_onnx.KINDS["linear"]
    monkeypatch.setattr(sparsemod_onnx, "KINDS", kinds)
    number = load(study).pareto_front()[0].number
    assert main(["export", str(study), str(number), "--to", "onnx", "--out", str(tmp_path / "net.onnx")]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
