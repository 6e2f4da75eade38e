"""Sequences at their own lengths: what packing is worth where the last steps tell, and that nothing else changes."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from problems.endings import LENGTHS, endings, problem
from problems.trials import configured

from sparsemod.config import Config
from sparsemod.data import Data, Packed, Tensors
from sparsemod.evaluate import Outcome, evaluate
from sparsemod.export import export
from sparsemod.graph import run
from sparsemod.problem import Problem
from sparsemod.study import Candidate

PARAMETERS = {"units": 6, "learning_rate": 0.02, "batch_size": 16, "prune_threshold": 0.5}


def learned(epochs: int = 12, **keywords: object) -> tuple[Outcome, Config]:
    config = configured(problem, **keywords)
    return evaluate(Candidate(0, PARAMETERS, epochs, "test"), config), config


@pytest.fixture(scope="module")
def streamed() -> Outcome:
    return learned(streaming=True)[0]


def held_out() -> Packed:
    split = endings().seen_by(PARAMETERS, streaming=True).validation
    assert isinstance(split, Packed)
    return split


def test_networks_of_one_step_learn_what_padding_hides(streamed: Outcome) -> None:
    """Zeros after a short sequence make a network of whole sequences forget what told the classes."""
    padded, _ = learned()
    assert streamed.trial.status == padded.trial.status == "complete"
    assert streamed.trial.score["error"] < 0.05
    assert padded.trial.score["error"] > streamed.trial.score["error"] + 0.1


def test_target_sparsity_is_reached_exactly_with_batches_of_any_size(streamed: Outcome) -> None:
    """The ramp ends with the last batch, and there are more of them than samples by the size of a batch."""
    assert streamed.graph is not None
    train = endings().seen_by(PARAMETERS, streaming=True).train
    assert train.batch_count(16) > -(-len(train) // 16)
    weights = [operator.weight for operator in streamed.graph.operators if operator.weight is not None]
    assert sum(int((weight == 0).sum()) for weight in weights) * 2 == sum(weight.numel() for weight in weights)


def test_score_is_that_of_each_sequence_read_alone(streamed: Outcome) -> None:
    assert streamed.graph is not None
    split = held_out()
    samples = list(zip(split.steps.split(split.lengths.tolist()), split.y.tolist(), strict=True))
    wrong = sum(int(run(streamed.graph, x[None]).argmax()) != y for x, y in samples)
    assert streamed.trial.score["error"] == wrong / len(split)


def test_quantization_aware_training_goes_with_it() -> None:
    outcome, _ = learned(streaming=True, qat_epochs=2)
    assert outcome.trial.status == "complete"
    assert outcome.trial.score["error"] < 0.05


def test_own_error_gets_inputs_followed_by_zeros() -> None:
    seen: list[tuple[int, ...]] = []

    def wrong(outputs: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> float:
        seen.append(tuple(x.shape))
        return float((outputs.argmax(1) != y).float().mean())

    own = Problem(problem.space, problem.build, endings, error=wrong)
    trial = evaluate(Candidate(0, PARAMETERS, 1, "test"), configured(own, streaming=True)).trial
    assert trial.status == "complete"
    assert seen == [(len(held_out()), max(held_out().lengths), 2)] * 2  # of the float network and of the integer one


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc)")
def test_exported_network_takes_sequences_of_any_length(streamed: Outcome, tmp_path: Path) -> None:
    """It is started, given as many steps as there are, and asked then."""
    assert streamed.graph is not None
    export(streamed.graph, tmp_path / "net")
    rng = torch.Generator().manual_seed(0)
    given = [torch.randint(-128, 128, (length, 2), generator=rng) for length in (1, *LENGTHS, 200)]
    source, target = streamed.graph.activations[0], streamed.graph.activations[streamed.graph.output]
    for number, steps in enumerate(given):
        rows = ", ".join(map(str, steps.flatten().tolist()))
        main = f"""
            #include <stdio.h>
            #include <string.h>
            #include "net.h"
            static const signed char steps[][2] = {{{rows}}};
            int main(void) {{
                net_start();
                for (int i = 0; i < {len(steps)}; i++) {{
                    memcpy(net_input(), steps[i], 2);
                    net_invoke();
                }}
                printf("%d %d\\n", net_output()[0], net_output()[1]);
            }}"""
        (tmp_path / f"{number}.c").write_text(main)
        program = tmp_path / str(number)
        sources = [tmp_path / f"{number}.c", *(tmp_path / "net").glob("*.c")]
        subprocess.run(["cc", "-I", tmp_path / "net", *sources, "-lm", "-o", program], check=True)
        found = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        real = run(streamed.graph, ((steps - source.zero_point) * source.scale)[None].float())
        expected = (torch.round(real[0] / target.scale) + target.zero_point).int().tolist()
        assert list(map(int, found.split())) == expected


def test_samples_of_one_shape_are_not_packed() -> None:
    fixed = Data.from_tensors(Tensors(torch.zeros(20, 3, 2), torch.arange(20) % 2))
    assert isinstance(fixed.seen_by(PARAMETERS, streaming=True).train, Tensors)
