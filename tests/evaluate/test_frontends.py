"""Raw samples through a whole evaluation: the settings of the front end are parameters like any other."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from problems import tones
from problems.trials import configured
from torch import nn

from sparsemod.cost import model_size_bytes, plan
from sparsemod.cost.screen import Screen
from sparsemod.data import Data, Samples, Sequences, Tensors
from sparsemod.errors import InputError
from sparsemod.evaluate import data_of, evaluate, measure_saved
from sparsemod.frontend import FilterBank
from sparsemod.graph import Graph, run
from sparsemod.problem import Problem
from sparsemod.space import Choice, Int, SearchSpace
from sparsemod.spaces import audio
from sparsemod.study import Candidate
from sparsemod.testing import check_problem


def build(parameters, input_shape, num_classes):
    """A convolution over frames and filters, and what it finds on average."""
    layers = (nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d((1, None)), nn.Flatten(), nn.LazyLinear(3))
    network = nn.Sequential(*layers)
    network(torch.zeros(1, *input_shape))
    return network


FIXED = {"fe_window": 30, "fe_stride": 20, "fe_filters": 20}
SPACE = SearchSpace({**audio.parameters(coefficients=(0, 6)), "learning_rate": Int(1, 2)})
PROBLEM = Problem(SPACE, build, tones.load_data, (audio.settings,), frontend=tones.FRONT_ENDS)


def test_network_learns_from_features_and_is_scored_at_the_costs_that_were_known() -> None:
    problem = tones.problem
    parameters = problem.space.complete(
        {**FIXED, "fe_coefficients": 0, "blocks": 1, "b1_layers": 1, "b1_l1_type": "conv", "b1_l1_filters": 8,
         "b1_l1_kernel": 3, "b1_skip": False, "b1_pool": False, "b1_stride": 2, "global_pool": False, "fc_layers": 0,
         "dropout": 0.0, "learning_rate": 0.01, "batch_size": 16, "prune_threshold": 0.0}, np.random.default_rng(0)
    )  # fmt: skip
    config = configured(problem, seed=1)
    found = evaluate(Candidate(0, parameters, 3, "test"), config)
    assert found.trial.status == "complete", found.trial.reason
    assert found.trial.score["error"] < 0.2  # two thirds by chance
    known = Screen(problem, config, data_of(problem)).costs(parameters)
    exact = ("model_size", "working_memory", "latency")
    assert [found.trial.score[name] for name in exact] == [known[name] for name in exact]
    front = FilterBank(tones.SAMPLES, tones.RATE, filters=20)
    assert found.graph.frontend == front
    without = replace(found.graph, frontend=None)
    assert found.trial.score["model_size"] == model_size_bytes(without) + front.flash_bytes
    assert found.trial.score["working_memory"] == plan(found.graph).size >= front.ram_bytes + 9 * 20
    ends = found.graph.activations[0]
    assert (ends.shape, ends.itemsize, ends.scale, ends.zero_point) == ((1, 9, 20), 1, 1 / 32, 0)
    split = data_of(problem).validation
    wrong = (run(found.graph, front(split.x).float() / 32).argmax(1) != split.y).float().mean()
    assert float(wrong) == pytest.approx(found.trial.score["error"])
    test = data_of(problem).test
    right = run(found.graph, front(test.x).float() / 32).argmax(1) == test.y
    assert measure_saved(found.trial, 3, found.graph, config).error == pytest.approx(1 - float(right.float().mean()))


def test_graph_is_stored_with_its_front_end() -> None:
    graph = replace(Graph((), ()), frontend=FilterBank(tones.SAMPLES, tones.RATE, coefficients=6, high=3_000))
    tensors, plain = graph.to_tensors()
    assert Graph.from_tensors(tensors, json.loads(json.dumps(plain))).frontend == graph.frontend


def test_check_passes_and_finds_settings_that_make_no_front_end() -> None:
    assert check_problem(PROBLEM) == []
    screen = Screen(PROBLEM, configured(PROBLEM), data_of(PROBLEM))
    long = replace(PROBLEM, frontend=audio.FrontEnds(samples=200, rate=8_000))
    assert screen.misfit({**FIXED, "fe_coefficients": 0, "learning_rate": 1}) is None
    told = Screen(long, configured(long), data_of(long)).misfit({**FIXED, "fe_coefficients": 0, "learning_rate": 1})
    assert told == "the front end cannot be: window_ms 30 are 240 samples, and a clip has 200"


@dataclass(frozen=True)
class Halves(FilterBank):
    """A front end whose parts do not go together."""

    ram_bytes = 6

    def __call__(self, samples):
        return super().__call__(samples).half()


def test_check_names_what_is_wrong_with_a_front_end() -> None:
    def faults(frontend):
        return [fault for fault in check_problem(replace(PROBLEM, frontend=frontend)) if "front end" in fault]

    halves, memory = faults(lambda parameters: Halves(tones.SAMPLES, tones.RATE))[:2]
    assert halves == "the front end gives (2, 1, 9, 40), torch.float16 for two clips; it must give (2, 1, 9, 40), int8"
    assert memory == "ram_bytes of the front end is 6; it must be a multiple of 4"
    assert faults(lambda parameters: 1 / 0)[0] == "the front end raises ZeroDivisionError: division by zero"


def test_features_of_the_same_settings_are_computed_once() -> None:
    calls = []

    @dataclass(frozen=True)
    class Counting(FilterBank):
        def __call__(self, samples):
            calls.append(len(samples))
            return super().__call__(samples)

    data = tones.load_data()
    for stride in (20.0, 20.0, 25.0, 20.0):
        data.seen_by({}, frontend=Counting(tones.SAMPLES, tones.RATE, stride_ms=stride))
    assert calls == 2 * [len(data.train), len(data.validation)]


def test_sequences_are_cut_or_followed_by_zeros_or_cut_into_windows() -> None:
    lengths = [400, 800, 3_000]
    rng = torch.Generator().manual_seed(0)
    recordings = [torch.randint(-9_000, 9_000, (n, 1), generator=rng).short() for n in lengths]
    split = Sequences(recordings, torch.arange(3), std=2.0**15)
    data = Data(split, split, None, (3_000, 1), 3)
    front = FilterBank(samples=800, rate=8_000, filters=10)
    seen = data.seen_by({"max_len": 800}, frontend=front).train
    clips = torch.stack([torch.cat([recordings[0].flatten(), torch.zeros(400, dtype=torch.int16)])])
    assert torch.equal(seen.x[:1], front(clips))
    assert torch.equal(seen.x[2:], front(recordings[2][:800].T))
    x, _ = next(seen.batches(3))
    assert torch.equal(x, seen.x / 32)
    windows = data.seen_by({"max_len": 800}, splitter=True, frontend=front).train
    assert windows.y.tolist() == [0, 1, 2, 2, 2, 2]  # 3000 are three windows of 800 and one of 600
    assert torch.equal(windows.x[3:4], front(recordings[2][800:1600].T))


def test_data_that_are_no_raw_samples_are_refused() -> None:
    front = FilterBank(tones.SAMPLES, tones.RATE)
    y = torch.arange(4) % 2
    floats = Data.from_tensors(Tensors(torch.randn(4, 1_600), y), validation=0.5)
    with pytest.raises(
        InputError, match=r"int16, one after the other, but the data hold torch.float32 of shape \(1600,"
    ):
        floats.seen_by({}, frontend=front)
    pictures = Data.from_tensors(Tensors(torch.zeros(4, 40, 40, dtype=torch.int16), y), validation=0.5)
    with pytest.raises(InputError, match=r"torch.int16 of shape \(40, 40\) for each clip"):
        pictures.seen_by({}, frontend=front)
    files = Samples([(torch.zeros(1_600), 0)], [0])
    with pytest.raises(InputError, match="`Tensors` or `Sequences`, but the data are Samples"):
        Data(files, files, None, (1_600,), 1).shape_seen_by({}, frontend=front)


def test_front_end_excludes_a_collate_and_a_teacher() -> None:
    with pytest.raises(InputError, match="a frontend and a collate and a teacher: the front end alone says"):
        replace(PROBLEM, collate=lambda samples, parameters: samples, teacher=lambda data: nn.Identity())


def test_settings_move_and_stay_in_the_space() -> None:
    rng = np.random.default_rng(0)
    parent = {**FIXED, "fe_coefficients": 0, "learning_rate": 1}
    children = [audio.settings(parent, SPACE, rng) for _ in range(20)]
    for child in filter(None, children):
        assert SPACE.contains(child)
        assert [child[name] != parent[name] for name in parent].count(True) == 1
        assert child["learning_rate"] == 1
    assert audio.settings({"width": 1}, SearchSpace({"width": Choice((1, 2))}), rng) is None


def test_more_coefficients_than_filters_are_no_options() -> None:
    with pytest.raises(InputError, match="coefficients are up to 13 and filters from 10 on"):
        audio.parameters(filters=(10, 40), coefficients=(0, 13))
