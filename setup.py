"""Packaging. The one list of dependencies: environment.yml and CI install from here, constraints.txt pins it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_version() -> str:
    """`__version__` as written in the package: importing it here would need its dependencies."""
    source = (HERE / "sparsemod" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise RuntimeError('sparsemod/__init__.py has no line __version__ = "..."')
    return found.group(1)


setup(
    name="sparsemod",
    version=read_version(),
    description="Neural architecture search for microcontrollers: small, pruned, integer networks and their Pareto set",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["sparsemod", "sparsemod.*"]),
    package_data={
        "sparsemod": ["py.typed", "templates/**", "export/source/**", "frontend/source/**", "report/template/**"]
    },
    entry_points={"console_scripts": ["sparsemod = sparsemod.cli:main"]},
    install_requires=[
        "ax-platform>=1.3",
        "botorch>=0.18",
        "moocore",  # hypervolume
        "numpy",
        "orjson",  # the record of a study, read in half the time
        "pandas>=2.2",
        "python-dotenv",
        "ray[tune]>=2.50",
        "rich",
        "safetensors",
        "scikit-learn",  # the digits data set
        "torch>=2.13",
        "torchao>=0.18",
        "tqdm>=4.60",
    ],
    extras_require={
        "ray": ["ray[default]>=2.50"],  # dashboard and cluster launcher; Ray itself is always there
        "report": ["plotly"],
        "export": ["onnx", "onnxruntime"],
        "executorch": ["executorch>=1.5"],
        "litert": ["ai-edge-litert>=2.3"],
        "optuna": ["optuna>=5"],
        "benchmark": ["matplotlib", "optuna>=5", "pymoo"],  # benchmarks/samplers.py
        "test": [
            "ai-edge-litert",
            "hypothesis",
            "ipykernel",
            "nbclient",
            "onnx",
            "onnxruntime",
            "optuna",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
        ],
        "docs": ["furo", "myst-parser", "sphinx"],
        "dev": ["mypy", "pandas-stubs", "pre-commit", "psutil", "ruff"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
