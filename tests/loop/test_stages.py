"""Which candidates a search tries, stage by stage, and what becomes of their networks."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from problems.searches import FORMULA, TINY, origins, results, searched

from sparsemod.config import Config, from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import InputError
from sparsemod.evaluate import Outcome, data_of, evaluate, measure
from sparsemod.graph import run
from sparsemod.problem import load
from sparsemod.results import load as load_study
from sparsemod.results import stops
from sparsemod.space import Parameters, SearchSpace, identity
from sparsemod.study import Candidate, Study
from sparsemod.train import error

# --- stages ----------------------------------------------------------------------------------------------------------


def test_stages_follow_each_other_with_their_own_epochs(tmp_path: Path) -> None:
    study = searched(tmp_path)
    assert [trial.number for trial in study.trials] == list(range(11))
    assert origins(study) == ["sobol"] * 4 + ["bayes"] * 4 + ["morph"] * 3
    assert [trial.candidate.epochs for trial in study.trials] == [1] * 4 + [2] * 4 + [4] * 3
    assert stops(tmp_path / "study") == [
        "quasi-random: all rounds done",
        "Gaussian process: all rounds done",
        "morphism: all rounds done",
    ]


def test_only_children_have_parents_and_those_ended_before(tmp_path: Path) -> None:
    study = searched(tmp_path)
    assert all(trial.candidate.parent is None for trial in study.trials[:8])
    for position, trial in enumerate(study.trials[8:], start=8):
        assert trial.candidate.parent in [earlier.number for earlier in study.trials[:position]]


@pytest.mark.parametrize(
    ("r1", "r2", "r3", "expected"),
    [
        (0, 0, 0, []),
        (2, 0, 0, ["sobol"] * 2),
        (0, 1, 0, ["bayes"] * 2),
        (0, 0, 2, []),
        (2, 0, 1, ["sobol"] * 2 + ["morph"]),
        (1, 1, 0, ["sobol"] + ["bayes"] * 2),
    ],
)
def test_any_stage_may_be_left_out(tmp_path: Path, r1: int, r2: int, r3: int, expected: list[str]) -> None:
    assert origins(searched(tmp_path, r1=r1, r2=r2, r3=r3)) == expected


def test_morphisms_without_a_front_say_why_they_end(tmp_path: Path) -> None:
    searched(tmp_path, r1=0, r2=0, r3=2)
    assert stops(tmp_path / "study")[-1] == "morphism: no new candidate that fits is left"


@pytest.mark.parametrize("changes", [{"morphisms": False}, {"problem": replace(FORMULA, morphisms=())}])
def test_morphism_stage_can_be_switched_off(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert origins(searched(tmp_path, r2=0, **changes)) == ["sobol"] * 4
    assert len(stops(tmp_path / "study")) == 2


class Smallest:
    """Proposes the smallest network that is not in the study."""

    def __init__(self, screen: Screen, epochs: int, seed: int) -> None:
        self.epochs = epochs

    def ask(self, study: Study, n: int) -> list[Candidate]:
        first = study.next_number
        return [
            Candidate(first + place, {"width": first + place + 1, "depth": 1}, self.epochs, "mine")
            for place in range(n)
        ]


def test_stage_may_have_a_sampler_of_ones_own(tmp_path: Path) -> None:
    study = searched(tmp_path, sampler1=Smallest, sampler3="bayes", r1=3, r2=0, r3=1)
    assert [trial.candidate.parameters["width"] for trial in study.trials[:3]] == [1, 2, 3]
    assert origins(study) == ["Smallest"] * 3 + ["bayes"]
    assert stops(tmp_path / "study")[0] == "Smallest: all rounds done"


def test_own_sampler_may_be_named_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from sparsemod.samplers import Sobol as Thinned\n")
    study = searched(tmp_path, sampler2=f"{tmp_path / 'mine.py'}:Thinned", r2=1, r3=0)
    assert origins(study) == ["sobol"] * 4 + ["Thinned"] * 2


def test_two_stages_of_one_sampler_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two stages use the sampler sobol; set the rounds of one of them to 0"):
        searched(tmp_path, sampler2="sobol")
    assert origins(searched(tmp_path, sampler2="sobol", r1=0, r3=0)) == ["sobol"] * 4


def test_no_candidate_is_repeated_and_all_are_members(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=10, r2=3, r3=5)
    assert len({identity(candidate.parameters) for candidate in study.candidates}) == 10 + 6 + 5
    assert all(FORMULA.space.mistakes(candidate.parameters) == [] for candidate in study.candidates)


def test_all_proposals_fit_the_limits(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=10, r3=5, model_size=300, working_memory="80 B")
    assert study.limits == {"model_size": 300, "working_memory": 80}
    assert all(10 * c.parameters["width"] * c.parameters["depth"] <= 300 for c in study.candidates)  # type: ignore[operator]
    assert all(5 * c.parameters["width"] <= 80 for c in study.candidates)  # type: ignore[operator]
    assert study.count("complete") == 10 + 4 + 5


def test_same_seed_same_search_other_seed_other_search(tmp_path: Path) -> None:
    first, again, other = (
        results(searched(tmp_path / name, r2=1, r3=1, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_reference_point_is_the_limits_and_the_largest_error_that_counts(tmp_path: Path) -> None:
    study = searched(tmp_path, r1=1, r2=0, r3=0, model_size=300, working_memory=90, max_error=0.5)
    assert study.reference == {"error": 0.5, "model_size": 300, "working_memory": 90}


# --- networks --------------------------------------------------------------------------------------------------------


def test_networks_are_trained_inherited_scored_and_kept(tmp_path: Path) -> None:
    study = searched(tmp_path, problem=TINY, objectives=4, r1=3, r2=1, r3=2, early_stopping=False, finish_epochs=0)
    assert origins(study) == ["sobol"] * 3 + ["bayes"] * 2 + ["morph"] * 2
    assert study.count("complete") == 7, [trial.reason for trial in study.trials]
    best = study.pareto_front()
    kept = sorted(int(path.stem) for path in (tmp_path / "study" / "models").iterdir())
    assert kept == sorted(trial.number for trial in best)
    config = from_keywords(problem=TINY, device="microbit-v2")
    validation = data_of(load(TINY)).validation
    for trial in best:
        graph = load_study(tmp_path / "study").load_model(trial.number)
        assert error(lambda x, graph=graph: run(graph, x), validation) == trial.score["error"]
        errors = {name: trial.score[name] for name in ("error", "float_error")}
        assert errors | measure(graph, config) == trial.score
    with (tmp_path / "study" / "pareto.csv").open() as file:
        header = next(csv.reader(file))
    assert {"error", "model_size_bytes", "working_memory_bytes", "latency_ms"} < set(header)
    assert not any("second" in name or "elapsed" in name for name in header)


@pytest.mark.parametrize(("finish_epochs", "seen"), [("", 5), (6, 6)])
def test_whole_front_has_seen_as_many_epochs_in_the_end(tmp_path: Path, finish_epochs: str | int, seen: int) -> None:
    """A child of the last stage has seen 1 and 4."""
    study = searched(
        tmp_path, problem=TINY, objectives=4, r1=12, r2=0, r3=1, early_stopping=False, finish_epochs=finish_epochs
    )
    assert set(origins(study)) == {"sobol", "morph", "finish"}
    assert {study.epochs_seen(trial.candidate) for trial in study.pareto_front()} == {seen}
    for trial in study.trials:
        if trial.candidate.origin == "finish":
            assert trial.candidate.parent is not None
            before = study[trial.candidate.parent]
            assert trial.candidate.parameters == before.candidate.parameters
            assert study.epochs_seen(trial.candidate) == seen
            assert before not in study.pareto_front()
    assert stops(tmp_path / "study")[-1] == "finish: every network of the front has been trained for as long"
    again = searched(
        tmp_path, problem=TINY, objectives=4, r1=12, r2=0, r3=1, early_stopping=False, finish_epochs=finish_epochs
    )
    assert results(again) == results(study)


def test_candidates_are_given_up_where_cheaper_ones_were_far_better(tmp_path: Path) -> None:
    found = searched(tmp_path / "on", problem=TINY, objectives=2, r1=20, r2=0, r3=0, epochs1=6)
    free = searched(tmp_path / "off", problem=TINY, objectives=2, r1=20, r2=0, r3=0, epochs1=6, early_stopping=False)
    stopped = [trial.number for trial in found if trial.status == "stopped"]
    assert stopped
    assert free.count("stopped") == 0
    assert all(trial.curve for trial in free if trial.status == "complete")
    assert not {trial.number for trial in free.pareto_front()}.intersection(stopped)
    assert results(free)[0] == results(found)[0]  # what goes on is trained as ever


def test_child_starts_from_the_weights_of_its_parent(tmp_path: Path) -> None:
    tiny = load(TINY)
    seen: list[dict[str, torch.Tensor]] = []

    def remember(network: torch.nn.Module, *_: object) -> None:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    def same(parameters: Parameters, space: SearchSpace, rng: Any) -> dict[str, Any] | None:
        rate = 0.5 * (0.001 + float(parameters["learning_rate"]))
        return {**parameters, "learning_rate": rate}

    problem = replace(tiny, train=remember, morphisms=(same,))
    study = searched(tmp_path, problem=problem, objectives=2, r1=2, r2=0, r3=1, pruning=False)
    child = study.trials[2].candidate
    assert child.parent is not None
    parent, fresh = seen[child.parent], seen[1 - child.parent]
    assert all(torch.equal(seen[2][name], parent[name]) for name in parent)
    assert any(fresh[name].shape != parent[name].shape or not torch.equal(fresh[name], parent[name]) for name in fresh)


def test_child_is_sent_the_weights_and_parameters_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[int, tuple[Any, ...]] = {}

    def spy(candidate: Candidate, config: Config, *more: Any) -> Outcome:
        sent[candidate.number] = more[:2]
        return evaluate(candidate, config, *more)

    monkeypatch.setattr("sparsemod.loop.running.evaluate", spy)
    study = searched(tmp_path, problem=load(TINY), objectives=2, r1=2, r2=0, r3=1)
    assert sent[0] == sent[1] == (None, None)
    weights, parameters = sent[2]
    assert parameters == study[study[2].candidate.parent].candidate.parameters
    assert "head.classifier.weight" in weights


def test_problem_may_have_builder_and_objective_without_data(tmp_path: Path) -> None:
    problem = replace(FORMULA, costs=None, build=lambda *_: torch.nn.Identity())
    assert searched(tmp_path, problem=problem, r1=2, r2=0, r3=0).count("complete") == 2
