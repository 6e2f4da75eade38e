"""Networks of the front are trained on until all have seen as many epochs."""

from sparsemod.config import from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.problem import Problem
from sparsemod.samplers.finish import Finish
from sparsemod.space import Int, SearchSpace
from sparsemod.study import Candidate, Study, Trial

PROBLEM = Problem(SearchSpace({"size": Int(1, 1000)}), objective=lambda candidate: {"error": 0.5})
SCREEN = Screen(PROBLEM, from_keywords(problem=PROBLEM))


def finish(epochs: int | None) -> Finish:
    return Finish(SCREEN, epochs, 0)


def trial(
    number: int, size: int, error: float, epochs: int = 1, origin: str = "sobol", parent: int | None = None
) -> Trial:
    candidate = Candidate(number, {"size": size}, epochs, origin, parent)
    return Trial(candidate, "complete", {"error": error, "model_size": float(size)})


def study(*trials: Trial) -> Study:
    found = Study(("error", "model_size"))
    for each in trials:
        found.add(each)
    return found


def test_each_network_of_the_front_gets_the_epochs_that_it_lacks() -> None:
    done = study(
        trial(0, 10, 0.5, epochs=1), trial(1, 20, 0.4, epochs=7), trial(2, 30, 0.6), trial(3, 30, 0.3, epochs=10)
    )
    assert finish(10).ask(done, 5) == [
        Candidate(4, {"size": 20}, 3, "finish", parent=1),  # 0.3 has seen 10, 0.6 is off the front
        Candidate(5, {"size": 10}, 9, "finish", parent=0),
    ]


def test_epochs_of_ancestors_count() -> None:
    done = study(trial(0, 10, 0.5, epochs=4), trial(1, 9, 0.4, epochs=5, origin="morph", parent=0))
    assert [(each.parent, each.epochs) for each in finish(10).ask(done, 5)] == [(1, 1)]


def test_all_get_as_many_as_the_one_that_has_seen_most() -> None:
    done = study(
        trial(0, 10, 0.5, epochs=2), trial(1, 20, 0.4, epochs=7), trial(2, 5, 0.6, epochs=3, origin="morph", parent=1)
    )
    [first, second] = finish(None).ask(done, 5)
    assert [(each.parent, each.epochs) for each in (first, second)] == [(1, 3), (0, 8)]
    done.propose(first)
    done.add(Trial(second, "complete", {"error": 0.5, "model_size": 4.0}))  # the one that has seen 10 leaves the front
    assert [each.number for each in done.pareto_front()] == [1, 4]
    assert finish(None).ask(done, 5) == []  # 1 is on its way to 10


def test_no_more_than_asked_for() -> None:
    done = study(trial(0, 10, 0.5), trial(1, 20, 0.4))
    assert [each.parent for each in finish(10).ask(done, 1)] == [1]


def test_what_is_being_trained_on_is_not_asked_for_again() -> None:
    done = study(trial(0, 10, 0.5))
    for each in finish(10).ask(done, 1):
        done.propose(each)
    assert finish(10).ask(done, 1) == []


def test_what_failed_to_train_on_is_not_tried_again() -> None:
    done = study(trial(0, 10, 0.5))
    [again] = finish(10).ask(done, 1)
    done.add(Trial(again, "failed", reason="diverged"))
    assert finish(10).ask(done, 1) == []
    assert [each.number for each in done.pareto_front()] == [0]


def test_network_that_enters_the_front_late_is_trained_on_too() -> None:
    done = study(trial(0, 10, 0.5), trial(1, 20, 0.6))
    [first] = finish(10).ask(done, 5)
    assert first.parent == 0
    done.add(Trial(first, "complete", {"error": 0.7, "model_size": 10.0}))  # worse than it looked
    assert [each.number for each in done.pareto_front()] == [1, 2]
    assert [each.parent for each in finish(10).ask(done, 5)] == [1]


def test_more_epochs_later_begin_where_the_last_ended() -> None:
    done = study(trial(0, 10, 0.5), trial(1, 10, 0.4, epochs=9, origin="finish", parent=0))
    assert finish(10).ask(done, 5) == []
    assert finish(25).ask(done, 5) == [Candidate(2, {"size": 10}, 15, "finish", parent=1)]
