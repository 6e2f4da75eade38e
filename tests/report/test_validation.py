import shutil
from pathlib import Path

import pytest
from problems.searches import TINY, searched

from sparsemod import search
from sparsemod.config import read
from sparsemod.errors import InputError
from sparsemod.report import load_validation


def test_data_is_told_in_words(networks_folder: Path) -> None:
    """Of 70 samples of each class 7 are for testing; a fifth of the other 63, 13, is for validation."""
    words = load_validation(networks_folder).in_words()
    assert words == "150 training, 39 validation, 21 test samples of 1x6x6, 3 classes"


def test_problem_without_data_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, r1=1, r2=0, r3=0)
    with pytest.raises(InputError, match="has no data of its own"):
        load_validation(tmp_path / "study")


def test_problem_is_found_relative_to_its_configuration(tmp_path: Path, networks_folder: Path) -> None:
    name, _, attribute = TINY.rpartition(":")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text(Path(name).read_text())
    config = tmp_path / "mine" / "config.cfg"
    config.write_text(f"[PROBLEM]\nproblem = mine.py:{attribute}\n")
    assert load_validation(networks_folder, config).data.num_classes == 3
    shutil.copytree(networks_folder, tmp_path / "study")
    (tmp_path / "study" / "config.cfg").write_text(config.read_text())
    with pytest.raises(InputError, match=r"mine\.py does not exist"):
        load_validation(tmp_path / "study")


def test_problem_is_found_through_the_copy_in_the_study_wherever_the_search_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, attribute = TINY.rpartition(":")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text(Path(name).read_text())
    (tmp_path / "mine" / "config.cfg").write_text(f"[PROBLEM]\nproblem = mine.py:{attribute}\n")
    monkeypatch.chdir(tmp_path)
    search(read("mine/config.cfg", ["TRAIN.r1=1", "TRAIN.r2=0", "TRAIN.r3=0", "DEVICE.device=rp2040"]))
    monkeypatch.chdir(tmp_path / "mine")
    assert load_validation(tmp_path / "results" / "study").data.num_classes == 3


def test_data_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text(
        "from sparsemod import Int, Problem, SearchSpace\n"
        "def load_data():\n    raise OSError('the disk is at home')\n"
        "problem = Problem(SearchSpace({'a': Int(1, 9)}), build=print, load_data=load_data)\n"
    )
    config = tmp_path / "config.cfg"
    config.write_text("[PROBLEM]\nproblem = lost.py:problem\n")
    with pytest.raises(InputError, match="load_data raised OSError: the disk is at home"):
        load_validation(tmp_path, config)
