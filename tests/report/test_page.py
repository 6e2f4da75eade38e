import base64
import gzip
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsemod.errors import InputError
from sparsemod.report import Source, contents, write
from sparsemod.report.page import page, plotly
from sparsemod.spaces import cnn
from sparsemod.study import Candidate, Study, Trial


def data_of(text: str) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL).group(1))


def test_page_holds_all_that_it_needs(source: Source, tmp_path: Path) -> None:
    size = write([source], ["none"], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert size == len(text.encode()) < 3_000_000
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "<!--" not in text
    assert [study["name"] for study in data_of(text)["studies"]] == ["six"]
    packed = re.search(r'<script id="plotly" type="text/plain">(.*?)</script>', text, re.DOTALL).group(1)
    assert b"plotly.js v" in gzip.decompress(base64.b64decode(packed))


def test_no_text_of_a_study_can_end_its_script(source: Source) -> None:
    nasty = '</script><script>alert("1")</script><!-- '
    text = page(nasty, {"studies": [{"name": nasty}], "refresh": 0})
    assert data_of(text)["studies"][0]["name"] == nasty
    assert nasty not in text and "<title>&lt;/script&gt;" in text


def test_page_renews_itself_only_while_the_search_runs(source: Source, tmp_path: Path) -> None:
    write([source], ["none"], tmp_path / "page.html", refresh=10)
    running = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<meta http-equiv="refresh" content="10">' in running
    assert data_of(running)["refresh"] == 10
    assert "search has ended" in data_of(running)["studies"][0]["importance"]["missing"]
    write([source], ["none"], tmp_path / "page.html")
    assert 'http-equiv="refresh"' not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_study_without_trials_has_a_page(source: Source, tmp_path: Path) -> None:
    write([replace(source, study=Study(("error",)))], ["none"], tmp_path / "page.html")
    (found,) = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))["studies"]
    assert found["picks"] == [] and found["stages"] == [] and found["networks"]["pages"] == []


def test_study_whose_evaluation_is_ones_own_has_a_page(tmp_path: Path) -> None:
    study = Study(("heat", "price"))
    for number in range(3):
        study.add(
            Trial(Candidate(number, {"a": number}, 1, "sobol"), "complete", {"heat": 3.0 - number, "price": number})
        )
    found = contents(Source("own", study, tmp_path, {"DEVICE.device": "rp2040"}), "none")
    assert [pick["why"] for pick in found["picks"]] == ["knee"]
    assert "completed trials with an error" in found["importance"]["missing"]


def test_thousand_trials_take_less_than_five_megabytes(source: Source, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    study = Study(("error", "model_size", "working_memory", "latency"))
    for number in range(1000):
        parameters = {f"parameter_{place}": float(value) for place, value in enumerate(rng.random(37))}
        score = dict(zip(study.objectives, rng.random(4) * 1000, strict=True))
        study.add(Trial(Candidate(number, parameters, 5, "sobol"), "complete", score))
    assert write([replace(source, study=study)], ["none"], tmp_path / "page.html", refresh=1) < 5_000_000


@pytest.mark.slow
def test_thousand_trials_take_at_most_five_seconds(tmp_path: Path) -> None:
    """Of processor time, with the parameters of the built-in space and a front of about a hundred networks."""
    space = cnn.space()
    rng = np.random.default_rng(0)
    study = Study(("error", "model_size", "working_memory", "latency"))
    for number in range(1000):
        parameters = space.sample(rng)
        size = float(parameters["b1_l1_filters"]) * 100 * (0.5 + rng.random())
        score = {"error": min(0.9, 5 / size**0.5), "model_size": size, "working_memory": rng.random() * size}
        trial = Trial(Candidate(number, parameters, 5, "sobol"), "complete", {**score, "latency": 1.0})
        study.add(trial)
    started = time.process_time()
    write([Source("large", study, tmp_path, {"DEVICE.device": "rp2040"})], ["none"], tmp_path / "page.html")
    assert time.process_time() - started < 5


def test_missing_plotly_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    plotly.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(InputError, match=r"pip install 'sparsemod\[report\]'"):
        plotly()


def test_file_that_cannot_be_written_is_named(source: Source, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lost/page\.html cannot be written: No such file"):
        write([source], ["none"], tmp_path / "lost" / "page.html")
