import dataclasses
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.config import Config, find_device, from_keywords, quantities, read
from sparsemod.device import DEVICES
from sparsemod.errors import ConfigError, InputError

DEFAULTS = """
DEFAULT train true
TRAIN name study
TRAIN root results
TRAIN r1 20
TRAIN r2 20
TRAIN r3 20
TRAIN epochs1 1
TRAIN epochs2 5
TRAIN epochs3 10
TRAIN objectives error, model_size, working_memory, latency
TRAIN batch_size 1
TRAIN quant_scheme post
TRAIN qat_epochs 0
TRAIN pruning true
TRAIN morphisms true
TRAIN splitter false
TRAIN flops 0
TRAIN max_error 1
TRAIN seed 0
TRAIN tolerance 0
TRAIN patience 10
TRAIN time_limit 0
TRAIN min_error 0
TRAIN max_failures 5
TRAIN debug false
TEST name study
TEST root results
TEST arm -1
TEST epochs 20
TEST objectives error, model_size, working_memory, latency
TEST quant_scheme post
TEST pruning true
TEST splitter false
PROBLEM problem
DEVICE device arduino-uno
DEVICE model_size
DEVICE working_memory
DEVICE latency
DEVICE energy
DEVICE cost
RUN executor serial
RUN workers 0
RUN gpus_per_candidate 0
RUN address
"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test: an empty folder, no SPARSEMOD_ variables."""
    for name in os.environ:
        if name.startswith("SPARSEMOD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes config.cfg from its lines."""

    def config_file(*lines: str) -> Path:
        path = tmp_path / "config.cfg"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return config_file


def mistakes(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, overrides)
    return list(caught.value.mistakes)


def origins(config: Config) -> dict[str, str]:
    """Origin of everything that is not a default, by SECTION.key."""
    return {f"{section}.{key}": origin for section, key, _, origin in config.items() if origin != "default"}


# --- defaults and precedence -----------------------------------------------------------------------------------------


def test_empty_file_gives_every_default(write: Write) -> None:
    rows = [f"{section} {key} {value}".rstrip() for section, key, value, _ in read(write()).items()]
    assert rows == DEFAULTS.split("\n")[1:-1]


def test_defaults_are_the_same_from_file_keywords_and_class(write: Write) -> None:
    assert read(write()) == Config(folder=write().parent)
    assert from_keywords() == Config()
    assert origins(Config()) == {}


def test_the_later_source_wins(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("[TRAIN]", "r1 = 2", "r2 = 2", "r3 = 2", "epochs1 = 2")
    (tmp_path / ".env").write_text("SPARSEMOD_TRAIN_R2=3\nSPARSEMOD_TRAIN_R3=3\nSPARSEMOD_TRAIN_EPOCHS1=3\n")
    monkeypatch.setenv("SPARSEMOD_TRAIN_R3", "4")
    monkeypatch.setenv("SPARSEMOD_TRAIN_EPOCHS1", "4")
    config = read(path, ["TRAIN.epochs1=5"])
    assert (config.train.r1, config.train.r2, config.train.r3, config.train.epochs1) == (2, 3, 4, 5)
    assert config.train.epochs2 == 5  # the default
    assert origins(config) == {
        "TRAIN.r1": "config.cfg",
        "TRAIN.r2": ".env SPARSEMOD_TRAIN_R2",
        "TRAIN.r3": "environment SPARSEMOD_TRAIN_R3",
        "TRAIN.epochs1": "--set",
    }


def test_last_override_of_a_key_wins(write: Write) -> None:
    assert read(write(), ["TRAIN.r1=4", "TRAIN.r1=6"]).train.r1 == 6


def test_override_may_hold_spaces_equal_signs_and_capitals(write: Write) -> None:
    config = read(write(), ["TRAIN.R1 = 4", "TRAIN.name = a=b", "DEFAULT.train=no"])
    assert (config.train.r1, config.train.name, config.default.train) == (4, "a=b", False)


def test_every_section_can_be_set_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEMOD_DEFAULT_TRAIN", "false")
    monkeypatch.setenv("SPARSEMOD_TEST_ARM", "7")
    monkeypatch.setenv("SPARSEMOD_PROBLEM_PROBLEM", "nets.py:problem")
    monkeypatch.setenv("SPARSEMOD_DEVICE_MODEL_SIZE", "2 KB")
    monkeypatch.setenv("SPARSEMOD_RUN_GPUS_PER_CANDIDATE", "0.5")
    config = read(write())
    assert (config.default.train, config.test.arm, config.problem.problem) == (False, 7, "nets.py:problem")
    assert (config.device.model_size, config.run.gpus_per_candidate) == (2000, 0.5)


def test_comments_may_stand_behind_a_value(write: Write) -> None:
    config = read(write("# a comment", "[TRAIN]", "r1 = 4   # rounds", "name = a#b;c  ; kept: no space before them"))
    assert (config.train.r1, config.train.name) == (4, "a#b;c")


def test_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.cfg"
    path.write_bytes(b"\xef\xbb\xbf[TRAIN]\r\nr1 = 4\r\n")  # with a byte order mark
    assert read(path).train.r1 == 4


def test_folder_of_the_file_is_remembered(write: Write) -> None:
    path = write()
    assert read(path).folder == path.parent
    assert read("config.cfg").folder == Path()


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("DEVICE.model_size", "2 KB", 2000),
        ("DEVICE.model_size", "64 KiB", 65_536),
        ("DEVICE.model_size", "64kib", 65_536),
        ("DEVICE.model_size", "1.5 MB", 1_500_000),
        ("DEVICE.model_size", "1 MiB", 1_048_576),
        ("DEVICE.model_size", "300 B", 300),
        ("DEVICE.model_size", "1e3", 1000),
        ("DEVICE.model_size", "none", None),
        ("DEVICE.working_memory", "1536", 1536),
        ("DEVICE.latency", "0.1 s", 100),
        ("DEVICE.latency", "20 ms", 20),
        ("DEVICE.latency", "20", 20),
        ("DEVICE.latency", "500 us", 0.5),
        ("DEVICE.energy", "0.5 mJ", 0.5),
        ("DEVICE.energy", "20 uJ", 0.02),
        ("DEVICE.energy", "0.1 J", 100),
        ("DEVICE.energy", "3", 3),
        ("DEVICE.device", "board.py:board", "board.py:board"),
        ("TRAIN.time_limit", "20 min", 1200),
        ("TRAIN.time_limit", "2h", 7200),
        ("TRAIN.time_limit", "1 d", 86_400),
        ("TRAIN.time_limit", "300 ms", 0.3),
        ("TRAIN.time_limit", "90", 90),
        ("TRAIN.r1", "1_000", 1000),
        ("TRAIN.flops", "16e6", 16_000_000),
        ("TRAIN.max_error", "1", 1),
        ("TRAIN.pruning", "OFF", False),
        ("TRAIN.pruning", "Yes", True),
        ("TRAIN.objectives", "1", ("error",)),
        ("TRAIN.objectives", "2", ("error", "model_size")),
        ("TRAIN.objectives", "3", ("error", "model_size", "working_memory")),
        ("TRAIN.objectives", "4", ("error", "model_size", "working_memory", "latency")),
        ("TRAIN.objectives", "latency, error", ("latency", "error")),
        ("TRAIN.objectives", "error, energy", ("error", "energy")),
        ("TRAIN.objectives", "[error,]", ("error",)),
        ("TEST.arm", "-1", -1),
    ],
)
def test_text_is_read_as(write: Write, key: str, text: str, value: object) -> None:
    section, _, name = key.partition(".")
    config = read(write(f"[{section}]", f"{name} = {text}"))
    assert getattr(getattr(config, section.lower()), name) == value


