"""The separate step that sees the test set."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import sparsemod
from sparsemod import Data, InputError, Problem, Tensors
from sparsemod.config import ProblemSection, from_keywords
from sparsemod.retrain import test as retest
from sparsemod.spaces import cnn


def load_data():
    """Three classes told apart by the mean; the labels of the test set are all wrong on purpose."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(150) % 3
    x = torch.randn(150, 1, 6, 6, generator=rng) * 0.3 + y.reshape(-1, 1, 1, 1)
    return Data.from_tensors(Tensors(x, y), Tensors(x[:30], (y[:30] + 1) % 3), validation=0.2)


SPACE = cnn.space(blocks=1, layers=1, filters=(4, 8), fc_layers=0, sparsity=0.5)


@pytest.fixture
def config(tmp_path):
    problem = Problem(SPACE, cnn.build, load_data, cnn.MORPHISMS)
    config = from_keywords(
        problem=problem, root=str(tmp_path), name="s", r1=2, r2=0, r3=0, epochs1=4, device="microbit-v2"
    )
    sparsemod.search(config)
    return config


def retested(config, **values):
    return retest(replace(config, test=replace(config.test, root=config.train.root, name="s", epochs=6, **values)))


def test_front_is_measured_on_the_test_set(config, tmp_path):
    trials = retested(config)
    assert [trial.status for trial in trials] == ["complete"] * len(trials) and trials
    assert min(trial.score["error"] for trial in trials) > 0.8  # every label of the test set is wrong
    lines = (tmp_path / "s" / "test.csv").read_text().splitlines()
    assert len(lines) == 1 + len(trials) and "test_error" in lines[0]


def test_teacher_never_sees_the_test_set(config):
    """It is the one of the search, also where it looks at what validates."""
    seen = []

    def teacher(data):
        seen.append((len(data.train), len(data.validation), len(data.test)))
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    problem = replace(config.problem.problem, teacher=teacher)
    trials = retested(replace(config, problem=ProblemSection(problem)), arm=1)
    assert [trial.status for trial in trials] == ["complete"]
    assert seen == [(120, 30, 30)]


def test_one_named_network(config):
    assert [trial.number for trial in retested(config, arm=1)] == [1]


def test_unknown_network(config):
    with pytest.raises(InputError, match="no finished trial 77"):
        retested(config, arm=77)


def test_data_without_a_test_set(config):
    def without():
        return replace(load_data(), test=None)

    problem = Problem(SPACE, cnn.build, without, cnn.MORPHISMS)
    with pytest.raises(InputError, match="has no test set"):
        retested(replace(config, problem=replace(config.problem, problem=problem)))
