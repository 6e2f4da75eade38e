import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsemod.errors import InputError
from sparsemod.study import Candidate, Study, Trial, picks

REFERENCE = {"error": 1.0, "model_size": 100.0}


def candidate(number: int, origin: str = "sobol", parent: int | None = None) -> Candidate:
    return Candidate(number, {"width": number + 1}, 5, origin, parent)


def complete(number: int, **score: float) -> Trial:
    return Trial(candidate(number), "complete", score, seconds=1.5, elapsed=10.0 * number)


def study_of(
    *scores: tuple[float, float],
    limits: Mapping[str, float] | None = None,
    reference: Mapping[str, float] | None = None,
) -> Study:
    """A study of error and model size with one complete trial per score."""
    study = Study(("error", "model_size"), limits, REFERENCE if reference is None else reference)
    for number, (error, size) in enumerate(scores):
        study.add(complete(number, error=error, model_size=size))
    return study


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def test_new_study_is_empty() -> None:
    study = Study(("error",))
    assert (study.trials, study.pending, study.candidates, study.next_number) == ([], [], [], 0)
    assert study.pareto_front() == []
    assert study.completed() == []
    assert study.values([]).shape == (0, 1)
    assert study.hypervolume({"error": 1}) == 0
    assert len(study.to_pandas()) == 0
    assert repr(study) == "<Study of 0 trials on error; 0 on the front>"


def test_candidates_are_pending_in_order_until_their_trials_are_added() -> None:
    study = study_of()
    for number in range(4):
        study.propose(candidate(number))
    study.add(complete(2, error=0.1, model_size=1))
    study.add(Trial(candidate(0), "infeasible", reason="too big"))
    assert [waiting.number for waiting in study.pending] == [1, 3]
    assert [proposed.number for proposed in study.candidates] == [0, 1, 2, 3]
    assert numbers(study.trials) == [2, 0]
    assert study.next_number == 4


def test_second_trial_of_a_candidate_is_ignored() -> None:
    study = study_of((0.5, 10))
    study.add(complete(0, error=0.1, model_size=1))
    study.add(Trial(candidate(0), "failed", reason="lost"))
    assert len(study.trials) == 1
    assert study[0].score["error"] == 0.5


def test_candidate_whose_trial_is_there_does_not_become_pending_again() -> None:
    study = study_of((0.5, 10))
    study.propose(candidate(0))
    assert study.pending == []
    assert study.next_number == 1
    assert [study.has(number) for number in (0, 1)] == [True, False]


def test_next_number_is_above_every_number_used_even_after_a_gap() -> None:
    study = study_of()
    study.add(complete(7, error=0.5, model_size=10))
    assert study.next_number == 8


def test_trial_is_found_by_its_number() -> None:
    study = study_of((0.5, 10), (0.4, 20))
    study.propose(candidate(2))
    assert study[1].score["error"] == 0.4
    for unknown in (2, 99, -1):
        with pytest.raises(InputError, match=f"the study has no finished trial {unknown}"):
            study[unknown]


def test_statuses_are_counted() -> None:
    study = study_of((0.5, 10), (0.4, 20))
    study.add(Trial(candidate(2), "infeasible", reason="kernel 5 is larger than its 3 x 3 input"))
    assert [study.count(status) for status in ("complete", "infeasible", "failed")] == [2, 1, 0]
    assert numbers(study.completed()) == [0, 1]


def test_front_is_sorted_by_error_and_leaves_out_what_is_dominated_or_incomplete() -> None:
    study = study_of((0.5, 10), (0.1, 50), (0.6, 20), (0.3, 30))
    study.add(Trial(candidate(4), "failed", reason="Traceback"))
    assert numbers(study.pareto_front()) == [1, 3, 0]


def test_front_keeps_the_first_of_equal_scores() -> None:
    assert numbers(study_of((0.5, 10), (0.5, 10)).pareto_front()) == [0]


def test_front_obeys_the_limits_even_those_on_figures_that_are_no_objectives() -> None:
    study = Study(("error",), limits={"latency": 5.0})
    study.add(complete(0, error=0.1, latency=5.1))
    study.add(complete(1, error=0.2, latency=5.0))
    assert numbers(study.pareto_front()) == [1]
    assert not study.obeys_limits({"latency": math.nan})
    assert study.obeys_limits({"error": 0.5})


def test_trial_beyond_a_limit_hides_nothing_that_obeys_it() -> None:
    assert numbers(study_of((0.1, 90), (0.2, 95), (0.5, 10), limits={"model_size": 50}).pareto_front()) == [2]


