import importlib
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparsemod.errors import InputError
from sparsemod.problem import Problem, load
from sparsemod.space import Int, SearchSpace

SOURCE = """
from sparsemod.problem import Problem
from sparsemod.space import Int, SearchSpace

def measure(candidate):
    return {"error": 1 / candidate.parameters["width"]}

def widen(parameters, space, rng):
    return {"width": parameters["width"] + 1}

tiny = Problem(SearchSpace({"width": Int(1, 9)}), objective=measure, morphisms=[widen])
text = "no problem"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_problem.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `import` looks for a module of the user."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.startswith("users_")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return tmp_path


def message(name: str, folder: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load(name, folder)
    return str(caught.value)


def test_problem_of_a_file_is_found_from_the_folder_given(file: Path) -> None:
    problem = load("tiny_problem.py:tiny", file.parent)
    assert problem.space == SearchSpace({"width": Int(1, 9)})
    assert [morphism.__name__ for morphism in problem.morphisms] == ["widen"]


def test_problem_of_a_file_is_found_by_its_full_path(file: Path) -> None:
    assert load(f"{file}:tiny").space == SearchSpace({"width": Int(1, 9)})


def test_relative_path_starts_at_the_current_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load("tiny_problem.py:tiny") is load(f"{file}:tiny")


def test_file_is_run_once(file: Path) -> None:
    assert load(f"{file}:tiny") is load("tiny_problem.py:tiny", file.parent)


def test_files_of_one_name_in_two_folders_are_two_problems(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(SOURCE.replace("Int(1, 9)", "Int(1, 5)"))
    assert load(f"{other}:tiny").space == SearchSpace({"width": Int(1, 5)})
    assert load(f"{file}:tiny").space == SearchSpace({"width": Int(1, 9)})


def test_functions_of_a_file_survive_pickling(file: Path) -> None:
    problem = load(f"{file}:tiny")
    assert pickle.loads(pickle.dumps(problem.objective)) is problem.objective


def test_functions_of_a_file_reach_another_process_that_loads_it_too(file: Path, tmp_path: Path) -> None:
    (tmp_path / "functions.pickle").write_bytes(pickle.dumps(load(f"{file}:tiny").morphisms))
    script = (
        "import pickle, sys; from pathlib import Path; from sparsemod.problem import load; "
        f"load({str(file)!r} + ':tiny'); "
        f"[widen] = pickle.loads(Path({str(tmp_path / 'functions.pickle')!r}).read_bytes()); "
        "print(widen({'width': 3}, None, None))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'width': 4}", done.stderr


def test_problem_of_a_module_is_found(module: Path) -> None:
    (module / "users_package").mkdir()
    (module / "users_package" / "nets.py").write_text(SOURCE)
    assert load("users_package.nets:tiny").space == SearchSpace({"width": Int(1, 9)})


def test_module_in_the_current_folder_is_found(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = module / "here"
    here.mkdir()
    (here / "users_local.py").write_text(SOURCE)
    monkeypatch.chdir(here)
    assert load("users_local:tiny").space == SearchSpace({"width": Int(1, 9)})


@pytest.mark.parametrize("name", ["tiny_problem.py", "package.module", ":tiny", "tiny_problem.py:", ""])
def test_name_without_place_or_attribute_is_refused(name: str) -> None:
    assert message(name) == f"{name!r} must read 'package.module:name' or 'path/to/file.py:name'"


def test_missing_file_is_named_in_full(tmp_path: Path) -> None:
    assert message("absent.py:tiny", tmp_path) == (
        f"the file {tmp_path / 'absent.py'} does not exist; relative paths in a configuration start at its folder"
    )


def test_syntax_error_in_a_file_shows_its_line(file: Path) -> None:
    file.write_text("x = 1\ndef broken(:\n    pass\n")
    assert message(f"{file}:tiny").splitlines() == [
        f"the file {file} does not import",
        "  line 2: def broken(:",
        "  SyntaxError: invalid syntax (tiny_problem.py, line 2)",
    ]


def test_error_in_a_file_shows_the_line_of_the_users_own_code(file: Path) -> None:
    file.write_text("def half(text):\n    return int(text) / 2\n\nhalf('ten')\n")
    assert message(f"{file}:tiny").splitlines()[1:] == [
        "  line 2: return int(text) / 2",
        "  ValueError: invalid literal for int() with base 10: 'ten'",
    ]


def test_error_deep_in_a_library_shows_the_call_in_the_users_file(file: Path) -> None:
    file.write_text("import json\njson.loads('{')\n")
    assert message(f"{file}:tiny").splitlines()[1] == "  line 2: json.loads('{')"


def test_error_in_a_file_keeps_the_original_as_its_cause(file: Path) -> None:
    file.write_text("import not_installed_anywhere\n")
    with pytest.raises(InputError, match="line 1: import not_installed_anywhere") as caught:
        load(f"{file}:tiny")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_file_is_read_anew_once_it_has_been_mended(file: Path) -> None:
    file.write_text("oh no")
    message(f"{file}:tiny")
    file.write_text(SOURCE)
    assert load(f"{file}:tiny")


def test_missing_module_is_named(module: Path) -> None:
    assert message("users_absent.nets:tiny").splitlines() == [
        "the module 'users_absent.nets' does not import",
        "  ModuleNotFoundError: No module named 'users_absent'",
    ]


def test_error_in_a_module_shows_its_line(module: Path) -> None:
    (module / "users_wrong.py").write_text("x = 1\ny = 1 / 0\n")
    assert message("users_wrong:tiny").splitlines() == [
        "the module 'users_wrong' does not import",
        "  line 2: y = 1 / 0",
        "  ZeroDivisionError: division by zero",
    ]


def test_syntax_error_in_a_module_shows_its_line(module: Path) -> None:
    (module / "users_broken.py").write_text("def broken(:\n    pass\n")
    assert message("users_broken:tiny").splitlines()[1] == "  line 1: def broken(:"


def test_wrong_name_suggests_the_right_one(file: Path) -> None:
    assert message(f"{file}:tinny") == f"{file} has no 'tinny'; did you mean {file}:tiny?"
    assert message(f"{file}:something_else") == f"{file} has no 'something_else'; did you mean {file}:tiny?"


def test_file_without_any_problem_says_so(file: Path) -> None:
    file.write_text("x = 1\n")
    assert message(f"{file}:tiny") == f"{file} has no 'tiny'; it defines no Problem at all"


def test_name_of_something_else_is_refused(file: Path) -> None:
    assert message(f"{file}:text") == f"{file}:text is a str; it must be a sparsemod.Problem"


def test_problem_needs_network_and_data_or_an_objective() -> None:
    space = SearchSpace({"width": Int(1, 9)})
    for partial in ({}, {"build": print}, {"load_data": print}):
        with pytest.raises(InputError, match="a Problem needs build and load_data, or an objective"):
            Problem(space, **partial)  # type: ignore[arg-type]
    assert Problem(space, build=print, load_data=print)  # type: ignore[arg-type]
    assert Problem(space, objective=lambda candidate: {"error": 0.5})


def test_ax_space_of_a_problem_is_converted() -> None:
    from ax.core import search_space as ax
    from ax.core.parameter import ParameterType, RangeParameter

    space = ax.SearchSpace([RangeParameter("width", ParameterType.INT, 1, 9)])
    problem = Problem(space, objective=lambda candidate: {"error": 0.5})  # type: ignore[arg-type]
    assert problem.space == SearchSpace({"width": Int(1, 9)})


def test_space_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="the space is a dict; it must be a SearchSpace"):
        Problem({"width": Int(1, 9)}, objective=lambda candidate: {"error": 0.5})  # type: ignore[arg-type]


def test_problem_with_limits_is_hashable_and_its_limits_are_its_own() -> None:
    limits = {"heat": 20}
    problem = Problem(SearchSpace({"width": Int(1, 9)}), objective=print, limits=limits)  # type: ignore[arg-type]
    limits["heat"] = 3
    assert problem.limits == {"heat": 20}
    assert hash(problem) == hash(problem) and problem == problem


@pytest.mark.parametrize("limit", [math.nan, math.inf, "20 KB", None])
def test_limits_that_are_no_numbers_are_refused_all_at_once(limit: Any) -> None:
    space = SearchSpace({"width": Int(1, 9)})
    with pytest.raises(InputError) as refusal:
        Problem(space, objective=print, limits={"heat": limit, "noise": 3, "price": math.nan})  # type: ignore[arg-type]
    assert f"but heat is {limit!r}, price is nan; leave out" in str(refusal.value)
