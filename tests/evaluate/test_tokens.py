"""Sequences of tokens through a whole evaluation."""

from pathlib import Path

import pytest
from problems.trials import configured

from sparsemod.cost.screen import Screen
from sparsemod.evaluate import data_of, evaluate
from sparsemod.graph import run
from sparsemod.problem import load
from sparsemod.study import Candidate

FILE = Path(__file__).parents[1] / "problems" / "sequences.py"


@pytest.mark.parametrize(("kind", "scheme"), [("lstm", "post"), ("gru", "post"), ("lstm", "dynamic"), ("gru", "none")])
def test_sequences_of_tokens_are_learned(kind: str, scheme: str) -> None:
    """Which of three tokens comes first, after pruning half of the weights and quantization-aware training."""
    problem = load(f"{FILE}:problem")
    config = configured(problem, quant_scheme=scheme, pruning=True, qat_epochs=int(scheme == "post"), seed=1)
    asked = Candidate(0, {"kind": kind, "units": 12, "learning_rate": 0.02, "prune_threshold": 0.5}, 12, "test")
    found = evaluate(asked, config)
    assert found.trial.status == "complete", found.trial.reason
    assert found.trial.score["error"] < 0.3  # two thirds by chance
    assert {operator.kind for operator in found.graph.operators} == {"embedding", kind, "linear"}
    x, y = next(data_of(problem).validation.batches(150))
    assert float((run(found.graph, x).argmax(1) != y).float().mean()) == pytest.approx(found.trial.score["error"])


def test_units_are_removed_at_the_costs_that_were_known() -> None:
    problem = load(f"{FILE}:problem")
    config, data = configured(problem, seed=1), data_of(problem)
    asked = Candidate(0, {"kind": "gru", "units": 16, "learning_rate": 0.02, "prune_channels": 0.5}, 12, "test")
    found = evaluate(asked, config)
    assert found.trial.status == "complete", found.trial.reason
    assert found.trial.score["error"] < 0.3  # two thirds by chance
    [layer] = [operator for operator in found.graph.operators if operator.kind == "gru"]
    assert layer.options["units"] == (8,)
    known = Screen(problem, config, data).costs(asked.parameters)
    assert all(found.trial.score[name] == known[name] for name in ("macs", "params", "working_memory", "latency"))
