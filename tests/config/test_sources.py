"""Where settings come from: files, the environment, overrides and keywords."""

import math
from pathlib import Path

import pytest
from problems.settings import Write, mistakes

from sparsemod.config import Config, from_keywords, quantities, read
from sparsemod.errors import ConfigError

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
TRAIN finish_epochs
TRAIN early_stopping true
TRAIN objectives error, model_size, working_memory, latency
TRAIN sampler1 sobol
TRAIN sampler2 bayes
TRAIN sampler3 morph
TRAIN batch_size 1
TRAIN quant_scheme post
TRAIN schedule step
TRAIN label_smoothing 0
TRAIN distillation 0.5
TRAIN qat_epochs 0
TRAIN pruning true
TRAIN morphisms true
TRAIN splitter false
TRAIN streaming false
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
TEST seeds 3
TEST epochs
TEST folds none
TEST objectives error, model_size, working_memory, latency
TEST quant_scheme
TEST pruning
TEST splitter
PROBLEM problem
DEVICE device arduino-uno
DEVICE model_size
DEVICE working_memory
DEVICE latency
DEVICE energy
DEVICE cost
RUN executor serial
RUN workers 0
RUN address
RUN accelerator auto
RUN cpus_per_candidate 1
RUN gpus_per_candidate 0
RUN memory_per_candidate
RUN retries 2
RUN runtime_env
"""


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
        None,
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
        "  --max-model-size: 'big' is not like 2 KB; units: b, kb, mb, gb, kib, mib, gib",
        "  --max-latency: '20 min' is not like 20 ms; units: ms, s, us",
        "  --max-error: 'nan' is not a finite number",
    ]


def test_part_of_the_problem_is_told_where_it_belongs() -> None:
    with pytest.raises(ConfigError) as caught:
        from_keywords(limits={"heat": 3}, objective=print)
    assert caught.value.mistakes == (
        "limits: belongs to the problem, as in problem=Problem(limits=...)",
        "objective: belongs to the problem, as in problem=Problem(objective=...)",
    )
