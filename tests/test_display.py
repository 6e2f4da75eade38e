"""What a watcher of a search sees."""

from io import StringIO

import pytest
from rich.console import Console

from sparsemod import Candidate, Study, Trial
from sparsemod.display import check_table, comparison_table, front_table, watching
from sparsemod.export import Check
from sparsemod.loop import Progress, Stage


class Named:
    name = "sobol"


STAGES = [Stage("quasi-random", "sobol", Named(), 4, 1), Stage("Gaussian process", "bayes", Named(), 6, 1)]


def trial(number, status="complete", reason="", **score):
    return Trial(Candidate(number, {"a": number}, 3, "sobol"), status, score, reason, 1.0, 2.0 * number)


@pytest.fixture
def study():
    study = Study(["error", "model_size"], {"model_size": 4000}, {"error": 1.0, "model_size": 4000.0})
    study.add(trial(0, error=0.25, model_size=1234.0))
    study.add(trial(1, error=0.5, model_size=500.0))
    return study


def shown(progress, terminal, debug=False):
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    with watching(console, debug) as watch:
        watch(progress)
    return text.getvalue()


def test_panel_shows_stage_counts_front_best_and_time(study):
    text = shown(Progress(study, STAGES, 0, 130.0, running=2), terminal=True)
    assert "1 of 2, quasi-random: 2 of 4" in text
    assert "2 complete, 2 running" in text
    assert "2 networks, hypervolume 0.6" in text
    assert "error 0.25, model_size 500 bytes" in text
    assert "2:10 elapsed, 30 trials per minute, about 0:16 left" in text


def test_panel_counts_what_went_wrong(study):
    study.add(trial(2, "infeasible", "too large"))
    study.add(trial(3, "failed", "Traceback\nValueError: no"))
    text = shown(Progress(study, STAGES, 0, 1.0, trial=study[3]), terminal=True)
    assert "2 complete, 1 infeasible, 1 failed" in text
    assert "trial 3 failed: ValueError: no" in text


def test_plain_lines_without_a_terminal(study):
    text = shown(Progress(study, STAGES, 0, 1.0, trial=study[0]), terminal=False)
    assert text.startswith("[2/10] trial 0 complete: error 0.25  model_size 1,234 bytes")
    assert "front 2, hypervolume" in text


@pytest.mark.parametrize(("debug", "expected"), [(True, "Traceback"), (False, "ValueError: no")])
def test_debug_shows_the_whole_traceback(study, debug, expected):
    study.add(trial(2, "failed", "Traceback\nValueError: no"))
    text = shown(Progress(study, STAGES, 0, 1.0, trial=study[2]), terminal=False, debug=debug)
    assert expected in text and ("Traceback" in text) == debug


def test_front_table_has_units_and_thousands(study):
    text = StringIO()
    Console(file=text, width=120).print(front_table(study, study.pareto_front()))
    assert "(bytes)" in text.getvalue() and "1,234" in text.getvalue()


def table(*checks: Check) -> list[list[str]]:
    text = StringIO()
    Console(file=text, width=160, color_system=None).print(check_table(checks))
    return [line.split() for line in text.getvalue().splitlines()]


def test_check_table_marks_what_differs():
    rows = table(Check("arena", 1024, 1024), Check("vectors", 8, 7), Check("stack", None, 9, limit=8))
    assert rows[1:] == [
        ["arena", "1,024", "1,024", "same"],
        ["vectors", "8", "7", "DIFFERENT"],
        ["stack", "at", "most", "8", "9", "TOO", "LARGE"],
    ]


def test_check_table_has_a_column_per_place_and_its_worst_verdict():
    rows = table(Check("arena", 8, 8), Check("arena", 8, 9, "M4"), Check("ticks", None, 5, "M4"))
    assert rows == [["check", "predicted", "host", "M4"], ["arena", "8", "8", "9", "DIFFERENT"], ["ticks", "5"]]


def test_check_table_leaves_out_what_was_not_looked_at():
    assert len(table(Check("arena", 8, 8), Check("", None, None, "M4", note="not there"))) == 2


def test_comparison_table_shows_the_largest_difference_and_the_share_of_equal_values():
    text = StringIO()
    rows = [("conv1", "conv", "1 step", 0.98765, "ok"), ("whole network", "", "0 steps", 1.0, "same class 50.00%")]
    Console(file=text, width=120, color_system=None).print(comparison_table(rows))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert lines[1:] == [
        ["conv1", "conv", "1", "step", "98.7650%", "ok"],
        ["whole", "network", "0", "steps", "100.0000%", "same", "class", "50.00%"],
    ]
