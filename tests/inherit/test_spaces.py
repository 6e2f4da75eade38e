"""A grown child of every family that is shipped computes what its parent does: 896 random pairs, by default 84."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from families import trained
from problems.spaces import CLASSES, FAMILIES, Family
from torch import nn

from sparsemod.inherit import inherit
from sparsemod.problem import Morphism
from sparsemod.space import Parameters
from sparsemod.spaces import rnn

GROWING = {
    "mlp": ("layers", "units"),
    "rnn": ("rnn_layers", "rnn_units", "recurrence", "fc_units"),
    "cnn1d": ("conv_layers", "filters", "kernel", "global_pooling", "fc_units"),
    "cnn_rnn": ("conv_layers", "filters", "kernel", "rnn_units"),
    "dscnn": ("blocks", "filters", "kernel"),
    "resnet": ("stages", "blocks", "width", "kernel"),
    "mobilenet": ("stages", "blocks", "width", "filters", "expansion", "kernel"),
}
ROWS = [(family, morphism) for family, morphisms in GROWING.items() for morphism in morphisms]
SIZES = ("layers", "units", "filters", "kernel", "blocks", "stages", "width", "widening", "expansion", "bidirectional")


def grew(parent: Parameters, child: Parameters) -> bool:
    """Whether one size is larger, or features stand where their mean was.

    An expansion from nothing on is a new layer with an activation on what may be negative.
    """
    (name,) = (name for name in parent if name in child and child[name] != parent[name])
    if name == "global_pool":
        return not child[name]
    if name.endswith("expansion") and parent[name] == 1:
        return False
    return name.endswith(SIZES) and child[name] > parent[name]


def skips(network: nn.Module) -> dict[str, str]:
    """What leads around each layer that may have a skip."""
    found = {name: part.skip for name, part in network.named_modules() if hasattr(part, "skip")}
    return {
        name: "projection" if isinstance(skip, nn.Conv1d | nn.Conv2d) else str(skip) for name, skip in found.items()
    }


def keep_their_skips(old: nn.Module, new: nn.Module) -> bool:
    """Whether no skip comes or goes; an identity may become a convolution."""
    before, after = skips(old), skips(new)
    changed = {(before[name], after[name]) for name in before if name in after and before[name] != after[name]}
    return changed <= {("Identity()", "projection")}


def adds_its_last_layer(network: nn.Module) -> bool:
    """Whether a skip leads around the last recurrent layer."""
    return bool(network.recurrent.layers[-1].skip)


def pairs(family: Family, morphism: Morphism) -> Iterator[tuple[Parameters, Parameters, nn.Module, nn.Module]]:
    """Random parents, children that grew, and the networks of both."""
    rng = np.random.default_rng(0)
    while True:
        parent = family.small.sample(rng)
        child = morphism(parent, family.small, rng)
        if child is None or not grew(parent, child):
            continue
        old, new = family.built(parent), family.built(child)
        if old is None or new is None or not keep_their_skips(old, new):
            continue
        if morphism is not rnn.rnn_layers or adds_its_last_layer(new):
            yield parent, child, old, new


@pytest.mark.parametrize(
    "count", [pytest.param(3, id="few"), pytest.param(32, id="all", marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
@pytest.mark.parametrize(("name", "morphism"), ROWS)
@torch.no_grad()
def test_grown_child_computes_what_its_parent_does(name: str, morphism: str, count: int) -> None:
    family = FAMILIES[name]
    x = family.inputs(3)
    found = pairs(family, getattr(family.module, morphism))
    for seed, (parent, child, old, new) in enumerate(islice(found, count)):
        inherit(new.eval(), trained(old, seed).state_dict(), family.built(parent), family.shape)
        expected = old(x)
        assert (new(x) - expected).abs().max() < 1e-5 * max(1, expected.abs().max()), (parent, child)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_any_member_of_a_family_can_inherit_from_any_other(name: str) -> None:
    family, rng, found = FAMILIES[name], np.random.default_rng(0), 0
    while found < 2:
        parent = family.small.sample(rng)
        old, new = family.built(parent), family.built(family.small.sample(rng))
        if old is None or new is None:
            continue
        inherit(new.eval(), trained(old, found).state_dict(), family.built(parent), family.shape)
        assert torch.isfinite(new(family.inputs(3))).all()
        found += 1


# --- a recurrent layer more ------------------------------------------------------------------------------------------

ONE = {
    **{"rnn_layers": 1, "rnn1_units": 4, "bidirectional": False, "rnn_skip": True, "readout": "mean"},
    **{"fc_layers": 0, "dropout": 0.0},
}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_new_recurrent_layer_with_a_skip_around_it_learns_from_the_first_step(cell: str) -> None:
    """Its states are nothing yet, but every weight that could change that has a gradient."""
    old, new = (
        rnn.build({**ONE, "cell": cell, "rnn_layers": layers, "rnn2_units": 4}, (7, 4), CLASSES) for layers in (1, 2)
    )
    inherit(new, trained(old, 0).state_dict(), old, (7, 4))
    x = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(new.eval()(x), old(x), rtol=0, atol=1e-6)
    new.train()(x).square().sum().backward()
    added = new.recurrent.layers[1].cell[cell]
    assert added.weight_ih_l0.grad[8:12].any() and added.bias_ih_l0.grad[8:12].all()


@torch.no_grad()
def test_weights_of_one_kind_of_cell_are_not_taken_for_those_of_the_other() -> None:
    old, new = (rnn.build({**ONE, "cell": cell, "rnn_skip": False}, (7, 4), CLASSES) for cell in ("lstm", "gru"))
    before = {name: value.clone() for name, value in new.state_dict().items() if "cell" in name}
    inherit(new, trained(old, 0).state_dict(), old, (7, 4))
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in before.items())