@pytest.mark.parametrize(
    ("key", "text", "mistake"),
    [
        ("TRAIN.r1", "ten", "'ten' is not a whole number"),
        ("TRAIN.r1", "2.5", "'2.5' is not a whole number"),
        ("TRAIN.r1", "", "'' is not a whole number"),
        ("TRAIN.r1", "-1", "-1 must be at least 0"),
        ("TRAIN.seed", str(2**32), "4294967296 must be at most 4294967295"),
        ("TRAIN.epochs1", "0", "0 must be at least 1"),
        ("TRAIN.max_error", "0", "0 must be above 0"),
        ("TRAIN.max_error", "1.5", "1.5 must be at most 1"),
        ("TRAIN.min_error", "x", "'x' is not a number"),
        ("TRAIN.min_error", "nan", "'nan' is not a finite number"),
        ("TRAIN.flops", "inf", "'inf' is not a finite number"),
        ("TRAIN.pruning", "maybe", "'maybe' is not true or false"),
        ("TRAIN.time_limit", "-3 min", "-3 min must be at least 0"),
        ("TRAIN.time_limit", "3 weeks", "'3 weeks' is not like 20 min; units: s, ms, min, m, h, d"),
        ("DEVICE.model_size", "0 KB", "0 KB must be above 0"),
        ("DEVICE.model_size", "9e999", "'9e999' is not a finite number"),
        ("DEVICE.model_size", "KB", "'KB' is not like 2 KB; units: b, kb, mb, kib, mib"),
        ("DEVICE.model_size", "2 GB", "'2 GB' is not like 2 KB; units: b, kb, mb, kib, mib"),
        ("DEVICE.model_size", "-", "'-' is not like 2 KB; units: b, kb, mb, kib, mib"),
        ("DEVICE.latency", "20 min", "'20 min' is not like 20 ms; units: ms, s, us"),
        ("DEVICE.energy", "3 kWh", "'3 kWh' is not like 0.5 mJ; units: mj, j, uj"),
        ("TRAIN.objectives", "0", "0 must be from 1 to 4, or a list of names"),
        ("TRAIN.objectives", "5", "5 must be from 1 to 4, or a list of names"),
        ("TRAIN.objectives", "", "no objective is named"),
        ("TRAIN.objectives", "error, error", "an objective is named twice"),
        (
            "TRAIN.objectives",
            "error, latncy",
            "'latncy' is not an objective; did you mean 'latency'? Known: error, model_size, working_memory, latency, "
            "energy",
        ),
        (
            "TRAIN.quant_scheme",
            "pots",
            "'pots' is not allowed; did you mean 'post'? Known: post, dynamic, both, none",
        ),
        ("RUN.executor", "dask", "'dask' is not allowed. Known: serial, processes, ray"),
        (
            "DEVICE.device",
            "arduino",
            f"'arduino' is not allowed; did you mean 'arduino-uno'? Known: {', '.join(DEVICES)}, or your own as "
            "file.py:name",
        ),
        (
            "TRAIN.name",
            "run #3",
            "'run #3' must be one line, and no word of it may begin with # or ;, which begin a comment",
        ),
        (
            "TRAIN.name",
            "a\nb",
            "'a\\nb' must be one line, and no word of it may begin with # or ;, which begin a comment",
        ),
    ],
)
def test_wrong_value_is_refused_with_what_is_allowed(write: Write, key: str, text: str, mistake: str) -> None:
    assert mistakes(write(), f"{key}={text}") == [f"--set {key}: {mistake}"]


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_all_sources_come_together(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("[TRAIN]", "epochs2 = ten", "objectves = 2", "workers = 2", "[TRIAN]", "r1 = x", "[RUN]", "foo = 1")
    (tmp_path / ".env").write_text("SPARSEMOD_TRAIN_PATIENCE=0\n")
    monkeypatch.setenv("SPARSEMOD_TRIAN_R1", "4")
    monkeypatch.setenv("SPARSEMOD_TRAIN_R2", "many")
    with pytest.raises(ConfigError) as caught:
        read(path, ["TRAIN.rr1=4", "TRAIN.epochs3=0", "TRIAN.r1=4", "r1=4"])
    assert str(caught.value).splitlines() == [
        f"{path} has 12 mistakes",
        "  [TRAIN] objectves: is not a key of [TRAIN]; did you mean 'objectives'?",
        "  [TRAIN] workers: is not a key of [TRAIN]; it belongs to [RUN]",
        "  [TRIAN]: is not a section; did you mean 'TRAIN'?",
        "  [RUN] foo: is not a key of [RUN].",
        "  SPARSEMOD_TRIAN_R1: is not a setting; did you mean 'SPARSEMOD_TRAIN_R1'?",
        "  --set TRAIN.rr1: is not a key of [TRAIN]; did you mean 'r1'?",
        "  --set TRIAN.r1=4: [TRIAN] is not a section; did you mean 'TRAIN'?",
        "  --set r1=4: must read SECTION.key=value, such as TRAIN.r1=4",
        "  SPARSEMOD_TRAIN_R2: 'many' is not a whole number",
        "  [TRAIN] epochs2: 'ten' is not a whole number",
        "  --set TRAIN.epochs3: 0 must be at least 1",
        "  SPARSEMOD_TRAIN_PATIENCE: 0 must be at least 1",
    ]


@pytest.mark.parametrize("override", ["", "TRAIN", "TRAIN.r1", "TRAIN=4", ".r1=4", "TRAIN.=4"])
def test_malformed_override_is_refused(write: Write, override: str) -> None:
    assert mistakes(write(), override) == [f"--set {override}: must read SECTION.key=value, such as TRAIN.r1=4"]


def test_splitter_is_refused_while_there_are_no_sequences(write: Write) -> None:
    expected = ["splitter: there are no sequence spaces yet whose windows it could cut; set it to false"]
    assert mistakes(write(), "TRAIN.splitter=true") == expected
    assert mistakes(write(), "TEST.splitter=yes") == expected


def test_overridden_value_is_not_a_mistake_any_more(write: Write) -> None:
    assert read(write("[TRAIN]", "r1 = ten"), ["TRAIN.r1=4"]).train.r1 == 4


def test_variable_without_a_value_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SPARSEMOD_TRAIN_R1\n")
    assert mistakes(write()) == ["SPARSEMOD_TRAIN_R1: '' is not a whole number"]


def test_missing_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "absent.cfg"
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path} has 1 mistake\n  the file does not exist; `sparsemod init` writes one to start from"
    )
    assert mistakes(tmp_path) == ["the file does not exist; `sparsemod init` writes one to start from"]


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        (
            ["[TRAIN]", "r1 = 4", "r1 = 5"],
            "it cannot be read: While reading from 'config.cfg' [line 3]: option 'r1' in section 'TRAIN' already "
            "exists",
        ),
        (
            ["[TRAIN]", "[RUN]", "[TRAIN]"],
            "it cannot be read: While reading from 'config.cfg' [line 3]: section 'TRAIN' already exists",
        ),
        (
            ["r1 = 4"],
            r"it cannot be read: File contains no section headers. file: 'config.cfg', line: 1 'r1 = 4\n'",
        ),
        (["[TRAIN]", "r1"], r"it cannot be read: Source contains parsing errors: 'config.cfg' [line 2]: 'r1\n'"),
    ],
)
def test_file_that_is_no_ini_is_refused(write: Write, lines: list[str], mistake: str) -> None:
    assert mistakes(write(*lines)) == [mistake]


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.cfg"
    path.write_bytes(b"[TRAIN]\nname = \xff\n")
    assert "it cannot be read: 'utf-8' codec can't decode byte 0xff" in mistakes(path)[0]


