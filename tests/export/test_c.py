"""Exported C computes what `graph.run` computes, in the bytes that were predicted."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems.exported import SHAPE, Everything, every_operator, int8, member, pruned
from problems.modules import Calls, block, evaluated, residual
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.quantize import lower
from sparsemod.compress.remove import remove_channels
from sparsemod.cost import model_size_bytes, plan
from sparsemod.cost.encoding import smallest
from sparsemod.errors import InputError
from sparsemod.export import export, verify
from sparsemod.graph import Activation, Graph, Operator
from sparsemod.graph.pattern import Pattern

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def found(folder: Path, *flags: str) -> list[int | None]:
    """What a verified export has on the host: identical vectors, bytes of the arena, bytes of constants."""
    return [check.found for check in verify(folder, flags, emulate=False)]


def text(graph: Graph, folder: Path) -> str:
    export(graph, folder)
    return (folder / "net.c").read_text()


@needs_compiler
@pytest.mark.parametrize("seed", range(20))
def test_members_of_the_space_are_bit_identical_in_c(tmp_path: Path, seed: int) -> None:
    graph = member(seed)
    vectors = torch.randint(-128, 128, (25, *SHAPE), dtype=torch.int8)
    export(graph, tmp_path / "net", vectors)
    assert found(tmp_path / "net") == [25, plan(graph).size, model_size_bytes(graph)]


@needs_compiler
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_every_operator_is_bit_identical_and_clean_under_sanitizers(tmp_path: Path, share: float) -> None:
    graph = every_operator(share)
    export(graph, tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8
    assert found(tmp_path / "net") == [8, plan(graph).size, model_size_bytes(graph)]


@needs_compiler
@pytest.mark.parametrize("chosen", [None, Pattern(2, 4)], ids=["channels", "channels and 2:4"])
def test_residual_network_without_some_channels_is_bit_identical_in_c(tmp_path: Path, chosen: Pattern | None) -> None:
    torch.manual_seed(0)
    parts = block(2, 12, padding=1), block(12, 12, padding=1), nn.Conv2d(2, 12, 1), nn.Linear(12, 3)
    network = evaluated(Calls(residual, *parts))
    remove_channels(network, SHAPE, 0.5)
    PruningRamp(network, 0.0, chosen)(1, 1)
    graph = int8(network, *SHAPE)
    assert [operator.weight.shape[0] for operator in graph.operators if operator.weight is not None] == [6, 6, 6, 3]
    assert plan(graph).size == (2 + 6 + 6) * 16 * 17  # of 2 + 12 + 12
    export(graph, tmp_path / "net")
    assert found(tmp_path / "net") == [8, plan(graph).size, model_size_bytes(graph)]


@needs_compiler
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_members_of_the_space_are_clean_under_sanitizers(tmp_path: Path, seed: int) -> None:
    export(member(seed), tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8


class Branches(nn.Module):
    """Two branches whose first layers are the widest, computed side by side; their sum replaces an input."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Conv2d(2, channels, 3, padding=1) for channels in (16, 8))
        self.narrow = nn.ModuleList(nn.Conv2d(channels, 2, 3, padding=1) for channels in (16, 8))
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = [F.relu(layer(x)) for layer in self.wide]
        first, second = self.narrow[0](first), self.narrow[1](second)
        return self.head(F.relu(first + second))


@needs_compiler
def test_operators_run_in_the_order_of_the_plan_and_the_addition_in_place(tmp_path: Path) -> None:
    """Maps of 6 x 6: with 2 + 16 + 8 channels alive side by side, 2 + 16 + 2 branch by branch."""
    torch.manual_seed(0)
    graph = int8(Branches(), 2, 6, 6)
    planned = plan(graph)
    addition = next(operator for operator in graph.operators if operator.kind == "add")
    assert planned.order == (0, 2, 1, 3, 4, 5)
    assert planned.size == 36 * (2 + 16 + 2)
    assert planned.offsets[addition.output] in [planned.offsets[position] for position in addition.inputs]
    net = text(graph, tmp_path / "net")
    calls = [net.index(f"/* {graph.operators[number].name}: ") for number in planned.order]
    assert calls == sorted(calls)
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8
    assert found(tmp_path / "net") == [8, planned.size, model_size_bytes(graph)]


