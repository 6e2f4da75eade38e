"""Recurrent networks that take one step at a time: a trial, a search, its test and what is exported."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems import sequences
from problems.sequences import STEPS, waves
from problems.trials import configured

import sparsemod
from sparsemod.config import from_keywords
from sparsemod.cost import plan
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Sequences, Tensors
from sparsemod.evaluate import data_of, evaluate
from sparsemod.export import export, verify
from sparsemod.problem import Problem
from sparsemod.retrain import test as retest
from sparsemod.space import Int, SearchSpace
from sparsemod.spaces import rnn
from sparsemod.spaces.length import max_len
from sparsemod.study import Candidate

PARAMETERS = {
    **{"cell": "gru", "rnn_layers": 2, "rnn1_units": 8, "rnn2_units": 8, "bidirectional": False, "rnn_skip": True},
    **{"readout": "last", "fc_layers": 0, "dropout": 0.0, "learning_rate": 0.01, "batch_size": 16},
    **{"prune_threshold": 0.5, "max_len": 12},
}


def as_sequences(part: Tensors) -> Sequences:
    return Sequences(list(part.x), part.y)


def load_data() -> Data:
    return Data.from_tensors(as_sequences(waves(300, 0)), as_sequences(waves(60, 1)), validation=0.3)


SPACE = SearchSpace({**rnn.space(rnn_layers=2, rnn_units=(4, 12), fc_layers=0), "max_len": Int(8, STEPS)})
PROBLEM = Problem(SPACE, rnn.build, load_data, (*rnn.MORPHISMS, max_len))


@pytest.mark.parametrize("splitter", [False, True])
def test_streaming_changes_costs_and_nothing_else(splitter: bool) -> None:
    candidate = Candidate(0, PARAMETERS, 2, "test")
    settings = {"flops": 1e6, "splitter": splitter}
    found, whole = (evaluate(candidate, configured(PROBLEM, streaming=on, **settings)) for on in (True, False))
    assert found.trial.status == whole.trial.status == "complete"
    same, other = found.trial.score, whole.trial.score
    for name in ("error", "float_error", "model_size", "params", "nnz"):
        assert same[name] == other[name]
    head = 8 * 3
    assert (same["macs"] - head) * 12 == other["macs"] - head
    assert same["latency"] == same["macs"] / 1e3
    assert same["working_memory"] == 8 + 8 + 2 * 3 * 8  # what two layers give, and what they keep
    assert other["working_memory"] == 12 * 2 + 12 * 8 + 2 * 8
    assert found.graph is not None and (found.graph.steps, found.graph.input_shape) == (12, (12, 2))
    config = configured(PROBLEM, streaming=True, **settings)
    known = Screen(PROBLEM, config, data_of(PROBLEM)).costs(PARAMETERS)
    for name in ("working_memory", "latency", "macs", "params"):
        assert known[name] == same[name]


def test_tokens_come_one_by_one() -> None:
    candidate = Candidate(0, {"kind": "lstm", "units": 8}, 1, "test")
    found, whole = (evaluate(candidate, configured(sequences.problem, streaming=on)) for on in (True, False))
    assert found.trial.status == "complete"
    assert found.trial.score["error"] == whole.trial.score["error"]
    assert found.graph is not None and found.graph.activations[0].shape == (1,)


@pytest.mark.parametrize("changes", [{"bidirectional": True}, {"readout": "mean"}])
def test_what_cannot_be_streamed_is_recorded_with_its_reason(changes: dict[str, object]) -> None:
    candidate = Candidate(0, {**PARAMETERS, **changes}, 1, "test")
    trial = evaluate(candidate, configured(PROBLEM, streaming=True)).trial
    assert trial.status == "infeasible"
    assert "which cannot be streamed; read each step forward and the last one in the end" in trial.reason


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in a space of which one member in four can be streamed."""
    root = tmp_path_factory.mktemp("streamed")
    budget = {"r1": 5, "r2": 1, "r3": 2, "epochs1": 1, "epochs2": 1, "epochs3": 1, "finish_epochs": 0}
    sparsemod.search(problem=PROBLEM, root=str(root), name="s", device="arduino-uno", streaming=True, **budget)
    return root


def test_a_search_finds_networks_of_one_step(root: Path) -> None:
    study = sparsemod.load(root / "s")
    assert study.count("complete") == len(study.trials) == 8
    for trial in study.trials:
        assert (trial.candidate.parameters["bidirectional"], trial.candidate.parameters["readout"]) == (False, "last")
    for trial in study.pareto_front():
        graph = study.load_model(trial.number)
        assert graph.steps == trial.candidate.parameters["max_len"]
        assert plan(graph).size == trial.score["working_memory"]


@pytest.mark.skipif(shutil.which("cc") is None or shutil.which("nm") is None, reason="no C compiler (cc) or no nm")
def test_what_was_found_is_exported_and_verified(root: Path, tmp_path: Path) -> None:
    study = sparsemod.load(root / "s")
    trial = study.pareto_front()[0]
    graph = study.load_model(trial.number)
    x = torch.randint(-128, 128, (30, *graph.input_shape), dtype=torch.int8)
    export(graph, tmp_path / "net", x)
    assert [check.found for check in verify(tmp_path / "net", emulate=False)] == [
        *(30, trial.score["working_memory"], trial.score["model_size"])
    ]


def test_networks_are_tested_one_step_at_a_time(root: Path) -> None:
    """The saved one and one that is trained again cost the same."""
    config = from_keywords(problem=PROBLEM, device="arduino-uno", streaming=True)
    config = replace(config, test=replace(config.test, root=str(root), name="s", seeds=1, epochs=1))
    trial = sparsemod.load(root / "s").pareto_front()[0]
    saved, again = retest(config, [trial.number])
    assert (saved.status, again.status) == ("complete", "complete")
    assert saved.costs["working_memory"] == again.costs["working_memory"] == trial.score["working_memory"]