def test_value_continued_on_the_next_line_is_refused(write: Write) -> None:
    assert mistakes(write("[TRAIN]", "r1 = 4", "  r2 = 5")) == [r"[TRAIN] r1: '4\nr2 = 5' is not a whole number"]


# --- keywords --------------------------------------------------------------------------------------------------------


def test_keywords_are_named_like_the_keys() -> None:
    config = from_keywords(r1=4, device="microbit-v2", latency="0.1 s", workers="3", executor="processes", epochs1="2")
    assert (config.train.r1, config.train.epochs1, config.run.workers) == (4, 2, 3)
    assert (config.device.device, config.device.latency, config.run.executor) == ("microbit-v2", 100, "processes")
    assert origins(config)["TRAIN.r1"] == "argument"


def test_keyword_of_several_sections_means_the_one_of_train() -> None:
    config = from_keywords(name="mine", pruning=False)
    assert (config.train.name, config.test.name, config.train.pruning, config.test.pruning) == (
        "mine",
        "study",
        False,
        True,
    )


def test_keywords_take_python_values(tmp_path: Path) -> None:
    problem = object()
    config = from_keywords(
        problem=problem, root=tmp_path, objectives=["error", "energy"], model_size=None, time_limit=9.5
    )
    assert config.problem.problem is problem
    assert config.train.objectives == ("error", "energy")  # a program may name what its problem returns
    assert config.study_folder() == tmp_path / "study"
    assert (config.device.model_size, config.train.time_limit) == (None, 9.5)


