"""The command line as a user meets it: what it prints, and its exit codes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsemod import DEVICES, Device, __version__, load
from sparsemod.cli import main
from sparsemod.objectives import column

SMALL = ["--set", "TRAIN.r1=3", "--set", "TRAIN.r2=1", "--set", "TRAIN.r3=1", "--set", "TRAIN.epochs1=1",
         "--set", "TRAIN.epochs2=1", "--set", "TRAIN.epochs3=1", "--set", "TRAIN.finish_epochs=0",
         "--set", "RUN.executor=serial"]  # fmt: skip

THREE_FAULTS = """
import torch
from torch import nn
from sparsemod import Data, Int, Problem, SearchSpace, Tensors

def build(parameters, input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, parameters["width"]), nn.ReLU(), nn.Linear(parameters["width"], 10))

def load_data():
    samples = Tensors(torch.randn(40, 4), torch.arange(40) % 2)
    return Data(samples, samples, None, (4,), 2)

def widen(parameters, space, rng):
    return {"width": parameters["width"] * 100}

problem = Problem(SearchSpace({"width": Int(4, 8)}), build, load_data, [widen])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of the custom example, and its configuration."""
    here = tmp_path_factory.mktemp("study")
    assert main(["init", str(here), "--kind", "custom"]) == 0
    config = here / "config.cfg"
    assert main(["search", str(config), *SMALL, "--set", f"TRAIN.root={here / 'results'}"]) == 0
    return here / "results" / "custom", config


def test_help_names_every_command_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for command in (
        "init",
        "check",
        "search",
        "pareto",
        "report",
        "test",
        "export",
        "verify",
        "score",
        "devices",
        "config",
    ):
        assert command in text
    assert "2 bad input" in text


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_module_and_script_are_the_same_command():
    module = subprocess.run(
        [sys.executable, "-m", "sparsemod", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout.strip() == f"sparsemod {__version__}"


@pytest.mark.parametrize(
    "kind", ["digits", "mnist", "cifar10", "custom", "har", "spoken_digits", "japanese_vowels", "autoencoder"]
)
def test_init_writes_a_configuration_without_mistakes(folder, capsys, kind):
    assert main(["init", "new", "--kind", kind]) == 0
    assert "sparsemod check new/config.cfg" in capsys.readouterr().out
    assert sorted(path.name for path in Path("new").iterdir()) == ["config.cfg", "problem.py"]
    assert main(["config", "show", "new/config.cfg"]) == 0


def test_init_never_overwrites(folder, capsys):
    Path("config.cfg").write_text("mine")
    assert main(["init", ".", "--kind", "custom"]) == 2
    assert "config.cfg" in capsys.readouterr().err
    assert Path("config.cfg").read_text() == "mine"
    assert not Path("problem.py").exists()


def test_check_passes_the_example(folder, capsys):
    main(["init", ".", "--kind", "custom"])
    assert main(["check", "config.cfg"]) == 0
    assert "no faults found" in capsys.readouterr().out


def test_check_names_three_planted_faults(folder, capsys):
    Path("mine.py").write_text(THREE_FAULTS)
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n")
    assert main(["check", "config.cfg"]) == 2
    text = capsys.readouterr().out
    assert "100% of the validation samples are training samples too" in text
    assert "output (10,); it must be (2,)" in text
    assert "widen leaves the space: width is" in text
    assert "3 faults found" in text


def test_search_prints_each_trial_and_the_front(study, capsys):
    folder, config = study
    assert main(["search", str(config), *SMALL, "--set", f"TRAIN.root={folder.parent}", "--set", "TRAIN.r3=2"]) == 0
    text = capsys.readouterr().out
    assert "trial 5 complete: error" in text
    assert "stage 3 of 3: morphism" in text
    assert f"sparsemod pareto {folder}" in text


def test_search_of_a_wrong_configuration_names_all_mistakes_and_exits_2(folder, capsys):
    Path("config.cfg").write_text("[TRAIN]\nepochs9 = 3\nobjectives = latncy\n")
    assert main(["search", "config.cfg"]) == 2
    text = capsys.readouterr().err
    assert "2 mistakes" in text and "did you mean 'latency'" in text and "did you mean 'epochs" in text


def test_search_without_a_problem_says_what_to_write(folder, capsys):
    Path("config.cfg").write_text("[TRAIN]\nr1 = 3\n")
    assert main(["search", "config.cfg"]) == 2
    assert "[PROBLEM] problem" in capsys.readouterr().err


def test_search_of_impossible_limits_says_which_and_by_how_much(folder, capsys):
    main(["init", ".", "--kind", "custom"])
    assert main(["search", "config.cfg", "--set", "DEVICE.working_memory=10 B"]) == 2
    text = capsys.readouterr().err
    assert "working_memory: limit 10 bytes, smallest seen 68 bytes; 0.0% of samples fit" in text


def test_failing_search_shows_the_last_traceback_and_exits_1(folder, capsys):
    Path("mine.py").write_text(
        "from sparsemod import Int, Problem, SearchSpace\n"
        "def objective(candidate):\n    raise KeyError('oops')\n"
        "problem = Problem(SearchSpace({'a': Int(1, 99)}), objective=objective)\n"
    )
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n[TRAIN]\nobjectives = 1\n")
    assert main(["search", "config.cfg"]) == 1
    text = capsys.readouterr().err
    assert "5 candidates in a row failed" in text and "mine.py" in text and "KeyError: 'oops'" in text


def test_pareto_prints_a_table_with_units(study, capsys):
    assert main(["pareto", str(study[0])]) == 0
    text = capsys.readouterr().out
    assert "working memory" in text and "(bytes)" in text and "(ms)" in text


def test_pareto_names_the_choices_and_draws_the_front(study, capsys):
    assert main(["pareto", str(study[0])]) == 0
    text = capsys.readouterr().out
    assert "most accurate that fits" in text and "smallest within 1 point" in text and "knee" in text
    assert "o in the table" in text


def test_report_is_written_into_the_study(study, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = study[0] / "report.html"
    assert main(["report", str(study[0]), "--config", str(study[1]), "--open"]) == 0
    assert f"wrote {page} (" in capsys.readouterr().out
    assert opened == [page.resolve().as_uri()]
    assert '"confusion"' in page.read_text()


def test_report_without_data_leaves_out_what_needs_it(study, capsys):
    page = study[0] / "small.html"
    assert main(["report", str(study[0]), "--no-data", "--out", str(page)]) == 0
    assert '"confusion"' not in page.read_text() and "not loaded (--no-data)" in page.read_text()


def test_report_of_two_studies_compares_them(study, folder, capsys):
    assert main(["report", str(study[0]), str(study[0]), "--no-data"]) == 0
    assert "wrote comparison.html" in capsys.readouterr().out
    assert '"comparison"' in Path("comparison.html").read_text()


def test_report_of_what_is_no_study_exits_2(folder, capsys):
    assert main(["report", "lost"]) == 2
    assert "lost holds no study (no study.json); `sparsemod search` makes one" in capsys.readouterr().err


def test_search_with_a_report_leaves_a_page_that_rests(folder, capsys):
    main(["init", ".", "--kind", "custom"])
    assert main(["search", "config.cfg", *SMALL, "--set", "TRAIN.r2=0", "--set", "TRAIN.r3=0", "--report"]) == 0
    shown = capsys.readouterr().out
    assert "open in a browser: results/custom/report.html" in shown
    assert "wrote results/custom/report.html" in shown
    text = Path("results/custom/report.html").read_text()
    assert 'http-equiv="refresh"' not in text and '"confusion"' in text


def test_search_that_fails_leaves_a_page_of_what_failed(folder, capsys):
    Path("mine.py").write_text(
        "from sparsemod import Int, Problem, SearchSpace\n"
        "def objective(candidate):\n    raise KeyError('oops')\n"
        "problem = Problem(SearchSpace({'a': Int(1, 99)}), objective=objective)\n"
    )
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n[TRAIN]\nobjectives = 1\n")
    assert main(["search", "config.cfg", "--report"]) == 1
    assert "KeyError: 'oops'" in Path("results/study/report.html").read_text()


def test_pareto_as_json_is_what_the_file_holds(study, capsys):
    folder, _ = study
    assert main(["pareto", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["front"] == json.loads((folder / "pareto.json").read_text())["front"]


def test_pareto_limits_narrow_the_choice_and_best_picks_one(study, capsys):
    folder, _ = study
    front = load(folder).pareto_front()
    smallest = min(trial.score["model_size"] for trial in front)
    main(["pareto", str(folder), "--json", "--max-model-size", f"{smallest} B"])
    chosen = json.loads(capsys.readouterr().out)["front"]
    assert [row["score"]["model_size_bytes"] for row in chosen] == [smallest]
    main(["pareto", str(folder), "--json", "--best", "error"])
    assert [row["number"] for row in json.loads(capsys.readouterr().out)["front"]] == [front[0].number]


def test_pareto_with_nothing_within_the_limits_exits_1(study, capsys):
    assert main(["pareto", str(study[0]), "--max-latency", "0.000001"]) == 1
    assert "within these limits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-latency", "fast"], "--max-latency: 'fast' is not like 20 ms"),
        (["--max-energy", "3 kWh"], "--max-energy: '3 kWh' is not like 0.5 mJ"),
        (["--best", "beauty"], "--best beauty: is not an objective"),
    ],
)
def test_pareto_refuses_what_it_does_not_understand(study, capsys, arguments, words):
    assert main(["pareto", str(study[0]), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_pareto_of_an_empty_folder(folder, capsys):
    assert main(["pareto", "."]) == 2
    assert "holds no study" in capsys.readouterr().err


OWN = """
import time

