"""What a watcher of a search sees."""

import re
from io import StringIO

import pytest
from rich.console import Console

from sparsemod import Candidate, Study, Trial
from sparsemod.display import (
    check_table,
    comparison_table,
    empty_front_line,
    front_plot,
    front_table,
    pick_lines,
    reference_line,
    test_table,
    watching,
    watching_test,
)
from sparsemod.export import Check
from sparsemod.loop import Progress, Stage
from sparsemod.retrain import Testing
from sparsemod.tested import Tested, summaries


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


def printed(table):
    text = StringIO()
    Console(file=text, width=160).print(table)
    return text.getvalue()


def test_front_of_candidates_that_are_no_networks_shows_their_parameters():
    study = Study(["error", "heat"])
    candidate = Candidate(3, {"width": 12, "rate": 0.123456, "op": "sep"}, 1, "sobol")
    study.add(Trial(candidate, "complete", {"error": 0.25, "heat": 7.0}))
    _, heads, row = printed(front_table(study, study.pareto_front())).splitlines()
    assert heads.split() == ["number", "error", "heat", "width", "rate", "op", "seen", "stage"]
    assert row.split() == ["3", "0.25", "7", "12", "0.1235", "sep", "1", "sobol"]


def test_front_of_networks_shows_their_counts_instead():
    study = Study(["error"])
    study.add(trial(0, error=0.25, params=1200.0))
    _, heads, row = printed(front_table(study, study.pareto_front())).splitlines()
    assert (heads.split(), row.split()) == (["number", "error", "params", "seen", "stage"],
                                            ["0", "0.25", "1,200", "3", "sobol"])  # fmt: skip


def test_reference_point_is_told_with_what_was_inferred():
    study = Study(["error", "model_size", "heat", "price"], {"model_size": 4000},
                  {"error": 1.0, "model_size": 4000.0, "price": 30.0})  # fmt: skip
    study.add(trial(0, error=0.25, model_size=1234.0, heat=7.0, price=3.0))
    study.add(trial(1, error=0.25, model_size=1234.0, heat=5.0, price=3.0))
    assert reference_line(study) == (
        "reference point: error 1 (max_error); model_size 4,000 bytes (limit); heat 7 (inferred from the first "
        "trials); price 30 (inferred from candidates that fit)"
    )


def test_front_beyond_the_reference_point_is_told():
    study = Study(["error"], reference={"error": 1.0})
    study.add(trial(0, error=12.0))
    assert reference_line(study).endswith("error 1 (max_error); nothing that was found is better than all of it")


def test_empty_front_is_explained():
    study = Study(["error"], {"heat": 3, "price": 5})
    study.add(trial(0, "failed", "no"))
    study.add(trial(1, "infeasible", "too large"))
    assert empty_front_line(study) == "no trial was completed: 0 complete, 1 infeasible, 1 failed"
    study.add(trial(2, error=0.5, heat=9.0, price=4.0))
    assert empty_front_line(study) == (
        "none of the 1 completed trials is within all limits: heat at most 3, smallest found 9"
    )


def test_picks_are_told_with_units(study):
    assert pick_lines(study)[:2] == [
        "most accurate that fits     0: error 0.25, model_size 1,234 bytes",
        "smallest within 1 point     0: error 0.25, model_size 1,234 bytes",
    ]


def test_plot_shows_what_was_chosen_among_what_fits(study):
    study.add(trial(2, error=0.6, model_size=900.0))
    study.add(trial(3, error=0.1, model_size=9000.0))  # over the limit
    lines = front_plot(study, study.pareto_front())
    assert lines[0].strip() == "error" and "model_size_bytes" in lines[-2]
    text = "".join(lines[1:-3])
    assert (text.count("o"), text.count(".") - text.count("0.")) == (2, 1)
    assert lines[-1] == "o in the table, . another that fits"


def test_one_objective_needs_no_plot(study):
    assert front_plot(Study(["error"]), []) == []


TESTS = [
    Tested(4, None, None, 9, error=0.125, recalls=(0.75, 1.0), costs={"model_size": 1200.0, "latency": 2.5}),
    Tested(4, 1, None, 9, error=0.25, recalls=(0.5, 1.0), costs={"model_size": 1234.0, "latency": 2.5}),
    Tested(4, 2, None, 9, error=0.5, recalls=(0.25, 0.75), costs={"model_size": 1236.0, "latency": 2.5}),
    Tested(4, 3, None, 9, "failed", reason="Traceback\nValueError: no"),
    Tested(7, 1, 2, 9, error=0.5, recalls=(None, 0.5), costs={"model_size": 90.0, "latency": 1.0}),
]


def test_test_table_has_means_deviations_the_weakest_class_and_the_saved_network():
    *_, first, second = printed(test_table(summaries(TESTS))).splitlines()
    assert " ".join(first.split()) == "4 2 seeds, 1 failed 62.50 ± 17.68 37.5 (class 0) 87.50 1,235 2.5"
    assert " ".join(second.split()) == "7 1 group 50.00 50.0 (class 1) 90 1"


def test_test_table_has_errors_where_there_are_no_classes():
    tests = [Tested(3, seed, None, 9, error=error) for seed, error in ((None, 2.5), (1, 1.0), (2, 2.0))]
    head, _, row = printed(test_table(summaries(tests))).splitlines()
    assert "accuracy" not in head
    assert " ".join(row.split()) == "3 2 seeds 1.5 ± 0.71 2.5"


def told(testings, terminal):
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    with watching_test(console) as watch:
        for testing in testings:
            watch(testing)
    return text.getvalue()


def test_test_is_told_in_lines_where_there_is_no_terminal():
    made = [Testing(number, 5, 1, each) for number, each in enumerate(TESTS, start=1)]
    assert told([Testing(0, 5, 2), *made], terminal=False).splitlines() == [
        "0 of 5 measurements are made",
        "[1/5] trial 4, saved network: accuracy 87.50%",
        "[2/5] trial 4, seed 1: accuracy 75.00%",
        "[3/5] trial 4, seed 2: accuracy 50.00%",
        "[4/5] trial 4, seed 3: ValueError: no",
        "[5/5] trial 7, seed 1, tested on group 2: accuracy 50.00%",
    ]


def test_test_tells_the_error_where_there_are_no_classes():
    assert "[1/1] trial 3, seed 1: error 2.5" in told(
        [Testing(1, 1, 0, Tested(3, 1, None, 9, error=2.5))], terminal=False
    )


def test_panel_of_a_test_shows_how_far_it_is_and_what_failed():
    text = told([Testing(2, 5, 2), Testing(3, 5, 2, TESTS[3])], terminal=True)
    assert "trial 4, seed 3: ValueError: no" in text
    assert "3 of 5, 2 running" in text
    assert re.search(r"\d:\d\d elapsed, about \d:\d\d left", text)
