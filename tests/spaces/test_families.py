"""What every family of networks keeps to."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from problems.spaces import CLASSES, FAMILIES, Family, children, integer, started

from sparsemod.config import from_keywords
from sparsemod.cost import model_size_bytes, plan
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Tensors
from sparsemod.errors import Infeasible, InputError
from sparsemod.evaluate import data_of
from sparsemod.export import export, verify
from sparsemod.graph import run, trace
from sparsemod.problem import Problem
from sparsemod.testing import check_problem

MEMBERS = 9

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm on this machine"
)
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_morphism = pytest.mark.parametrize(
    ("family", "morphism"),
    [
        pytest.param(family, morphism, id=f"{name}-{morphism.__name__}")
        for name, family in FAMILIES.items()
        for morphism in family.module.MORPHISMS
    ],
)
COMPRESSION = {"channels": 0.5, "patterns": ("element", "2:4"), "weight_bits": (8, 4), "qat_epochs": 2}


def problem_of(family: Family, **keywords: object) -> Problem:
    """Random inputs of the usual shape, and the whole space."""
    rng = torch.Generator().manual_seed(0)
    data = Tensors(torch.randn(120, *family.usual, generator=rng), torch.arange(120) % CLASSES)
    space = family.module.space(**keywords)
    loaded = Data.from_tensors(data, validation=0.3)
    return Problem(space, family.module.build, lambda: loaded, family.module.MORPHISMS)


# --- builders --------------------------------------------------------------------------------------------------------


@every_family
def test_member_is_the_same_network_without_values_with_them_and_in_integers(family: Family) -> None:
    built = 0
    for seed, parameters in enumerate(family.members(MEMBERS)):
        torch.manual_seed(seed)
        network = family.built(parameters)
        if network is None:
            continue
        x = family.inputs(16)
        real = trace(started(network, x), family.shape, "none")
        assert torch.allclose(run(real, x), network(x), atol=1e-4)
        assert run(real, x).shape == (16, CLASSES)
        before = family.traced(parameters)
        assert [operator.kind for operator in before.operators] == [operator.kind for operator in real.operators]
        assert [found.shape for found in before.activations] == [found.shape for found in real.activations]
        built += 1
    assert built >= MEMBERS // 2


@every_family
def test_builder_says_in_words_why_a_member_makes_no_network(family: Family) -> None:
    for parameters in family.members(20):
        try:
            family.traced(parameters)
        except Infeasible as reason:
            assert "larger than" in str(reason) or "too large for" in str(reason)


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("rnn", (3, 32, 32), "(T, F); those of the data are 3 x 32 x 32"),
        ("cnn1d", (128,), "(C, T); those of the data are 128"),
        ("cnn_rnn", (1, 49, 10), "(C, T); those of the data are 1 x 49 x 10"),
        ("dscnn", (49, 10), "(C, T, F); those of the data are 49 x 10"),
        ("resnet", (28, 28), "(C, H, W); those of the data are 28 x 28"),
        ("mobilenet", (28, 28), "(C, H, W); those of the data are 28 x 28"),
    ],
)
def test_input_of_other_axes_is_refused_with_both_shapes(name: str, shape: tuple[int, ...], axes: str) -> None:
    family = FAMILIES[name]
    with pytest.raises(InputError) as caught:
        family.module.build(next(family.members(1)), shape, CLASSES)
    assert str(caught.value) == f"the networks of spaces.{name} read inputs of shape {axes}"


@every_family
def test_inactive_parameters_make_no_difference(family: Family) -> None:
    for parameters in family.members(MEMBERS):
        noise = {name: family.small[name].from_unit(0.9) for name in family.small if name not in parameters}
        if family.built(parameters) is not None:
            assert family.traced({**parameters, **noise}).activations == family.traced(parameters).activations


@every_family
def test_equal_seeds_build_equal_weights(family: Family) -> None:
    parameters = next(p for p in family.members(MEMBERS) if family.built(p) is not None)
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(family.module.build(parameters, family.shape, CLASSES).state_dict())
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())


# --- compression -----------------------------------------------------------------------------------------------------


@every_family
def test_compression_adds_parameters_only_where_it_is_asked_for(family: Family) -> None:
    plain, compressed = family.module.space(), family.module.space(**COMPRESSION)
    added = set(compressed) - set(plain)
    bits = {name for name in added if name.endswith("_bits")}
    assert added - bits == {"prune_channels", "prune_pattern", "qat_epochs"}
    assert "classifier_bits" in bits and len(bits) > 3


@every_family
def test_every_layer_has_the_bits_that_are_searched(family: Family) -> None:
    """Each layer with weights reads a parameter of its own or of its row, so all are 4 if all of those are."""
    space = family.module.space(weight_bits=(8, 4))
    rng, built = np.random.default_rng(0), 0
    while built < 3:
        parameters = {name: 4 if name.endswith("_bits") else value for name, value in space.sample(rng).items()}
        with torch.device("meta"):
            network = family.module.build(parameters, family.usual, CLASSES)
        graph = trace(network, family.usual)
        assert {operator.weight_bits for operator in graph.operators if operator.weight is not None} == {4}
        built += 1


@every_family
def test_channels_can_be_removed(family: Family) -> None:
    problem = problem_of(family, channels=0.5)
    screen = Screen(problem, from_keywords(device="stm32h743"), data_of(problem))
    rng, found = np.random.default_rng(0), 0
    while found < 3:
        parameters = {**problem.space.sample(rng), "prune_channels": 0.5}
        less, whole = screen.costs(parameters), screen.costs({**parameters, "prune_channels": 0.0})
        assert less["model_size"] < whole["model_size"]
        found += 1


# --- morphisms -------------------------------------------------------------------------------------------------------


@every_morphism
def test_child_is_another_member_and_the_parent_stays(family: Family, morphism) -> None:
    space = family.module.space(**COMPRESSION)
    rng = np.random.default_rng(1)
    assert children(morphism, space, (space.sample(rng) for _ in range(40)), rng) > 8


@every_family
def test_every_parameter_of_the_structure_is_moved_by_some_morphism(family: Family) -> None:
    """All but the two that the samplers before morphism have settled."""
    space, rng, moved = family.small, np.random.default_rng(0), set()
    for _ in range(2000):
        parent = space.sample(rng)
        morphism = family.module.MORPHISMS[rng.integers(len(family.module.MORPHISMS))]
        child = morphism(parent, space, rng)
        moved |= {name for name in child or () if name in parent and child[name] != parent[name]}
    assert set(space) - moved <= {"learning_step", "batch_size"}


# --- the whole way ---------------------------------------------------------------------------------------------------


@needs_compiler
@every_family
def test_members_are_bit_identical_in_c(family: Family, tmp_path: Path) -> None:
    done = 0
    for seed, parameters in enumerate(family.members(MEMBERS)):
        torch.manual_seed(seed)
        network = family.built(parameters)
        if network is None:
            continue
        graph = integer(family, started(network, family.inputs(16)))
        folder = tmp_path / str(seed)
        export(graph, folder)
        assert [check.found for check in verify(folder, emulate=False)] == [
            8,
            plan(graph).size,
            model_size_bytes(graph),
        ]
        done += 1
        if done == 2:
            break


@pytest.mark.slow
@pytest.mark.timeout(600)
@every_family
def test_thousand_members_and_all_morphisms_pass_the_check_of_problems(family: Family) -> None:
    """200 of them within the check; with and without what compresses."""
    for keywords in ({}, COMPRESSION):
        problem = problem_of(family, **keywords)
        config = from_keywords(device="stm32h743")
        screen = Screen(problem, config, data_of(problem))
        rng = np.random.default_rng(2)
        reasons = [screen.misfit(problem.space.sample(rng)) for _ in range(800)]  # raises what is not a reason
        assert sum(reason is None for reason in reasons) > 200
        assert check_problem(problem, config) == []


@pytest.mark.slow
@needs_compiler
@pytest.mark.timeout(600)
@every_family
def test_thirty_members_are_bit_identical_in_c(family: Family, tmp_path: Path) -> None:
    for seed, parameters in enumerate(family.members(30)):
        torch.manual_seed(seed)
        network = family.built(parameters)
        if network is None:
            continue
        graph = integer(family, started(network, family.inputs(16)))
        before = family.traced(parameters)
        assert (plan(graph).size, graph.macs) == (plan(before).size, before.macs)
        folder = tmp_path / str(seed)
        export(graph, folder)
        assert all(check.ok for check in verify(folder, emulate=False)), parameters
