"""Every import in sparsemod/ points downwards: docs/architecture.md says why, this file says how it is checked."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sparsemod"

ROWS = {
    5: ("__main__", "cli", "commands", "display", "export", "report", "sparse", "tensorboard", "testing", "tune"),
    4: ("loop", "retrain"),
    3: ("evaluate", "execute", "results", "samplers", "score", "early_stopping"),
    2: ("accelerator", "compress", "cost", "datasets", "importer", "inherit", "spaces", "tested", "train"),
    1: ("config", "data", "files", "graph", "problem", "study"),
    0: (
        "augment",
        "device",
        "errors",
        "frontend",
        "kernels",
        "locate",
        "metrics",
        "objectives",
        "pareto",
        "space",
        "textplot",
    ),
}

EXCEPTIONS = {
    ("__main__", "cli"),
    # The command line calls everything, and nothing but __main__ may import it. What its commands do stands beside it.
    ("cli", "commands"),
    ("commands", "display"),
    ("commands", "export"),
    ("commands", "report"),
    ("commands", "tensorboard"),
    ("commands", "testing"),
    # errors imports nothing, so nothing can go in circles.
    ("augment", "errors"),
    ("frontend", "errors"),
    ("locate", "errors"),
    ("metrics", "errors"),
    ("space", "errors"),
}

NOT_CHECKED = {"__init__", "templates"}  # the lazy public face; files that are copied to the user

ROW_OF = {unit: row for row, units in ROWS.items() for unit in units}


def wrong_arrows(package: Path) -> list[str]:
    """One line `file:line: what is wrong` for each import of `package` that breaks the rule."""
    found = []
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(package)
        unit = path.parts[0].removesuffix(".py")
        if unit in NOT_CHECKED:
            continue
        where = f"{package.name}/{path.as_posix()}"
        if unit not in ROW_OF:
            found.append(
                f"{where}:1: {unit} has no row; add it to ROWS in tests/test_layering.py and to docs/architecture.md"
            )
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        dotted_parent = (package.name, *path.parts[:-1])
        for line, target in sorted(_imports(tree, dotted_parent)):
            problem = _problem(unit, target, package.name)
            if problem:
                found.append(f"{where}:{line}: {problem}")
    return found


def _imports(tree: ast.AST, parent: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import, also inside functions; `from a import b` gives `a.b`."""
    for node in _executed(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*parent[: len(parent) - level + 1]] if level else []
                prefix = ".".join([*base, *([module] if module else [])])
                yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
            case _:
                pass


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, except what stands under `if TYPE_CHECKING:`."""
    yield node
    skipped: list[ast.stmt] = []
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        skipped = node.body
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _executed(child)


def _problem(unit: str, target: str, package: str) -> str | None:
    root, _, rest = target.partition(".")
    imported = rest.split(".")[0]
    if root != package or imported in ("__version__", unit) or (unit, imported) in EXCEPTIONS:
        return None
    if imported not in ROW_OF:
        return f"{unit} imports {target}: name the file it comes from, and that file needs a row"
    if ROW_OF[imported] < ROW_OF[unit]:
        return None
    return f"{unit} (row {ROW_OF[unit]}) imports {imported} (row {ROW_OF[imported]}): only lower rows are allowed"


def plant(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "sparsemod"
    for name, source in files.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    return package


def test_imports_point_downwards() -> None:
    assert not (wrong := wrong_arrows(PACKAGE)), "\n".join(wrong)


def test_package_is_where_the_check_looks() -> None:
    assert (PACKAGE / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("train.py", "from sparsemod.data import Data\n"),
        ("cost/size.py", "from sparsemod.cost.packing import pack\n"),
        ("cost/size.py", "from .packing import pack\nfrom ..graph import Graph\n"),
        ("cost/size.py", "from . import packing\n"),
        ("report.py", "from sparsemod import __version__\n"),
        ("__main__.py", "from sparsemod.cli import main\n"),
        ("commands/study.py", "def report():\n    from sparsemod import report\n"),
        ("__init__.py", "from sparsemod.loop import search\n"),
        ("templates/problem.py", "import sparsemod\n"),
        ("graph/trace.py", "import torch\nimport sparsemodel\nfrom ax.api import client\n"),
        ("config.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sparsemod.loop import search\n"),
        ("config.py", "import typing\nif typing.TYPE_CHECKING:\n    import sparsemod.problem\n"),
    ],
)
def test_right_arrow_passes(tmp_path: Path, file: str, source: str) -> None:
    assert wrong_arrows(plant(tmp_path, {file: source})) == []


@pytest.mark.parametrize(
    ("file", "source", "line", "arrow"),
    [
        ("data.py", "from sparsemod.train import fit\n", 1, "data (row 1) imports train (row 2)"),
        ("train.py", "import os\n\nimport sparsemod.inherit\n", 3, "train (row 2) imports inherit (row 2)"),
        ("loop.py", "from sparsemod import cli\n", 1, "loop (row 4) imports cli (row 5)"),
        ("report.py", "from sparsemod.cli import main\n", 1, "report (row 5) imports cli (row 5)"),
        ("errors.py", "from sparsemod import space\n", 1, "errors (row 0) imports space (row 0)"),
        ("cost/size.py", "from ..spaces.cnn import build\n", 1, "cost (row 2) imports spaces (row 2)"),
        ("cost/size.py", "from .. import evaluate\n", 1, "cost (row 2) imports evaluate (row 3)"),
        ("graph/__init__.py", "from ..train import fit\n", 1, "graph (row 1) imports train (row 2)"),
        ("train.py", "def fit():\n    from sparsemod.loop import search\n", 2, "train (row 2) imports loop (row 4)"),
        (
            "data.py",
            "try:\n    import sparsemod.cli as c\nexcept ImportError:\n    c = None\n",
            2,
            "imports cli (row 5)",
        ),
        ("data.py", "import importlib\nimportlib.import_module('sparsemod.loop')\n", 2, "imports loop (row 4)"),
        ("data.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import sparsemod.loop\n", 4, "imports loop (row 4)"),
        ("train.py", "import sparsemod\n", 1, "train imports sparsemod: name the file it comes from"),
        ("train.py", "from sparsemod import Study\n", 1, "train imports sparsemod.Study: name the file"),
        ("loop.py", "import sparsemod.templates\n", 1, "loop imports sparsemod.templates: name the file"),
        ("utils.py", "", 1, "utils has no row; add it to ROWS"),
        ("helpers/text.py", "", 1, "helpers has no row; add it to ROWS"),
    ],
)
def test_wrong_arrow_is_reported_with_its_line(tmp_path: Path, file: str, source: str, line: int, arrow: str) -> None:
    (message,) = wrong_arrows(plant(tmp_path, {file: source}))
    assert message.startswith(f"sparsemod/{file}:{line}: ")
    assert arrow in message


def test_all_wrong_arrows_are_reported_together(tmp_path: Path) -> None:
    package = plant(
        tmp_path,
        {
            "data.py": "import sparsemod.loop, sparsemod.cli\n",
            "study.py": "from sparsemod import data, problem, space\n",
        },
    )
    assert [message.split(":")[0] for message in wrong_arrows(package)] == [
        "sparsemod/data.py",
        "sparsemod/data.py",
        "sparsemod/study.py",
        "sparsemod/study.py",
    ]


def test_no_file_has_two_rows() -> None:
    assert len(ROW_OF) == sum(len(units) for units in ROWS.values())