from sparsemod import Int, Problem, SearchSpace


naps = [0.06] * 5


def costs(parameters):
    time.sleep(naps.pop() if naps else 0)
    return {"price": 2.0 * parameters["width"]}


def problem(**changes):
    return Problem(SearchSpace({"width": Int(1, 80)}), objective=lambda each: {"heat": 80.0}, costs=costs, **changes)


mine, limited = problem(), problem(limits={"heat": 3})
"""


def test_search_of_ones_own_evaluation_tells_slow_costs_reference_point_and_parameters(folder, capsys, caplog):
    Path("own.py").write_text(OWN)
    Path("config.cfg").write_text(
        "[TRAIN]\nr1 = 1\nr2 = 0\nr3 = 0\nobjectives = heat, price\n[PROBLEM]\nproblem = own.py:mine\n"
    )
    assert main(["search", "config.cfg"]) == 0
    shown = capsys.readouterr()
    assert "`costs` of the problem takes 0.06" in caplog.text
    assert re.search(r"number +heat +price +width", shown.out)
    reference = "reference point: heat 80 (inferred from the first trials); price "
    assert reference in shown.out
    assert main(["pareto", "results/study"]) == 0
    assert reference in capsys.readouterr().out


def test_search_that_meets_no_limit_says_by_how_much(folder, capsys):
    Path("own.py").write_text(OWN)
    Path("config.cfg").write_text(
        "[TRAIN]\nr1 = 2\nr2 = 0\nr3 = 0\nobjectives = price\n[PROBLEM]\nproblem = own.py:limited\n"
    )
    assert main(["search", "config.cfg"]) == 0
    why = "none of the 2 completed trials is within all limits: heat at most 3, smallest found 80"
    assert why in capsys.readouterr().out
    assert main(["pareto", "results/study"]) == 1
    assert why in capsys.readouterr().out


NETS = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

pruned = Net()
with torch.no_grad():
    pruned[3].weight[5:] = 0
"""


