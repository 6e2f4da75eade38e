import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsemod.metrics import balanced_error, mean_squared_error
from sparsemod.report import Source, load_validation
from sparsemod.report.networks import ancestry, learning_curve, memory_map, networks
from sparsemod.report.validation import Validation
from sparsemod.study import Candidate, Study, Trial


@pytest.fixture(scope="module")
def validation(networks_folder: Path) -> Validation:
    return load_validation(networks_folder)


def test_every_network_of_the_front_has_a_page_whose_layers_add_up(trained: Source) -> None:
    found = networks(trained, None)
    assert [page["number"] for page in found["pages"]] == [trial.number for trial in trained.study.pareto_front()]
    assert found["left_out"] == 0
    for page in found["pages"]:
        score = trained.study[page["number"]].score
        assert sum(layer["macs"] for layer in page["layers"]) == score["macs"]
        assert sum(layer["nnz"] for layer in page["layers"]) == score["nnz"]
        assert page["memory"]["size"] == score["working_memory"]
        assert "confusion" not in page


def test_buffers_of_a_memory_map_lie_in_the_arena_and_never_on_one_another(trained: Source) -> None:
    for trial in trained.study.pareto_front():
        found = memory_map(trained.study.load_model(trial.number))
        assert max(buffer["start"] + buffer["size"] for buffer in found["buffers"]) == found["size"]
        assert all(0 <= buffer["born"] <= buffer["dies"] < len(found["steps"]) for buffer in found["buffers"])
        for first, second in itertools.combinations(found["buffers"], 2):
            together = first["born"] <= second["dies"] and second["born"] <= first["dies"]
            overlap = (
                first["start"] < second["start"] + second["size"] and second["start"] < first["start"] + first["size"]
            )
            assert not (together and overlap)
        assert found["buffers"][0]["holds"] == ["input"]


def test_confusion_counts_every_validation_sample_and_gives_the_recorded_error(
    trained: Source, validation: Validation
) -> None:
    for page in networks(trained, validation)["pages"]:
        counts = page["confusion"]
        assert sum(map(sum, counts)) == len(validation.data.validation)
        assert page["measured_error"] == pytest.approx(trained.study[page["number"]].score["error"])


def test_data_that_does_not_fit_the_network_leaves_the_rest_of_the_page(
    trained: Source, validation: Validation
) -> None:
    def broken(samples, parameters):
        raise ValueError("no such sample")

    page = networks(trained, replace(validation, problem=replace(validation.problem, collate=broken)))["pages"][0]
    assert "no such sample" in page["not_run"] and page["layers"]


def test_model_that_was_not_kept_is_said(source: Source) -> None:
    pages = networks(source, None)["pages"]
    assert [page["number"] for page in pages] == [1, 0]
    assert all("was not kept" in page["missing"] for page in pages)


def test_device_that_is_not_found_is_said(source: Source) -> None:
    found = networks(replace(source, settings={"DEVICE.device": "board.py:board"}), None)
    assert found["pages"] == [] and "board.py" in found["missing"]


def test_long_front_has_pages_for_its_ends_and_for_some_between(tmp_path: Path) -> None:
    study = Study(("error", "model_size"))
    for number in range(200):
        score = {"error": 0.5 - number / 1000, "model_size": 100.0 + number}
        study.add(Trial(Candidate(number, {}, 1, "sobol"), "complete", score))
    found = networks(Source("long", study, tmp_path, {"DEVICE.device": "rp2040"}), None)
    numbers = [page["number"] for page in found["pages"]]
    assert 40 <= len(numbers) <= 43 and {0, 199} <= set(numbers)
    assert found["left_out"] == 200 - len(numbers)


def test_ancestry_goes_back_to_the_first_and_says_what_each_changed() -> None:
    study = Study(("error",))
    line = [(0, None, {"width": 4, "rate": 0.1}), (3, 0, {"width": 8, "rate": 0.1}), (5, 3, {"width": 8, "pool": True})]
    for number, parent, parameters in line:
        candidate = Candidate(number, parameters, 5, "morph" if parent is not None else "sobol", parent)
        study.add(Trial(candidate, "complete", {"error": 0.5 - number / 100}))
    found = ancestry(study, study[5])
    assert [(each["number"], each["changed"]) for each in found] == [
        (0, []), (3, ["width: 4 → 8"]), (5, ["rate: 0.1 → none", "pool: none → True"]),
    ]  # fmt: skip
    assert found[-1]["score"] == {"error": 0.45}


def test_error_before_quantization_is_shown_if_it_was_recorded(source: Source) -> None:
    study = Study(("error",))
    study.add(Trial(Candidate(0, {}, 1, "sobol"), "complete", {"error": 0.2, "float_error": 0.15}))
    (page,) = networks(replace(source, study=study), None)["pages"]
    assert page["float_error"] == 0.15


def test_network_of_a_loss_of_its_own_has_no_confusion(trained: Source, validation: Validation) -> None:
    own = replace(validation.problem, loss=torch.nn.functional.mse_loss, error=mean_squared_error)
    page = networks(trained, replace(validation, problem=own))["pages"][0]
    assert "confusion" not in page and "its networks name no classes" in page["not_run"]
    assert page["own_error"] == "mean_squared_error"


def test_network_of_an_error_of_its_own_has_confusion_that_is_not_held_against_it(
    trained: Source, validation: Validation
) -> None:
    page = networks(trained, replace(validation, problem=replace(validation.problem, error=balanced_error)))["pages"][0]
    assert sum(map(sum, page["confusion"])) == len(validation.data.validation)
    assert page["own_error"] == "balanced_error" and "measured_error" not in page


def test_learning_curve_goes_on_where_that_of_the_ancestor_ended() -> None:
    study = Study(("error",))
    study.add(
        Trial(Candidate(0, {}, 10, "sobol"), "complete", {"error": 0.4, "float_error": 0.35}, curve={1: 0.8, 6: 0.5})
    )
    study.add(Trial(Candidate(1, {"a": 1}, 5, "morph", 0), "complete", {"error": 0.3}, curve={3: 0.32}))
    study.add(Trial(Candidate(2, {"a": 1}, 5, "finish", 1), "complete", {"error": 0.2, "float_error": 0.2}))
    assert learning_curve(study, study[2]) == [
        {"number": 0, "epochs": [1, 6, 10], "errors": [0.8, 0.5, 0.35]},
        {"number": 1, "epochs": [13], "errors": [0.32]},
        {"number": 2, "epochs": [20], "errors": [0.2]},
    ]


def test_networks_of_which_nothing_was_measured_in_training_have_no_curve(source: Source) -> None:
    assert [page["curve"] for page in networks(source, None)["pages"]] == [[], []]
