"""`import sparsemod` is cheap: the big libraries load when something needs them."""

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "ai_edge_litert",
    "ax",
    "botorch",
    "executorch",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "plotly",
    "ray",
    "torch",
    "torchao",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_loads_no_heavy_library() -> None:
    loaded = loaded_by("import sparsemod")
    assert "sparsemod" in loaded
    assert loaded & HEAVY == set()


def test_check_sees_a_heavy_library() -> None:
    assert "pandas" in loaded_by("import pandas") & HEAVY
