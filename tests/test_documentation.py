"""Examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import sparsemod

MODULES = [
    module.name
    for module in pkgutil.walk_packages(sparsemod.__path__, "sparsemod.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
