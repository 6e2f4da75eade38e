from dataclasses import replace
from pathlib import Path

import pytest
from problems.searches import searched

from sparsemod import tested
from sparsemod.errors import InputError
from sparsemod.report import Source, open_sources
from sparsemod.tested import Tested


def test_study_is_opened_with_what_its_folder_says(tmp_path: Path) -> None:
    searched(tmp_path, r1=2, r2=0, r3=0)
    tests = [Tested(1, None, None, 5, error=0.5), Tested(1, 1, None, 5, error=0.25), Tested(1, 1, 0, 5, error=0.75)]
    tested.write(tests, tmp_path / "study")
    (source,) = open_sources([tmp_path / "study"])
    assert (source.name, len(source.study)) == ("study", 2)
    assert source.problem.endswith("synthetic.py:problem")
    assert source.device().name == "microbit-v2"
    assert source.stops[0] == "quasi-random: all rounds done"
    assert source.errors_on_test == {1: 0.25}  # not that of a group, whose networks are others
    assert source.saved_errors_on_test == {1: 0.5}


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for root in ("a", "b"):
        searched(tmp_path / root, r1=1, r2=0, r3=0)
    folders = [tmp_path / "a" / "study", tmp_path / "b" / "study"]
    assert [source.name for source in open_sources(folders)] == [str(folder) for folder in folders]


def test_copy_of_a_configuration_that_is_gone_or_damaged_is_no_obstacle(tmp_path: Path) -> None:
    searched(tmp_path, r1=1, r2=0, r3=0)
    config = tmp_path / "study" / "config.cfg"
    config.write_text("no section")
    assert open_sources([config.parent])[0].problem == ""
    config.unlink()
    assert open_sources([config.parent])[0].problem == ""


def test_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        open_sources([tmp_path])


def test_device_of_ones_own_is_found_beside_the_study(source: Source) -> None:
    (source.folder / "board.py").write_text(
        "from dataclasses import replace\nfrom sparsemod import DEVICES\n"
        "board = replace(DEVICES['rp2040'], name='mine')\n"
    )
    own = replace(source, settings={"DEVICE.device": "board.py:board", "TRAIN.flops": "1e6"})
    assert (own.device().name, own.device().flops) == ("mine", 1e6)
