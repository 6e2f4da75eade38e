"""Examples in docstrings and on the pages of docs/ are true."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import sparsemod
from sparsemod.config import read
from sparsemod.testing import check_problem

MODULES = [
    module.name
    for module in pkgutil.walk_packages(sparsemod.__path__, "sparsemod.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_page_on_own_problems_runs_as_it_stands(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "own_problem.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(block, names)
    assert {trial.status for trial in names["study"].trials} == {"complete"}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"script", "old"}


def test_page_on_own_evaluations_runs_as_it_stands(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "optimizer.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(block, names)
    study, problem = names["study"], names["problem"]
    assert len(study.trials) == 25
    assert all(study.obeys_limits(trial.score) for trial in study.pareto_front())
    config = re.search(r"^```\n(\[TRAIN\].*?)^```", page, re.DOTALL | re.MULTILINE).group(1)
    (tmp_path / "config.cfg").write_text(config.replace("[PROBLEM]\nproblem = forest.py:problem\n", ""))
    assert check_problem(problem, read(tmp_path / "config.cfg")) == []


def test_page_on_spaces_lists_every_family():
    page = (Path(__file__).parents[1] / "docs" / "spaces.md").read_text(encoding="utf-8")
    modules = [name for name in MODULES if name.startswith("sparsemod.spaces.")]
    families = {name.split(".")[-1] for name in modules if hasattr(importlib.import_module(name), "MORPHISMS")}
    assert families == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert all(f"    {name} " in sparsemod.spaces.__doc__ for name in families)
