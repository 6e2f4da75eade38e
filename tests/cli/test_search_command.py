"""What a search prints while it runs, at its end and when it cannot go on, and its exit codes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from problems.settings import SMALL

from sparsemod import load
from sparsemod.cli import main


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


FAILING = """
from sparsemod import Int, Problem, SearchSpace

def objective(candidate):
    raise KeyError("oops")

problem = Problem(SearchSpace({"a": Int(1, 99)}), objective=objective)
"""


def test_failing_search_shows_the_last_traceback_and_exits_1(folder, capsys):
    Path("mine.py").write_text(FAILING)
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n[TRAIN]\nobjectives = 1\n")
    assert main(["search", "config.cfg"]) == 1
    text = capsys.readouterr().err
    assert "5 candidates in a row failed" in text and "mine.py" in text and "KeyError: 'oops'" in text


def test_search_with_a_report_leaves_a_page_that_rests(folder, capsys):
    main(["init", ".", "--kind", "custom"])
    assert main(["search", "config.cfg", *SMALL, "--set", "TRAIN.r2=0", "--set", "TRAIN.r3=0", "--report"]) == 0
    shown = capsys.readouterr().out
    assert "open in a browser: results/custom/report.html" in shown
    assert "wrote results/custom/report.html" in shown
    text = Path("results/custom/report.html").read_text()
    assert 'http-equiv="refresh"' not in text and '"confusion"' in text


def test_search_that_fails_leaves_a_page_of_what_failed(folder, capsys):
    Path("mine.py").write_text(FAILING)
    Path("config.cfg").write_text("[PROBLEM]\nproblem = mine.py:problem\n[TRAIN]\nobjectives = 1\n")
    assert main(["search", "config.cfg", "--report"]) == 1
    assert "KeyError: 'oops'" in Path("results/study/report.html").read_text()


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
    assert "To go on: sparsemod search config.cfg --set TRAIN.epochs1=3\n" in text
    assert "Traceback" not in text
    assert len(load("results/custom").trials) >= 1
    assert (record.parent / "trials.csv").exists()