def test_wrong_keywords_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        from_keywords(epoch1=1, zzz=1, r1="x", objectives=2.5, name=5, seed=True, min_error=math.nan)
    assert str(caught.value).splitlines() == [
        "the call has 7 mistakes",
        "  epoch1: is not a key; did you mean 'epochs1'?",
        "  zzz: is not a key.",
        "  name: 5 is not a text",
        "  r1: 'x' is not a whole number",
        "  objectives: 2.5 is neither a number from 1 to 4 nor a list of names",
        "  seed: True is not a whole number",
        "  min_error: nan is not a finite number",
    ]


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


# --- limits on the command line --------------------------------------------------------------------------------------


def test_quantities_have_the_units_of_their_objective() -> None:
    given = {"error": "0.02", "model_size": "8KB", "working_memory": "1.5 KiB", "latency": "0.1 s"}
    assert quantities(**given) == {"error": 0.02, "model_size": 8000, "working_memory": 1536, "latency": 100}
    assert quantities(energy="20 uJ") == {"energy": 0.02}
    assert quantities(error=None, latency=None) == {}


def test_quantities_that_are_not_understood_are_named_together() -> None:
    with pytest.raises(ConfigError) as caught:
        quantities(model_size="big", latency="20 min", error="nan", working_memory="1KB")
    assert str(caught.value).splitlines() == [
        "the command line has 3 mistakes",
        "  --max-model-size: 'big' is not like 2 KB; units: b, kb, mb, kib, mib",
        "  --max-latency: '20 min' is not like 20 ms; units: ms, s, us",
        "  --max-error: 'nan' is not a finite number",
    ]
