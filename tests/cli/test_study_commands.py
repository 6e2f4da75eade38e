"""What is printed and written of a study: its front, its page, and networks measured on the test set."""

import json
import re
import shutil
from pathlib import Path

import pytest

from sparsemod import load
from sparsemod.cli import main


def test_pareto_prints_a_table_with_units(study, capsys):
    assert main(["pareto", str(study[0])]) == 0
    text = capsys.readouterr().out
    assert "working memory" in text and "(bytes)" in text and "(ms)" in text


def test_pareto_names_the_choices_and_draws_the_front(study, capsys):
    assert main(["pareto", str(study[0])]) == 0
    text = capsys.readouterr().out
    assert "most accurate that fits" in text and "smallest within 1 point" in text and "knee" in text
    assert "o in the table" in text


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
    assert main(["test", str(study[0]), "3", "4", "--again", "--set", "TEST.seeds=2"]) == 130
    assert f"To go on: sparsemod test {study[0]} 3 4 --set TEST.seeds=2\n" in capsys.readouterr().out