@pytest.fixture
def nets(folder):
    Path("nets.py").write_text(NETS)


def test_score_prints_a_row_per_layer_and_the_totals(nets, capsys):
    """18 weights of 676 places, and 10 times 1352; of the linear layer half is zero."""
    assert main(["score", "nets.py:pruned", "--input", "1x28x28", "--device", "rp2040"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines if line[1:2] in (["conv"], ["linear"])] == [
        ["0", "conv", "2x26x26", "12,168"],
        ["3", "linear", "10", "13,520"],
    ]
    linear = next(line for line in lines if line[1:2] == ["linear"])
    assert linear[4:8] == ["6,770", "50.0%", "27,040", "13,520"]
    text = " ".join(word for line in lines for word in line)
    assert "nets.py:pruned on rp2040" in text
    assert "working memory 2,136 bytes, 0.8% of the RAM" in text
    assert "energy" not in text  # the power of this part is not known


def test_score_says_what_does_not_fit(nets, capsys):
    main(["score", "nets.py:Net", "--input", "1x28x28", "--device", "arduino-uno"])
    text = capsys.readouterr().out
    assert "working memory  2,136 bytes, 104.3% of the RAM: DOES NOT FIT" in text
    assert "energy" in text and "mJ" in text


def test_score_of_one_step_says_so(nets, capsys):
    """Input and state take 4 bytes each, and 4 units keep 3 bytes each."""
    assert main(["score", "nets.py:Recurrent", "--input", "100x3", "--device", "rp2040", "--streaming"]) == 0
    text = capsys.readouterr().out
    assert "nets.py:Recurrent on rp2040, one of 100 steps at a time" in text
    assert "working memory  20 bytes" in text


def test_score_as_json_adds_up(nets, capsys):
    assert main(["score", "nets.py:Net", "--input", "1x28x28", "--device", "nano-33-ble", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "nano-33-ble"
    assert [row["kind"] for row in found["layers"]] == ["conv", "reshape", "linear"]
    assert sum(row["macs"] for row in found["layers"]) == found["total"]["macs"] == 18 * 676 + 13_520
    assert found["total"]["energy_mj"] == pytest.approx(found["total"]["latency_ms"] * 9.9e-3)


def test_score_of_a_trial_has_its_recorded_costs(study, capsys):
    folder, _ = study
    trial = load(folder).pareto_front()[0]
    assert main(["score", str(folder), str(trial.number), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "arduino-uno"
    recorded = {name: trial.score[name] for name in ("model_size", "working_memory", "latency", "energy", "nnz")}
    assert {name: found["total"][column(name)] for name in recorded} == recorded
    assert main(["score", str(folder), str(trial.number), "--json", "--device", "stm32f746"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["latency_ms"] < recorded["latency"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nets.py:Net"], "--input is missing: the shape of one sample"),
        (["nets.py:Net", "--input", "28,28"], "--input 28,28: must read like 1x28x28"),
        (["nets.py:Met", "--input", "1x28x28"], "nets.py has no 'Met'; did you mean nets.py:pruned?"),
        (["nets.py:Net", "--input", "1x28x28", "--device", "rp2400"], "did you mean 'rp2040'?"),
        (["nets.py:Net", "--input", "1x8x8"], "nets.py:Net: the network cannot process an input of 1 x 8 x 8"),
        (["net.onnx"], "net.onnx cannot be read: No such file"),
        (["."], "is a folder; add the number of a trial: sparsemod score . 12"),
        ([".", "3"], "holds no study"),
    ],
)
def test_score_refuses_what_it_does_not_understand(nets, capsys, arguments, words):
    assert main(["score", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_devices_are_listed_with_what_is_known_of_them(capsys):
    assert main(["devices"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows.keys() >= DEVICES.keys()
    assert rows["stm32l4r5"] == [
        *("stm32l4r5", "Cortex-M4", "120", "655,360", "2,097,152", "3.7", "12", "3.9", "75", "measured"),
    ]
    assert rows["cortex-m55"][-1] == "estimate"


def test_devices_show_their_sources(capsys):
    assert main(["devices", "--sources"]) == 0
    text = capsys.readouterr().out
    for device in DEVICES.values():
        assert f"{device.name}\n  cycles: {device.source}\n" in text
    assert "power: not known" in text


def test_devices_as_json_have_every_figure(capsys):
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Device(**row) for row in found] == list(DEVICES.values())


def test_config_show_names_the_origin_of_every_value(folder, capsys, monkeypatch):
    Path("config.cfg").write_text("[TRAIN]\nr1 = 3\n")
    monkeypatch.setenv("SPARSEMOD_TRAIN_R2", "5")
    assert main(["config", "show", "config.cfg", "--set", "TRAIN.r3=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("#")[1].strip() for line in lines if line.startswith(("r1 ", "r2 ", "r3 ", "seed "))] == [
        "config.cfg", "environment SPARSEMOD_TRAIN_R2", "--set", "default",
    ]  # fmt: skip


def test_train_false_measures_the_named_network_on_the_test_set(study, capsys):
    folder, config = study
    number = load(folder).pareto_front()[0].number
    overrides = [
        "DEFAULT.train=false",
        f"TEST.root={folder.parent}",
        "TEST.name=custom",
        f"TEST.arm={number}",
        "TEST.epochs=2",
        "TEST.seeds=1",
    ]
    assert main(["search", str(config), *(part for value in overrides for part in ("--set", value))]) == 0
    assert "accuracy" in capsys.readouterr().out
    header, saved, trained = (folder / "test.csv").read_text().splitlines()
    assert "test_error" in header.split(",")
    assert saved.startswith(f"{number},saved,,,") and trained.startswith(f"{number},retrained,1,,2,complete,")
    (folder / "test.csv").unlink()


FAST = ["--set", "TEST.epochs=1", "--set", "TEST.seeds=2"]


def test_test_finds_the_problem_again_from_anywhere_and_prints_what_each_network_reached(study, folder, capsys):
    results, _ = study
    numbers = [trial.number for trial in load(results).pareto_front()]
    assert main(["test", str(results), str(numbers[0]), *FAST]) == 0
    text = capsys.readouterr().out
    assert f"[3/3] trial {numbers[0]}, seed 2: accuracy " in text
    assert re.search(
        rf"^ +{numbers[0]} +2 seeds +[0-9.]+ ± [0-9.]+ +[0-9.]+ \(class \d\) +[0-9.]+ ", text, re.MULTILINE
    )
    assert f"written to {results / 'test.csv'}" in text
    assert main(["test", str(results), str(numbers[0]), *FAST]) == 0
    assert "3 of 3 measurements are made" in capsys.readouterr().out
    assert main(["test", str(results), str(numbers[0]), "--again", *FAST]) == 0
    assert "[3/3]" in capsys.readouterr().out
    (results / "test.csv").unlink()


def test_test_of_a_study_that_was_moved_takes_another_configuration(study, folder, capsys):
    results, config = study
    shutil.copytree(results, "moved/custom")
    number = str(load(results).pareto_front()[0].number)
    assert main(["test", "moved/custom", number, *FAST]) == 2
    assert "problem.py does not exist" in capsys.readouterr().err
    assert main(["test", "moved/custom", number, "--config", str(config), *FAST]) == 0
    assert Path("moved/custom/test.csv").exists()


def test_test_of_what_is_no_study_or_no_network_is_bad_input(study, folder, capsys):
    assert main(["test", "nowhere"]) == 2
    assert "nowhere holds no study" in capsys.readouterr().err
    assert main(["test", str(study[0]), "999"]) == 2
    assert "no finished trial 999" in capsys.readouterr().err


def test_ctrl_c_ends_a_test_and_says_how_to_go_on(study, folder, capsys, monkeypatch):
    def interrupted(settings, numbers, again, watch):
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsemod.retrain.test", interrupted)
    assert main(["test", str(study[0]), "3", "4"]) == 130
    assert f"To go on: sparsemod test {study[0]} 3 4" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_falls_into_a_destructor_counts_at_the_next_event(folder, monkeypatch, capsys):
    class Destroyed:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def search(settings, watch):
        Destroyed()
        watch(None)
        raise AssertionError("the search went on")

    main(["init", ".", "--kind", "custom"])
    monkeypatch.setattr("sparsemod.loop.search", search)
    before = signal.getsignal(signal.SIGINT)
    assert main(["search", "config.cfg"]) == 130
    assert "To go on: sparsemod search config.cfg" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(folder):
    main(["init", ".", "--kind", "custom"])
    command = [sys.executable, "-m", "sparsemod", "search", "config.cfg", "--set", "TRAIN.epochs1=3"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    record = Path("results/custom/trials.jsonl")
    deadline = time.monotonic() + 90
    while not (record.exists() and record.read_bytes().count(b"\n")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=90)
    assert process.returncode == 130, text
    assert "To go on: sparsemod search config.cfg" in text
    assert "Traceback" not in text
    assert len(load("results/custom").trials) >= 1
    assert (record.parent / "trials.csv").exists()
