"""What each layer of a network costs, as the command line prints it."""

import json
from pathlib import Path

import pytest

from sparsemod import load
from sparsemod.cli import main
from sparsemod.objectives import column

NETS = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

pruned = Net()
with torch.no_grad():
    pruned[3].weight[5:] = 0
"""


@pytest.fixture
def nets(folder):
    Path("nets.py").write_text(NETS)


def test_score_prints_a_row_per_layer_and_the_totals(nets, capsys):
    """18 weights of 676 places, and 10 times 1352; of the linear layer half is zero."""
    assert main(["score", "nets.py:pruned", "--input", "1x28x28", "--device", "rp2040"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines if line[1:2] in (["conv"], ["linear"])] == [
        ["0", "conv", "2x26x26", "12,168"],
        ["3", "linear", "10", "13,520"],
    ]
    linear = next(line for line in lines if line[1:2] == ["linear"])
    assert linear[4:8] == ["6,770", "50.0%", "27,040", "13,520"]
    text = " ".join(word for line in lines for word in line)
    assert "nets.py:pruned on rp2040" in text
    assert "working memory 2,136 bytes, 0.8% of the RAM" in text
    assert "energy" not in text  # the power of this part is not known


def test_score_says_what_does_not_fit(nets, capsys):
    main(["score", "nets.py:Net", "--input", "1x28x28", "--device", "arduino-uno"])
    text = capsys.readouterr().out
    assert "working memory  2,136 bytes, 104.3% of the RAM: DOES NOT FIT" in text
    assert "energy" in text and "mJ" in text


def test_score_of_one_step_says_so(nets, capsys):
    """Input and state take 4 bytes each, and 4 units keep 3 bytes each."""
    assert main(["score", "nets.py:Recurrent", "--input", "100x3", "--device", "rp2040", "--streaming"]) == 0
    text = capsys.readouterr().out
    assert "nets.py:Recurrent on rp2040, one of 100 steps at a time" in text
    assert "working memory  20 bytes" in text


def test_score_as_json_adds_up(nets, capsys):
    assert main(["score", "nets.py:Net", "--input", "1x28x28", "--device", "nano-33-ble", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "nano-33-ble"
    assert [row["kind"] for row in found["layers"]] == ["conv", "reshape", "linear"]
    assert sum(row["macs"] for row in found["layers"]) == found["total"]["macs"] == 18 * 676 + 13_520
    assert found["total"]["energy_mj"] == pytest.approx(found["total"]["latency_ms"] * 9.9e-3)


def test_score_of_a_trial_has_its_recorded_costs(study, capsys):
    folder, _ = study
    trial = load(folder).pareto_front()[0]
    assert main(["score", str(folder), str(trial.number), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "arduino-uno"
    recorded = {name: trial.score[name] for name in ("model_size", "working_memory", "latency", "energy", "nnz")}
    assert {name: found["total"][column(name)] for name in recorded} == recorded
    assert main(["score", str(folder), str(trial.number), "--json", "--device", "stm32f746"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["latency_ms"] < recorded["latency"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nets.py:Net"], "--input is missing: the shape of one sample"),
        (["nets.py:Net", "--input", "28,28"], "--input 28,28: must read like 1x28x28"),
        (["nets.py:Met", "--input", "1x28x28"], "nets.py has no 'Met'; did you mean nets.py:pruned?"),
        (["nets.py:Net", "--input", "1x28x28", "--device", "rp2400"], "did you mean 'rp2040'?"),
        (["nets.py:Net", "--input", "1x8x8"], "nets.py:Net: the network cannot process an input of 1 x 8 x 8"),
        (["net.onnx"], "net.onnx cannot be read: No such file"),
        (["."], "is a folder; add the number of a trial: sparsemod score . 12"),
        ([".", "3"], "holds no study"),
    ],
)
def test_score_refuses_what_it_does_not_understand(nets, capsys, arguments, words):
    assert main(["score", *arguments]) == 2
    assert words in capsys.readouterr().err