@needs_compiler
def test_a_relu_that_is_not_fused_runs_in_place(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(2, 1, 3)), 2, 8, 8)
    relu = next(operator for operator in graph.operators if operator.kind == "relu")
    assert plan(graph).offsets[relu.output] == plan(graph).offsets[relu.inputs[0]]
    export(graph, tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8


@needs_compiler
def test_a_signal_has_one_axis(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 6, 4, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 4, 3, stride=2, dilation=2)]
    export(int8(nn.Sequential(*layers, nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 3)), 3, 17), tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8


@needs_compiler
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_kernels_take_long_filters_many_channels_and_wide_rows_in_parts(tmp_path: Path, share: float) -> None:
    """105 products per output, 18 output channels, rows of 20; the kernels take 32, 16 and 16 at once."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 18, (5, 7), padding=(2, 3)), nn.ReLU(), nn.Conv2d(18, 2, 1, stride=2)]
    export(int8(pruned(nn.Sequential(*layers), share), 3, 6, 20), tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8


@needs_compiler
def test_a_network_of_one_max_pool_needs_no_other_kernel(tmp_path: Path) -> None:
    net = text(int8(nn.MaxPool2d(2), 1, 4, 4), tmp_path / "net")
    assert "requantize" not in net and "Weights" not in net
    assert found(tmp_path / "net") == [8, 20, 10]


@needs_compiler
def test_pruned_weights_shrink_the_object_file(tmp_path: Path) -> None:
    """1,000 weights, every tenth not zero: 100 values, and 101 runs of 0 or 9 zeros in 4 bits each."""
    torch.manual_seed(0)
    module = nn.Linear(100, 10)
    export(int8(module, 100), tmp_path / "dense")
    keep = torch.arange(1000).reshape(10, 100) % 10 == 0
    module.weight.data = module.weight.data.sign() * 0.1 * keep
    export(int8(module, 100), tmp_path / "sparse")
    assert found(tmp_path / "dense")[2] == 1000 + 10 * 9 + 10
    assert found(tmp_path / "sparse")[2] == 51 + 100 + 10 * 9 + 10


def encoded(bits: int, keep: float) -> Graph:
    """Groups, dilation, a depthwise layer and a linear one; of their random weights of few bits a share is not zero."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(8, 32, 3, padding=2, dilation=2, groups=2), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, groups=32)]
    graph = int8(nn.Sequential(*layers, nn.Flatten(), nn.Linear(288, 9)), 8, 7, 8)
    operators = []
    for operator in graph.operators:
        if operator.weight is not None:
            shape, most = operator.weight.shape, 2 ** (bits - 1) - 1
            weight = torch.randint(1, most + 1, shape) * (2 * torch.randint(2, shape) - 1) * (torch.rand(shape) < keep)
            operator = replace(operator, weight=weight.to(torch.int8), weight_bits=bits)
        operators.append(operator)
    return Graph(tuple(operators), graph.activations)


@needs_compiler
@pytest.mark.parametrize(
    ("bits", "keep", "encoding"),
    [
        *((8, 0.6, "bitmap"), (8, 0.1, "runs4"), (8, 0.01, "runs8"), (8, 0.0, "runs8")),
        *((4, 1.0, "packed"), (4, 0.6, "bitmap"), (4, 0.1, "runs4"), (4, 0.01, "runs8")),
        *((2, 1.0, "packed"), (2, 0.6, "bitmap"), (2, 0.1, "runs4"), (2, 0.01, "runs8")),
    ],
)
def test_every_encoding_is_bit_identical_and_clean_under_sanitizers(
    tmp_path: Path, bits: int, keep: float, encoding: str
) -> None:
    graph = encoded(bits, keep)
    assert {smallest(operator).name for operator in graph.operators if operator.weight is not None} == {encoding}
    export(graph, tmp_path / "net")
    assert found(tmp_path / "net", *SANITIZERS)[0] == 8
    assert found(tmp_path / "net") == [8, plan(graph).size, model_size_bytes(graph)]


