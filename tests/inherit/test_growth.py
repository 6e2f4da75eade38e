"""A grown child computes what its parent does: 1,000 random pairs, of which every seventh runs by default."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from families import FAMILIES, trained
from torch import Tensor, nn

from sparsemod.errors import Infeasible
from sparsemod.inherit import inherit
from sparsemod.problem import Morphism
from sparsemod.space import Parameters
from sparsemod.spaces import cnn

SPACE = cnn.space(filters=(1, 16), kernel=(2, 7), fc_units=(4, 24))
SHAPE, CLASSES = (2, 9, 8), 5
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))

Grew = Callable[[Parameters, Parameters], bool]


def both_sizes(rows: list[tuple[object, ...]]) -> list[object]:
    """Each row with a part of its pairs, and with all of them if slow tests are asked for."""
    quick = [pytest.param(*row, count * 3 // 20, id=str(row[0])) for *row, count in rows]
    return quick + [pytest.param(*row, count, id=f"{row[0]} all", marks=pytest.mark.slow) for *row, count in rows]


def differs_by(new: nn.Module, old: nn.Module, x: Tensor) -> float:
    """Largest difference, of outputs below 1 or as a share of the largest output."""
    expected = old(x)
    return (new(x) - expected).abs().max().item() / max(1, expected.abs().max().item())


# --- the package's own space -----------------------------------------------------------------------------------------


def larger(*endings: str) -> Grew:
    """Whether one of the parameters that both networks have grew."""
    return lambda parent, child: any(child.get(name, 0) > parent[name] for name in parent if name.endswith(endings))


def deeper_head(parent: Parameters, child: Parameters) -> bool:
    """A first layer takes over all features if it is wide enough and none of them is negative."""
    if not child["fc_layers"] > parent["fc_layers"]:
        return False
    try:
        features = cnn.build(parent, SHAPE, CLASSES).head.classifier.in_features
    except Infeasible:
        return False
    return parent["fc_layers"] > 0 or (not last_block(parent)["skip"] and child["fc1_units"] >= features)


def one_more_block(parent: Parameters, child: Parameters) -> bool:
    """With a skip around it, a block adds nothing; without one, its layers pass on what is not negative."""
    if not child["blocks"] > parent["blocks"]:
        return False
    before, block = last_block(parent), last_block(child)
    layers = [f"l{layer}_" for layer in range(1, int(block["layers"]) + 1)]
    width = before[f"{layers[-1]}filters"]
    return bool(block["skip"]) or all(
        block[f"{layer}filters"] >= width and block[f"{layer}type"] != "downsampled" for layer in layers
    )


def last_block(parameters: Parameters) -> Parameters:
    start = f"b{parameters['blocks']}_"
    return {name.removeprefix(start): value for name, value in parameters.items() if name.startswith(start)}


def connected(parent: Parameters, child: Parameters) -> bool:
    """A skip that is a convolution, or features where their mean was; a skip that is the identity changes the sum."""
    return parent["global_pool"] > child["global_pool"] or larger("_skip")(parent, child)


def pairs(morphism: Morphism, grew: Grew) -> Iterator[tuple[Parameters, Parameters, nn.Module, nn.Module]]:
    """Random parents, children that grew, and the networks of both.

    A skip connection that becomes the identity changes the function: such pairs are left out.
    """
    rng = np.random.default_rng(0)
    while True:
        parent = SPACE.sample(rng)
        child = morphism(parent, SPACE, rng)
        if child is None or not grew(parent, child):
            continue
        try:
            old, new = (cnn.build(parameters, SHAPE, CLASSES) for parameters in (parent, child))
        except Infeasible:
            continue
        kinds = [(type(one.skip), type(other.skip)) for one, other in zip(old.blocks, new.blocks, strict=False)]
        if all(new_kind is old_kind or new_kind is not nn.Identity for old_kind, new_kind in kinds):
            yield parent, child, old, new


@pytest.mark.parametrize(
    ("name", "grew", "count"),
    both_sizes(
        [
            ("filters", larger("_filters"), 120),
            ("kernel", larger("_kernel"), 80),
            ("layers", larger("_layers"), 80),
            ("blocks", one_more_block, 80),
            ("fc_layers", deeper_head, 60),
            ("fc_units", larger("_units"), 40),
            ("connection", connected, 60),
        ]
    ),
)
@torch.no_grad()
def test_grown_convolutional_network_computes_what_its_parent_does(name: str, grew: Grew, count: int) -> None:
    for seed, (parent, child, old, new) in enumerate(islice(pairs(getattr(cnn, name), grew), count)):
        inherit(new.eval(), trained(old, seed).state_dict(), cnn.build(parent, SHAPE, CLASSES), SHAPE)
        assert differs_by(new, old, IMAGES) < 1e-5, (parent, child)


# --- other builders --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("name", "count"),
    both_sizes(
        [
            ("branches", 140),
            ("shuffled", 40),
            ("perceptron", 80),
            ("waves", 80),
            ("lstm", 60),
            ("lstm both ways", 40),
            ("gru of tokens", 40),
        ]
    ),
)
@torch.no_grad()
def test_network_of_another_builder_keeps_its_function_when_it_grows(name: str, count: int) -> None:
    """One to three sizes at once: widths, kernels and depths."""
    family, rng = FAMILIES[name], np.random.default_rng(0)
    for seed in range(count):
        sizes = family.sample(rng)
        more = family.grown(sizes, rng)
        old, new = trained(family.build(sizes), seed), family.build(more).eval()
        inherit(new, old.state_dict(), family.build(sizes), family.shape)
        assert differs_by(new, old, family.inputs()) < 1e-5, (sizes, more)


# --- new branches ----------------------------------------------------------------------------------------------------


def test_new_block_with_a_skip_around_it_learns_from_the_first_step() -> None:
    """Its ReLU gives nothing yet, but is not dead."""
    parent = {
        **{"blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3, "b1_stride": 1},
        **{"b1_skip": True, "b1_pool": False, "global_pool": True, "fc_layers": 0, "dropout": 0.0},
    }
    child = {**parent, "blocks": 2, **{name.replace("b1", "b2"): parent[name] for name in parent if "b1" in name}}
    old, new = (cnn.build(parameters, SHAPE, CLASSES) for parameters in (parent, child))
    inherit(new, trained(old, 0).state_dict(), old, SHAPE)
    assert differs_by(new.eval(), old, IMAGES) < 1e-5
    new.train()(IMAGES).square().sum().backward()
    assert new.blocks[1].layers[0].norm.weight.grad.any()


@torch.no_grad()
def test_batch_norm_of_a_new_layer_expects_what_an_old_norm_and_a_relu_leave() -> None:
    """Of a standard normal: mean 1 / sqrt(2 pi), variance 1/2 - 1 / (2 pi). So it passes that on in training, too."""
    parent = {
        **{"blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 4, "b1_l1_kernel": 3, "b1_stride": 1},
        **{"b1_skip": False, "b1_pool": False, "global_pool": True, "fc_layers": 0, "dropout": 0.0},
    }
    child = {
        **parent,
        "b1_layers": 2,
        **{f"b1_l2_{key}": parent[f"b1_l1_{key}"] for key in ("type", "filters", "kernel")},
    }
    old, new = (cnn.build(parameters, SHAPE, CLASSES) for parameters in (parent, child))
    inherit(new, old.state_dict(), old, SHAPE)
    norm = new.blocks[0].layers[1].norm
    assert norm.running_mean.tolist() == norm.bias.tolist() == pytest.approx([0.398942] * 4)
    assert (norm.weight**2).tolist() == (norm.running_var + norm.eps).tolist() == pytest.approx([0.340845] * 4)
    x = torch.randn(200, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert differs_by(new.train(), old.train(), x) < 0.02


# --- any child of any parent -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_any_member_can_inherit_from_any_other() -> None:
    rng, found = np.random.default_rng(0), 0
    while found < 60:
        parent, child = SPACE.sample(rng), SPACE.sample(rng)
        try:
            old, new = trained(cnn.build(parent, SHAPE, CLASSES), found), cnn.build(child, SHAPE, CLASSES).eval()
        except Infeasible:
            continue
        before = {name: value.clone() for name, value in old.state_dict().items()}
        inherit(new, old.state_dict(), old, SHAPE)
        assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())
        assert torch.isfinite(new(IMAGES)).all()
        found += 1


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_child_equal_to_its_parent_in_all_shapes_is_its_copy(name: str) -> None:
    family = FAMILIES[name]
    sizes = family.sample(np.random.default_rng(3))
    old, new = trained(family.build(sizes), 0), family.build(sizes)
    inherit(new, old.state_dict(), family.build(sizes), family.shape)
    assert all(torch.equal(value, old.state_dict()[key]) for key, value in new.state_dict().items())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_members_of_other_builders_inherit_from_any_other(name: str) -> None:
    family, rng = FAMILIES[name], np.random.default_rng(1)
    for seed in range(10):
        sizes = family.sample(rng)
        old, new = trained(family.build(sizes), seed), family.build(family.sample(rng)).eval()
        inherit(new, old.state_dict(), family.build(sizes), family.shape)
        assert torch.isfinite(new(family.inputs())).all()
