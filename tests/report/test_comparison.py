from dataclasses import replace
from pathlib import Path

from sparsemod.report import Source
from sparsemod.report.comparison import comparison
from sparsemod.study import Candidate, Study, Trial


def studied(name: str, size: float, reference: float, objectives: tuple[str, ...] = ("error", "model_size")) -> Source:
    """One trial of error 0.5."""
    study = Study(objectives, {}, {"error": 1.0, "model_size": reference})
    score = {"error": 0.5, "model_size": size, "latency": 1.0}
    study.add(Trial(Candidate(0, {}, 1, "sobol"), "complete", score, elapsed=75.0))
    return Source(name, study, Path(), {"DEVICE.device": "rp2040"})


def test_studies_are_judged_by_the_larger_reference() -> None:
    """0.5 x 900/1000 and 0.5 x 500/1000 of the box."""
    found = comparison([studied("small", 100, 1000), studied("large", 500, 800)])
    assert found["reference"] == {"error": 1.0, "model_size": 1000.0}
    assert [curve["hypervolume"] for curve in found["curves"]] == [[0.45], [0.25]]
    first, second = found["rows"]
    assert (first["name"], first["hypervolume"], first["best"]) == ("small", 0.45, {"error": 0.5, "model_size": 100.0})
    assert (second["time"], second["device"], second["front"]) == ("1 min 15 s", "rp2040", 1)
    assert found["same_limits"]


def test_only_shared_objectives_count() -> None:
    found = comparison([studied("both", 100, 1000), studied("other", 500, 800, ("error", "latency"))])
    assert found["objectives"] == ["error"]
    assert [row["hypervolume"] for row in found["rows"]] == [0.5, 0.5]


def test_studies_without_a_shared_objective_say_so() -> None:
    found = comparison([studied("a", 1, 10, ("model_size",)), studied("b", 1, 10, ("latency",))])
    assert "no objective in common" in found["missing"]


def test_different_limits_and_an_empty_study_are_no_obstacle(source: Source) -> None:
    empty = replace(source, name="empty", study=Study(source.study.objectives, {}, source.study.reference))
    found = comparison([source, empty])
    assert not found["same_limits"]
    assert found["rows"][1]["best"] == {"error": None, "model_size": None}
    assert found["rows"][1]["hypervolume"] == 0
