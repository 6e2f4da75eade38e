"""Every example runs, at one epoch, from its own configuration; and README's configuration too."""

from pathlib import Path

import pytest

import sparsemod
from sparsemod import config
from sparsemod.testing import check_problem

ROOT = Path(__file__).parents[1]
FEW = ["TRAIN.r1=2", "TRAIN.r2=1", "TRAIN.r3=1", "TRAIN.epochs1=1", "TRAIN.epochs2=1", "TRAIN.epochs3=1",
       "TRAIN.finish_epochs=0", "TRAIN.time_limit=0", "RUN.executor=serial"]  # fmt: skip


def run(path, tmp_path):
    return sparsemod.search(config.read(path, [*FEW, f"TRAIN.root={tmp_path}"]))


@pytest.mark.parametrize(
    "path", ["config.cfg", "examples/digits/config.cfg", "examples/custom/config.cfg", "examples/ray/config.cfg"]
)
def test_example_finds_networks_within_its_limits(path, tmp_path):
    study = run(ROOT / path, tmp_path)
    assert [trial.status for trial in study.trials] == ["complete"] * 4
    assert all(study.obeys_limits(trial.score) for trial in study.pareto_front())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_example_on_downloaded_data_finds_networks(name, tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("DATA_PATH", str(shared_data))
    study = run(ROOT / "examples" / name / "config.cfg", tmp_path)
    assert [trial.status for trial in study.trials] == ["complete"] * 4


def test_custom_example_passes_the_contract_checks():
    settings = config.read(ROOT / "examples" / "custom" / "config.cfg")
    assert check_problem(sparsemod.problem.load("problem.py:problem", settings.folder), settings) == []


def test_custom_example_is_at_most_sixty_lines():
    assert len((ROOT / "examples" / "custom" / "problem.py").read_text().splitlines()) <= 60


def test_every_key_of_the_root_configuration_is_the_default_example():
    """The commented file at the root and examples/digits describe one search."""
    root, example = config.read(ROOT / "config.cfg"), config.read(ROOT / "examples" / "digits" / "config.cfg")
    assert (root.train, root.device, root.run) == (example.train, example.device, example.run)