def linear(multiplier: int, shift: int, zero_in: int, zero_out: int, bias: int) -> Graph:
    """y = x + bias, requantized."""
    operator = Operator(
        *("linear", "fc", (0,), 1),
        weight=torch.ones(1, 1, dtype=torch.int8),
        bias=torch.tensor([bias], dtype=torch.int32),
        multiplier=torch.tensor([multiplier], dtype=torch.int32),
        shift=torch.tensor([shift], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    return Graph((operator,), (Activation((1,), 1, 0.5, zero_in), Activation((1,), 1, 0.25, zero_out)))


@needs_compiler
@pytest.mark.parametrize(
    ("multiplier", "shift", "zero_in", "zero_out", "bias"),
    [(1, 1, 0, 0, 0), (3, 2, -128, 127, -90), (2**21, 22, 5, -7, 1), (2**22 - 1, 1, 0, 0, -(2**30)), (1, 44, 0, 3, -1)],
)
def test_half_steps_round_up_below_zero_too(
    tmp_path: Path, multiplier: int, shift: int, zero_in: int, zero_out: int, bias: int
) -> None:
    """All 256 inputs, with multipliers and shifts at their ends."""
    vectors = torch.arange(-128, 128, dtype=torch.int8).reshape(256, 1)
    export(linear(multiplier, shift, zero_in, zero_out, bias), tmp_path / "net", vectors)
    assert found(tmp_path / "net", *SANITIZERS)[0] == 256


def test_recorded_outputs_are_those_of_the_formula(tmp_path: Path) -> None:
    """x / 2, half steps rounded up: -3, -1, 0, 1, 3 become -1, 0, 0, 1, 2; then 10 is added."""
    export(linear(1, 1, 0, 10, 0), tmp_path / "net", torch.tensor([-3, -1, 0, 1, 3], dtype=torch.int8).reshape(5, 1))
    recorded = (tmp_path / "net" / "test" / "vectors.h").read_text().partition("outputs[VECTORS]")[2].partition("};")[0]
    assert [int(line.strip(" ,")) for line in recorded.splitlines() if line.startswith("        ")] == [
        9,
        10,
        10,
        11,
        12,
    ]


def test_header_says_sizes_and_scales(tmp_path: Path) -> None:
    net = text(linear(1, 1, 3, -4, 0), tmp_path / "net")
    header = (tmp_path / "net" / "net.h").read_text()
    assert "#define NET_INPUT_SIZE 1 " in header and "#define NET_ARENA_SIZE 8 " in header
    assert "net_input_scale = 0.5f, net_output_scale = 0.25f;" in net
    assert "net_input_zero_point = 3, net_output_zero_point = -4;" in net
    assert "/* fc: linear 1 -> 1, 1 of 1 weights */" in net


def test_lines_are_at_most_120_columns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(int8(Everything(), 2, 9, 10), tmp_path / "net")
    for path in (tmp_path / "net").rglob("*.[chi]*"):
        assert max(map(len, path.read_text().splitlines())) <= 120, path.name


def test_names_become_identifiers_that_differ(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = int8(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), 2).renamed(["a.b", "a_b*/"])
    net = text(graph, tmp_path / "net")
    assert "net_a_b_weight[4]" in net and "net_a_b___weight[4]" in net and "a_b*/" not in net


def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    graph = Graph((Operator("attention", "cell", (0,), 1),), (Activation((1,), 1), Activation((1,), 1)))
    with pytest.raises(InputError, match="cell: the C export has no operator 'attention'"):
        export(graph, tmp_path / "net")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with pytest.raises(InputError, match="exists, and an export never overwrites"):
        export(linear(1, 1, 0, 0, 0), tmp_path / "net")
    assert list((tmp_path / "net").iterdir()) == []


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export(linear(1, 1, 0, 0, 0), tmp_path / "file" / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
@needs_compiler
def test_the_makefile_tests_the_network(tmp_path: Path) -> None:
    export(linear(3, 2, 0, 0, 0), tmp_path / "net")
    done = subprocess.run(["make", "-C", str(tmp_path / "net"), "test"], capture_output=True, text=True, check=True)
    assert "8 of 8 vectors identical" in done.stdout


@needs_compiler
@pytest.mark.parametrize("shape", [(3, 1), (8,), (2, 3, 5), (2048,)])
@pytest.mark.parametrize("spread", [1.0, 1e-6])
def test_layer_norm_is_exact_at_its_limits(tmp_path: Path, shape: tuple[int, ...], spread: float) -> None:
    """One element as far from the others as can be; equal ones; a deviation far below eps."""
    torch.manual_seed(0)
    module = nn.LayerNorm(shape[-1])
    nn.init.normal_(module.weight)
    graph = lower(module, [spread * torch.randn(8, *shape)])
    vectors = torch.randint(-128, 128, (8, *shape), dtype=torch.int8)
    vectors[0], vectors[1], vectors[2] = -128, 127, 127
    vectors[2].view(-1)[0] = -128
    vectors[3:6] //= 64
    export(graph, tmp_path / "net", vectors)
    assert all(found.ok for found in verify(tmp_path / "net", SANITIZERS, emulate=False))


def recurrent(kind: str, steps: int, units: int, multiplier: int, shift: int, reverse: int, last: int) -> Graph:
    """A layer whose weights are as large as can be, and biases too."""
    rows = {"lstm": 4, "gru": 3}[kind] * units
    operator = Operator(
        kind, "rnn", (0,), 1, rows * (3 + units) * steps,
        options={"units": (units,), "reverse": (reverse,), "last": (last,)},
        weight=127 * (2 * torch.randint(2, (rows, 3 + units), dtype=torch.int8) - 1),
        weight_scale=torch.ones(rows, 2), bias=2**29 * (2 * torch.randint(2, (4 * units,), dtype=torch.int32) - 1),
        multiplier=torch.full((rows, 2), multiplier, dtype=torch.int32),
        shift=torch.full((rows, 2), shift, dtype=torch.int32),
    )  # fmt: skip
    target = (units,) if last else (steps, units)
    return Graph((operator,), (Activation((steps, 3), 1, 0.1, 127), Activation(target, 1, 1 / 128)))


@needs_compiler
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("steps", "units", "reverse", "last"), [(1, 1, 0, 1), (1, 2, 1, 0), (2, 3, 1, 1), (9, 3, 0, 0)]
)
@pytest.mark.parametrize(("multiplier", "shift"), [(2**22 - 1, 1), (2**22 - 1, 44), (1, 44), (2**21, 36)])
def test_recurrent_layers_are_exact_at_their_limits(
    tmp_path: Path, kind: str, steps: int, units: int, reverse: int, last: int, multiplier: int, shift: int
) -> None:
    torch.manual_seed(0)
    export(recurrent(kind, steps, units, multiplier, shift, reverse, last), tmp_path / "net")
    assert all(found.ok for found in verify(tmp_path / "net", SANITIZERS, emulate=False))


class Cut(nn.Module):
    """Parts of an image side by side again, along one axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        parts = [
            x.narrow(self.axis, 1, 2),
            x.narrow(self.axis, 0, 3).tanh(),
            x.select(self.axis, 2).unsqueeze(self.axis),
        ]
        return torch.cat(parts, self.axis)


@needs_compiler
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_slices_and_concatenations_along_any_axis(tmp_path: Path, axis: int) -> None:
    graph = int8(Cut(axis), 4, 5, 6)
    assert [operator.kind for operator in graph.operators].count("slice") == 3
    export(graph, tmp_path / "net")
    assert all(found.ok for found in verify(tmp_path / "net", SANITIZERS, emulate=False))


@needs_compiler
def test_tokens_are_written_minus_128(tmp_path: Path) -> None:
    """Those beyond the table read its last row, and nothing behind it."""
    module = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 2)).eval()
    graph = lower(module, [torch.randint(5, (8, 4))])
    vectors = torch.tensor([[-128, -127, -126, -125], [-124, -123, 0, 127]], dtype=torch.int8)
    export(graph, tmp_path / "net", vectors)
    header = (tmp_path / "net" / "net.h").read_text()
    assert "#define NET_INPUT_SIZE 4 /* 4, tokens from 0 on: write each minus 128 */" in header
    assert all(found.ok for found in verify(tmp_path / "net", SANITIZERS, emulate=False))
