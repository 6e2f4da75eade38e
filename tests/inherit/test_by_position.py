"""Without the structure of the parent: what has one name and one place."""

import pytest
import torch
from families import trained
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.inherit import inherit

# --- kernels ---------------------------------------------------------------------------------------------------------


class Padded(nn.Module):
    """A convolution whose tap (kernel - 1) // 2 sits on the output position."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel, self.conv = kernel, nn.Conv2d(2, 3, kernel)

    def forward(self, x: Tensor) -> Tensor:
        before, after = (self.kernel - 1) // 2, self.kernel // 2
        return self.conv(F.pad(x, (before, after, before, after)))


@torch.no_grad()
def test_every_change_of_a_kernel_between_even_and_odd_keeps_the_function() -> None:
    x = torch.randn(3, 2, 9, 8, generator=torch.Generator().manual_seed(0))
    for small in range(1, 7):
        for large in range(small + 1, 8):
            old, new = trained(Padded(small), 0), Padded(large)
            inherit(new, old.state_dict())
            assert torch.allclose(new(x), old(x), rtol=0, atol=1e-5), (small, large)


def test_training_the_child_leaves_the_parents_tensors_alone() -> None:
    old, new = nn.Linear(2, 2), nn.Linear(2, 2)
    weights = old.state_dict()
    before = weights["weight"].clone()
    inherit(nn.Sequential(new), {f"0.{name}": value for name, value in weights.items()})
    new.weight.data += 1
    assert torch.equal(weights["weight"], before)


# --- by hand ---------------------------------------------------------------------------------------------------------


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    layer.bias.data = torch.arange(1.0, len(rows) + 1)
    return layer


def test_shrinking_keeps_the_first_outputs_and_inputs() -> None:
    child = nn.Linear(2, 1)
    inherit(nn.Sequential(child), nn.Sequential(linear([1.0, 2, 3], [4, 5, 6])).state_dict())
    assert child.weight.tolist() == [[1, 2]]
    assert child.bias.tolist() == [1]


def test_new_inputs_weigh_nothing_and_new_outputs_start_at_random() -> None:
    child = linear([9.0, 9, 9], [9, 9, 9], [9, 9, 9])
    inherit(nn.Sequential(child), nn.Sequential(linear([1.0, 2], [3, 4])).state_dict())
    assert child.weight.tolist() == [[1, 2, 0], [3, 4, 0], [9, 9, 9]]
    assert child.bias.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (3, 3, [1, 2, 3]),
        (3, 5, [0, 1, 2, 3, 0]),
        (2, 3, [0, 1, 2]),
        (3, 4, [1, 2, 3, 0]),
        (1, 2, [1, 0]),
        (5, 3, [2, 3, 4]),
        (3, 2, [2, 3]),
        (4, 3, [1, 2, 3]),
        (5, 2, [3, 4]),
    ],
)
def test_kernels_share_the_tap_on_the_output_position(old: int, new: int, expected: list[float]) -> None:
    """Which is tap (size - 1) // 2, from 0."""
    parent, child = nn.Conv1d(1, 1, old), nn.Conv1d(1, 1, new)
    parent.weight.data = torch.arange(1.0, old + 1).reshape(1, 1, old)
    inherit(nn.Sequential(child), nn.Sequential(parent).state_dict())
    assert child.weight.flatten().tolist() == expected


def test_statistics_of_batch_norm_are_inherited() -> None:
    parent, child = nn.BatchNorm2d(2), nn.BatchNorm2d(3)
    parent.running_mean, parent.num_batches_tracked = torch.tensor([5.0, 6]), torch.tensor(7)
    inherit(nn.Sequential(child), nn.Sequential(parent).state_dict())
    assert child.running_mean.tolist() == [5, 6, 0]
    assert child.num_batches_tracked == 7


def test_names_that_the_child_lacks_are_ignored() -> None:
    child = linear([1.0])
    inherit(nn.Sequential(child), {"7.weight": torch.zeros(1, 1), "strange": torch.zeros(3), "0.gain": torch.zeros(1)})
    assert child.weight.tolist() == [[1]]


def test_tensors_of_another_rank_are_skipped() -> None:
    child = nn.Conv2d(1, 1, 3)
    before = child.weight.clone()
    inherit(nn.Sequential(child), nn.Sequential(linear([5.0])).state_dict())
    assert torch.equal(child.weight, before)
    assert child.bias.tolist() == [1]  # of equal rank


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 4),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv1d(4, 4, 1),
        nn.BatchNorm2d(4),
    ],
    ids=repr,
)
@torch.no_grad()
def test_square_layer_that_the_parent_lacks_passes_its_input_on(layer: nn.Module) -> None:
    inherit(nn.Sequential(layer.eval()), {})
    shape = {nn.Linear: (2, 4), nn.Conv1d: (2, 4, 5)}.get(type(layer), (2, 4, 5, 5))
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 4, 1, stride=2)], ids=repr)
def test_other_layer_that_the_parent_lacks_stays_as_it_was_built(layer: nn.Module) -> None:
    before = layer.weight.clone()
    inherit(nn.Sequential(layer), {})
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_wider_recurrent_network_computes_what_its_parent_does(kind: type) -> None:
    """More features of the embedding, more units, and gates that stay what they were."""

    class Reads(nn.Module):
        def __init__(self, features: int, units: int) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, features), nn.Linear(units, 3)
            self.rnn = kind(features, units, num_layers=2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embedding(x))[0][:, -1])

    torch.manual_seed(0)
    parent, child, x = Reads(3, 4), Reads(5, 7), torch.randint(9, (8, 6))
    inherit(child, parent.state_dict())
    assert torch.allclose(child(x), parent(x), atol=1e-6)
    assert child.embedding.weight[:, 3:].all()
    inherit(Reads(2, 3), parent.state_dict())


@pytest.mark.parametrize(("cell", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3)])
def test_recurrent_cell_keeps_its_gates_apart(cell: type, gates: int) -> None:
    parent, child = cell(1, 2), cell(1, 3)
    parent.weight_ih.data = torch.arange(2.0 * gates)[:, None]
    inherit(nn.Sequential(child), nn.Sequential(parent).state_dict())
    kept = child.weight_ih.reshape(gates, 3)[:, :2]
    assert kept.flatten().tolist() == list(range(2 * gates))