def test_network_that_was_trained_on_counts_as_it_is_now() -> None:
    study = Study(("error", "model_size"), {"error": 0.6}, REFERENCE)
    study.add(complete(0, error=0.3, model_size=10))
    study.add(Trial(Candidate(1, {"width": 1}, 9, "finish", parent=0), "failed"))
    assert numbers(study.pareto_front()) == [0]
    study.add(Trial(Candidate(2, {"width": 1}, 9, "finish", parent=0), "complete", {"error": 0.5, "model_size": 10}))
    assert numbers(study.pareto_front()) == [2]  # although it is worse
    study.add(Trial(Candidate(3, {"width": 1}, 9, "finish", parent=2), "complete", {"error": 0.7, "model_size": 10}))
    assert numbers(study.pareto_front()) == []  # over the limit now
    assert [study.epochs_seen(candidate) for candidate in study.candidates] == [5, 14, 14, 23]


def test_child_of_other_parameters_leaves_its_parent_on_the_front() -> None:
    study = Study(("error", "model_size"), {}, REFERENCE)
    study.add(complete(0, error=0.3, model_size=10))
    study.add(Trial(candidate(1, "morph", parent=0), "complete", {"error": 0.5, "model_size": 5}))
    assert numbers(study.pareto_front()) == [0, 1]


def test_trial_with_an_unknown_error_is_not_on_the_front() -> None:
    study = study_of((0.5, 10), (math.nan, 5), (0.6, 20))
    assert numbers(study.pareto_front()) == [0]
    assert study.hypervolume() == pytest.approx(0.5 * 0.9)


def test_values_are_those_of_the_objectives_in_their_order() -> None:
    study = Study(("latency", "error"))
    study.add(complete(0, error=0.5, latency=3, macs=1e6))
    assert study.values(study.trials).tolist() == [[3, 0.5]]


def test_hypervolume_is_a_share_of_the_box_of_the_reference() -> None:
    study = study_of((0.5, 20), (0.25, 60))
    assert study.hypervolume() == pytest.approx(0.5 * 0.8 + 0.25 * 0.4)
    assert study.hypervolume({"error": 0.5, "model_size": 120}) == pytest.approx(0.5 * 0.5)


def test_reference_that_is_not_given_is_the_largest_value_of_the_first_ten_trials() -> None:
    study = study_of(*[(0.1, 10.0 + size) for size in range(12)], reference={"error": 1})
    assert study.reference_point() == {"error": 1, "model_size": 19}
    assert study.hypervolume() == pytest.approx(0.9 * 9 / 19)
    assert study_of(reference={}).reference_point() == {"error": 1, "model_size": 1}


def test_hypervolume_with_a_reference_of_ones_own_names_what_is_missing() -> None:
    with pytest.raises(InputError, match="for error, model_size"):
        study_of().hypervolume({})


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_hypervolume_with_a_reference_that_is_not_positive_says_so(value: float) -> None:
    with pytest.raises(InputError, match=f"needs reference values above 0, but model_size is {value}"):
        study_of((0.5, 10)).hypervolume({"error": 1, "model_size": value})


scores = st.lists(st.tuples(st.sampled_from((0.1, 0.2, 0.5, 0.9, 1.5)), st.integers(1, 120).map(float)), max_size=12)


@given(scores, st.integers(1, 120))
def test_hypervolume_never_shrinks_and_no_trial_of_the_front_dominates_another(
    points: list[tuple[float, float]], limit: int
) -> None:
    study = study_of(limits={"model_size": limit})
    shares = [study.hypervolume()]
    for number, (error, size) in enumerate(points):
        study.add(complete(number, error=error, model_size=size))
        shares.append(study.hypervolume())
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(shares))
    front = study.values(study.pareto_front())
    assert (front[:, 1] <= limit).all()
    assert (np.diff(front[:, 0]) > 0).all()  # in two dimensions: ever more error,
    assert (np.diff(front[:, 1]) < 0).all()  # ever fewer bytes


@given(scores, st.integers(1, 120), st.lists(st.integers(0, 11), max_size=4))
def test_front_that_grew_is_the_front_of_all(
    points: list[tuple[float, float]], limit: int, trained_on: list[int]
) -> None:
    """Asked after every trial or once in the end, also where networks were trained on and left the front."""
    study, at_once = study_of(limits={"model_size": limit}), study_of(limits={"model_size": limit})
    trials = [complete(number, error=error, model_size=size) for number, (error, size) in enumerate(points)]
    for number, parent in enumerate(trained_on, len(points)):
        if parent < len(points):
            child = Candidate(number, {"width": parent + 1}, 5, "finish", parent)
            trials.append(Trial(child, "complete", {"error": 0.6, "model_size": points[parent][1]}))
    for trial in trials:
        study.add(trial)
        study.pareto_front()
        at_once.add(trial)
    assert study.pareto_front() == at_once.pareto_front() == study.copy().pareto_front()


