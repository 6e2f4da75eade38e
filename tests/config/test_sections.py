"""What follows from the values of a configuration, and how it is written out."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems.settings import Write

from sparsemod.config import Config, find_device, from_keywords, read
from sparsemod.device import DEVICES
from sparsemod.errors import InputError

# --- what follows from the values ------------------------------------------------------------------------------------


def test_limits_are_those_of_the_device_unless_given() -> None:
    assert from_keywords(device="arduino-uno").limits() == {"model_size": 32_768, "working_memory": 2_048}
    assert from_keywords(working_memory="1.5 KB", latency="0.1 s", energy="2 mJ").limits() == {
        "model_size": 32_768,
        "working_memory": 1_500,
        "latency": 100,
        "energy": 2,
    }


def test_folders_are_root_and_name(write: Write) -> None:
    config = read(write(), ["TRAIN.root=here", "TRAIN.name=mine", "TEST.root=there"])
    assert (config.study_folder(), config.test_folder()) == (Path("here/mine"), Path("there/study"))


def test_whole_sequences_unless_asked_for_streaming(write: Write) -> None:
    assert not from_keywords().train.streaming
    config = read(write("[TRAIN]", "streaming = true"))
    assert config.train.streaming
    assert ("TRAIN", "streaming", "true") in [item[:3] for item in config.items()]


def test_limit_may_be_above_that_of_the_device() -> None:
    assert from_keywords(model_size="1 MB").limits()["model_size"] == 1_000_000


def test_target_is_the_preset_with_the_flops_given() -> None:
    assert from_keywords(device="stm32f746").target() == DEVICES["stm32f746"]
    assert from_keywords(flops="16e6").target().flops == 16e6
    assert from_keywords(flops=0).target().flops is None


BOARD = """
from sparsemod import DEVICES, Device
board = Device("board", 1000, 500, 1e6, {"conv": 4, "depthwise": 10, "linear": 2}, 5, 100, "by hand")
slow = DEVICES["nano-33-ble"].cycles_per_mac
"""


def test_own_device_is_found_from_the_folder_of_the_configuration(write: Write, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "board.py").write_text(BOARD)
    config = read(write("[DEVICE]", "device = parts/board.py:board", "latency = 3", "[TRAIN]", "flops = 100"))
    assert config.limits() == {"model_size": 1000, "working_memory": 500, "latency": 3}
    assert (config.target().name, config.target().flops) == ("board", 100)
    assert pickle.loads(pickle.dumps(config)).target() == config.target()


def test_own_device_may_be_given_as_an_object() -> None:
    board = dataclasses.replace(DEVICES["nano-33-ble"], name="board", ram_bytes=500)
    assert from_keywords(device=board).target() == board
    assert from_keywords(device=board).limits()["working_memory"] == 500


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("board.py:slow", "board.py:slow is a dict; it must be a sparsemod.Device"),
        ("board.py:bard", "board.py has no 'bard'; did you mean board.py:board?"),
        ("absent.py:board", "absent.py does not exist; relative paths in a configuration start at its folder"),
    ],
)
def test_device_that_is_none_is_refused(write: Write, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "board.py").write_text(BOARD)
    with pytest.raises(InputError) as caught:
        read(write("[DEVICE]", f"device = {name}")).target()
    assert message in str(caught.value)


def test_unknown_preset_is_refused_with_the_next_step() -> None:
    with pytest.raises(InputError) as caught:
        find_device("rp2400")
    assert str(caught.value) == (
        "'rp2400' is not a device; did you mean 'rp2040'? `sparsemod devices` lists them; your own one is named as "
        "file.py:name"
    )


def test_configuration_travels_to_another_process() -> None:
    config = from_keywords(r1=4, latency="20 ms", objectives=2)
    assert pickle.loads(pickle.dumps(config)) == config


# --- to_ini ----------------------------------------------------------------------------------------------------------


def test_ini_reads_back_to_the_same_values(write: Write) -> None:
    config = read(
        write(
            *("[DEFAULT]", "train = no", "[TRAIN]", "name = a b", "r1 = 3", "objectives = 2", "time_limit = 20 min"),
            *("min_error = 1e-5", "flops = 16e6", "[PROBLEM]", "problem = nets.py:problem", "[DEVICE]"),
            *("model_size = 64 KiB", "latency = 0.1 s", "[RUN]", "executor = ray", "address = ray://host:10001"),
        )
    )
    again = read(write(config.to_ini()))
    assert again == config
    assert again.to_ini() == config.to_ini()


def test_ini_shows_sections_in_order_and_empty_values_bare(write: Write) -> None:
    lines = Config().to_ini().splitlines()
    assert lines[:4] == ["[DEFAULT]", "train = true", "", "[TRAIN]"]
    assert [line for line in lines if line.startswith("[")] == [
        "[DEFAULT]",
        "[TRAIN]",
        "[TEST]",
        "[PROBLEM]",
        "[DEVICE]",
        "[RUN]",
    ]
    assert "model_size =" in lines


# --- the same from another folder -------------------------------------------------------------------------------------


def test_files_are_found_from_another_folder(tmp_path: Path) -> None:
    for folder in ("mine", "results/digits"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine" / "config.cfg").write_text(
        "[PROBLEM]\nproblem = parts/nets.py:problem\n[DEVICE]\ndevice = board.py:board\ncost = package.cost:cost\n"
        "[TRAIN]\nsampler1 = own.py:Own\n"
    )
    (tmp_path / "mine" / "board.py").write_text(BOARD)
    config = read(tmp_path / "mine" / "config.cfg")
    moved = config.seen_from(tmp_path / "results" / "digits")
    assert moved.problem.problem == "../../mine/parts/nets.py:problem"
    assert moved.train.sampler1 == "../../mine/own.py:Own"
    assert (moved.train.sampler2, moved.device.cost) == ("bayes", "package.cost:cost")
    assert (moved.target().name, moved.folder) == ("board", tmp_path / "results" / "digits")
    (moved.folder / "config.cfg").write_text(moved.to_ini())
    assert read(moved.folder / "config.cfg") == moved


def test_what_is_no_relative_path_stays(tmp_path: Path) -> None:
    config = from_keywords(problem="/there/nets.py:problem", device=DEVICES["rp2040"])
    assert config.seen_from(tmp_path) == dataclasses.replace(config, folder=tmp_path)


def test_folder_behind_a_link_is_as_far_away_as_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    (tmp_path / "board.py").write_text(BOARD)
    config = dataclasses.replace(from_keywords(device="board.py:board"), folder=tmp_path)
    moved = config.seen_from(tmp_path / "link")
    assert (moved.device.device, moved.target().name) == ("../../board.py:board", "board")


positive = st.floats(0, exclude_min=True, allow_infinity=False)
words = st.text(st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="#;"), max_size=20)


@given(
    values=st.fixed_dictionaries(
        {
            "model_size": positive,
            "latency": positive,
            "time_limit": positive,
            "flops": positive,
            "max_error": st.floats(0, 1, exclude_min=True),
            "seed": st.integers(0, 2**32 - 1),
            "debug": st.booleans(),
            "name": words,
        }
    )
)
def test_ini_keeps_every_digit_and_letter(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    config = from_keywords(**values)
    path = tmp_path_factory.getbasetemp() / "round_trip.cfg"
    path.write_text(config.to_ini(), encoding="utf-8")
    assert read(path) == Config(**{**vars(config), "folder": path.parent})
