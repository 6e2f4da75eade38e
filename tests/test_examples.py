"""Every example runs, at one epoch, from its own configuration; and README's configuration too."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import sparsemod
from sparsemod import config
from sparsemod.testing import check_problem

ROOT = Path(__file__).parents[1]
FEW = ["TRAIN.r1=2", "TRAIN.r2=1", "TRAIN.r3=1", "TRAIN.epochs1=1", "TRAIN.epochs2=1", "TRAIN.epochs3=1",
       "TRAIN.finish_epochs=0", "TRAIN.time_limit=0", "RUN.executor=serial"]  # fmt: skip


def run(path, tmp_path):
    return sparsemod.search(config.read(path, [*FEW, f"TRAIN.root={tmp_path}"]))


@pytest.mark.parametrize(
    "path", ["config.cfg", *(f"examples/{name}/config.cfg" for name in ("digits", "custom", "autoencoder", "ray"))]
)
def test_example_finds_networks_within_its_limits(path, tmp_path):
    study = run(ROOT / path, tmp_path)
    assert [trial.status for trial in study.trials] == ["complete"] * 4
    assert all(study.obeys_limits(trial.score) for trial in study.pareto_front())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar10", "har", "spoken_digits", "japanese_vowels"])
def test_example_on_downloaded_data_finds_networks(name, tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("DATA_PATH", str(shared_data))
    study = run(ROOT / "examples" / name / "config.cfg", tmp_path)
    assert [trial.status for trial in study.trials] == ["complete"] * 4


@pytest.mark.slow
def test_notebook_runs_from_top_to_bottom(tmp_path):
    """On a study of a few networks: it searches if there is none."""
    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "examples" / "digits")
    run("examples/digits/config.cfg", tmp_path / "results")
    notebook = nbformat.read(ROOT / "examples" / "inspect.ipynb", as_version=4)
    done = NotebookClient(notebook, timeout=100, resources={"metadata": {"path": tmp_path / "examples"}}).execute()
    texts = "".join(str(output) for cell in done.cells for output in cell.get("outputs", []))
    assert "<Study of 4 trials" in texts
    assert "void net_invoke(void);" in texts


def test_notebook_is_kept_without_outputs():
    notebook = nbformat.read(ROOT / "examples" / "inspect.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_custom_example_passes_the_contract_checks():
    settings = config.read(ROOT / "examples" / "custom" / "config.cfg")
    assert check_problem(sparsemod.problem.load("problem.py:problem", settings.folder), settings) == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/problem.py")), ids=lambda path: path.parent.name)
def test_example_is_at_most_sixty_lines(path):
    assert len(path.read_text().splitlines()) <= 60


def test_every_key_of_the_root_configuration_is_the_default_example():
    """The commented file at the root and examples/digits describe one search."""
    root, example = config.read(ROOT / "config.cfg"), config.read(ROOT / "examples" / "digits" / "config.cfg")
    assert (root.train, root.device, root.run) == (example.train, example.device, example.run)