def test_candidates_are_known_by_who_proposed_them() -> None:
    study = study_of((0.5, 10))
    for found in (candidate(1, "bayes"), candidate(2), candidate(1, "bayes")):
        study.propose(found)
    assert [each.number for each in study.proposed("sobol")] == [0, 2]
    assert [each.number for each in study.proposed("bayes")] == [1]
    assert list(study.proposed("morph")) == []
    twin = study.copy()
    twin.propose(candidate(3))
    assert (len(study.proposed("sobol")), len(twin.proposed("sobol"))) == (2, 3)


def test_copy_grows_on_its_own() -> None:
    study = study_of((0.5, 10))
    study.propose(candidate(1))
    twin = study.copy()
    twin.add(complete(1, error=0.1, model_size=5))
    twin.propose(candidate(2))
    assert numbers(study.trials) == [0]
    assert [waiting.number for waiting in study.pending] == [1]
    assert study.next_number == 2
    assert twin[1].score["error"] == 0.1
    assert twin.hypervolume() > study.hypervolume()


def test_rows_are_flat_and_carry_units() -> None:
    study = Study(("error", "latency"))
    study.add(Trial(Candidate(3, {"width": 4}, 2, "sobol"), "complete", {"error": 0.6, "latency": 3.0}))
    study.add(
        Trial(Candidate(4, {"width": 8}, 5, "morph", parent=3), "complete", {"error": 0.5, "latency": 2.0, "macs": 9.0})
    )
    assert study.to_rows(study.trials[1:]) == [
        {
            "number": 4,
            "origin": "morph",
            "parent": 3,
            "epochs": 5,
            "epochs_seen": 7,
            "status": "complete",
            "error": 0.5,
            "latency_ms": 2.0,
            "macs": 9.0,
            "width": 8,
        }
    ]


def test_table_has_all_trials_by_number_with_units_reasons_and_seconds() -> None:
    study = study_of()
    study.add(Trial(candidate(1), "infeasible", reason="too big", seconds=0.1, elapsed=12.0))
    study.add(complete(0, error=0.5, model_size=10))
    table = study.to_pandas()
    assert table["number"].tolist() == [0, 1]
    assert {"error", "model_size_bytes", "width", "status", "reason", "seconds", "elapsed_seconds"} <= {*table.columns}
    assert table["model_size_bytes"].tolist()[0] == 10
    assert table["model_size_bytes"].isna().tolist() == [False, True]
    assert table["reason"].tolist() == ["", "too big"]
    assert table["elapsed_seconds"].tolist() == [0.0, 12.0]


def test_models_come_from_where_the_study_was_told() -> None:
    with pytest.raises(InputError, match="lives in memory only and keeps no models"):
        study_of((0.5, 10)).load_model(0)
    asked: list[int] = []
    study = Study(("error",), models=asked.append)  # type: ignore[arg-type]
    study.load_model(4)
    assert asked == [4]


def test_representation_counts_trials_and_front() -> None:
    assert repr(study_of((0.5, 10), (0.6, 20))) == "<Study of 2 trials on error, model_size; 1 on the front>"


def test_picks_are_the_best_the_smallest_near_it_and_the_knee() -> None:
    found = picks(study_of((0.06, 90), (0.065, 60), (0.07, 50), (0.08, 20), (0.5, 10)))
    assert {why: trial.number for why, trial in found.items()} == {
        "most accurate that fits": 0, "smallest within 1 point": 2, "knee": 3,
    }  # fmt: skip


def test_picks_obey_the_limits() -> None:
    found = picks(study_of((0.1, 90), (0.2, 50), limits={"model_size": 60.0}))
    assert {trial.number for trial in found.values()} == {1}


def test_empty_front_has_no_picks() -> None:
    assert picks(study_of()) == {}
    assert picks(study_of((0.1, 90), limits={"model_size": 60.0})) == {}


def test_picks_ask_only_what_was_measured() -> None:
    study = Study(("heat", "price"))
    study.add(complete(0, heat=1.0, price=2.0))
    assert list(picks(study)) == ["knee"]
    alone = Study(("error",))
    alone.add(complete(0, error=0.5))
    assert list(picks(alone)) == ["most accurate that fits"]
