"""The page in a real browser: it draws, obeys mouse and keyboard, complains about nothing and asks nobody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from problems.browser import CHROMIUM, Tab, browser

from sparsemod.report import Source, load_validation, write
from sparsemod.study import Candidate, Study, Trial
from sparsemod.tested import Tested

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]

NASTY = '<img src="x" onerror="window.harmed = true">'
DRAWN = "[...document.querySelectorAll('.plot')].filter((plot) => plot.data && plot.data.length).map((plot) => plot.id)"
OF_ONE = [
    *("front-plot", "parallel-plot", "importance-plot", "growth-trials", "growth-time", "curve-plot", "memory-plot"),
    *("bytes-plot", "confusion-plot"),
]
ROWS = "document.querySelectorAll('#table tbody tr').length"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as tab:
        tab.ask("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        yield tab


@pytest.fixture(scope="module")
def made(trained: Source) -> Source:
    """The trained networks, and thirty trials of a formula around them with names that mean harm."""
    study = trained.study.copy()
    for number in range(5, 35):
        parameters = {"width": number, "kind": "wide" if number % 2 else NASTY}
        score = {"error": 0.9 - number / 50, "model_size": 100.0 * number, "working_memory": 900.0, "latency": 1.0}
        study.add(Trial(Candidate(number, parameters, 5, "bayes"), "complete", score, elapsed=10.0 + number))
    study.add(Trial(Candidate(35, {}, 5, "bayes"), "failed", reason=f"ValueError: {NASTY}", elapsed=50.0))
    best = study.pareto_front()[0].number
    tests = [
        Tested(best, None, None, 5, error=0.25, recalls=(0.5, 1.0, 0.75)),
        Tested(best, 1, None, 5, error=0.25, recalls=(0.75, 1.0, 0.5)),
        Tested(best, 2, None, 5, error=0.75, recalls=(0.25, 0.0, 0.5)),
        Tested(30, None, None, 5, error=0.5, recalls=(0.5, 0.5, 0.5)),
    ]
    return replace(trained, name=NASTY, study=study, tests=tests)


@pytest.fixture(scope="module")
def page(made: Source, networks_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "report.html"
    write([made], [load_validation(networks_folder)], path)
    return path


@pytest.fixture(autouse=True)
def nothing_went_wrong(tab: Tab) -> Iterator[None]:
    tab.problems.clear()
    tab.requests.clear()
    tab.resize(1280)
    yield
    assert tab.problems == []
    assert [address for address in tab.requests if not address.startswith(("file:", "data:", "about:"))] == []


def opened(tab: Tab, page: Path, fragment: str = "") -> None:
    tab.ask("Page.navigate", url="about:blank")  # else only the fragment would change
    tab.open(page, fragment)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_plot_draws_and_the_page_is_as_wide_as_the_window(tab: Tab, page: Path, width: int, dark: bool) -> None:
    tab.resize(width, dark=dark)
    opened(tab, page)
    assert tab.run(DRAWN) == OF_ONE
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("document.querySelectorAll('#front-plot .scatterlayer .point').length") >= 35


def test_names_that_hold_markup_are_text(tab: Tab, page: Path) -> None:
    opened(tab, page)
    assert tab.run("document.getElementById('name').textContent") == NASTY
    assert tab.run("document.getElementById('reasons-table').textContent.includes('onerror')")
    assert tab.run("window.harmed") is None


def test_every_plot_names_its_axes_with_units(tab: Tab, page: Path) -> None:
    opened(tab, page)
    titles = "['x', 'y'].map((axis) => document.getElementById('front-plot')._fullLayout[axis + 'axis'].title.text)"
    assert tab.run(titles) == ["model size (bytes)", "validation error (share)"]
    assert "validation errors" in tab.run("document.getElementById('kind-of-error').textContent")
    assert "2 networks were measured on the test" in tab.run("document.getElementById('kind-of-error').textContent")


def test_figures_on_the_test_set_are_told_apart_from_those_of_the_search(tab: Tab, page: Path) -> None:
    opened(tab, page)
    rows = "[...document.querySelectorAll('#test-table tbody tr')]"
    cells = f"{rows}.map((row) => [...row.cells].map((cell) => cell.innerText))"
    first, second = tab.run(cells)
    assert first[1:4] == ["75.00", "50.00 ± 35.36", "2 seeds"]
    assert first[5:] == ["50.00 (class 0)", "50.00", "50.00", "50.00"]
    assert second[1:4] == ["50.00", "", "no"]
    titles = tab.run("[...document.querySelectorAll('#test-table th')].map((cell) => cell.innerText)")
    assert all("test" in title or "validation" in title or title in ("network", "trained again") for title in titles)
    told = tab.run("document.querySelector('#network-page p').textContent")
    assert "Test accuracy of the integer network: 75.00 %" in told
    assert "Mean test accuracy after it was trained again: 50.00 %" in told
    assert "Validation accuracy before quantization" in told


def test_learning_curve_has_axes_with_units(tab: Tab, page: Path) -> None:
    opened(tab, page)
    titles = "['x', 'y'].map((axis) => document.getElementById('curve-plot')._fullLayout[axis + 'axis'].title.text)"
    assert tab.run(titles) == ["epochs, those of its ancestors counted", "validation error (share)"]


def test_caption_of_the_lines_says_which_completed_trials_have_none(tab: Tab, made: Source, tmp_path: Path) -> None:
    study, path = made.study.copy(), tmp_path / "report.html"
    parent = study.pareto_front()[0]
    child = Candidate(36, parent.candidate.parameters, 5, "finish", parent.number)
    study.add(Trial(child, "complete", dict(parent.score)))
    write([replace(made, study=study)], ["none"], path)
    opened(tab, path)
    count = len(study.completed())
    expected = f"{count - 1} lines; 1 other completed trials were trained on later and have no line of their own."
    assert expected in tab.run("document.getElementById('parallel-note').textContent")


def test_brush_along_an_axis_filters_the_table(tab: Tab, page: Path) -> None:
    opened(tab, page)
    tab.run("document.getElementById('parallel-plot').scrollIntoView()")
    box = tab.run(
        "(() => { const box = document.querySelector('#parallel-plot .axis-brush').getBoundingClientRect();"
        " return [box.left + box.width / 2, box.top, box.height]; })()"
    )
    middle, top, height = box
    before = tab.run(ROWS)
    tab.drag((middle, top + 0.6 * height), (middle, top + 0.95 * height))
    tab.wait("document.getElementById('table-count').textContent.includes('inside the brushes')")
    low, high = tab.run("document.getElementById('parallel-plot').data[0].dimensions[0].constraintrange")
    axis = tab.run("document.getElementById('parallel-plot').data[0].dimensions[0].values")
    inside = sum(low <= value <= high for value in axis)
    assert tab.run(ROWS) == inside and 0 < inside < before
    tab.run("document.getElementById('clear-brushes').click()")
    assert tab.run(ROWS) == before


def test_table_is_sorted_by_its_headers_and_filtered_by_comparisons(tab: Tab, page: Path) -> None:
    opened(tab, page)
    tab.run("document.getElementById('sort-error').click()")
    cells = "[...document.querySelectorAll('#table tbody tr')].map((row) => Number(row.cells[4].textContent))"
    errors = tab.run(cells)[:35]  # a failed trial, which has none, comes last
    assert errors == sorted(errors)
    assert tab.run("document.querySelector('#table th:nth-child(5)').getAttribute('aria-sort')") == "ascending"
    assert tab.run("document.activeElement.id") == "sort-error"
    tab.run("document.activeElement.click()")
    assert tab.run(cells)[:35] == errors[::-1]
    tab.run("(() => { const box = document.getElementById('filter'); box.value = 'model_size>=3000 bayes';"
            " box.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert tab.run(ROWS) == 5  # 30 to 34
    assert "filter=model_size" in tab.run("location.hash")


def test_chosen_axes_stay_in_the_address_when_another_is_chosen(tab: Tab, page: Path) -> None:
    opened(tab, page, "#x=working_memory")
    axis = "document.getElementById('front-plot')._fullLayout.xaxis.title.text"
    assert tab.run(axis) == "working memory (bytes)"
    tab.run("(() => { const box = document.getElementById('choose-x'); box.value = 'latency';"
            " box.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert tab.run("location.hash") == "#x=latency"
    assert tab.run(axis) == "latency (ms)"


def test_chosen_axes_survive_when_the_page_renews_itself(tab: Tab, made: Source, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write([made], ["none"], path, refresh=20)
    opened(tab, path, "#x=latency")
    first = tab.run("performance.timeOrigin")
    tab.wait(f"performance.timeOrigin !== {first} && document.documentElement.dataset.drawn === 'yes'")
    assert tab.run("location.hash") == "#x=latency"
    assert tab.run("document.getElementById('choose-x').value") == "latency"
    assert not tab.run("document.getElementById('running').hidden")


def test_link_of_a_choice_shows_its_network(tab: Tab, page: Path) -> None:
    opened(tab, page)
    number = tab.run("study().networks.pages.at(-1).number")
    tab.run(f"openNetwork({number})")
    assert tab.run("document.getElementById('choose-network').value") == str(number)
    assert tab.run("location.hash") == f"#network={number}"


def test_everything_that_can_be_used_has_a_name_and_is_reached_by_keyboard(tab: Tab, page: Path) -> None:
    opened(tab, page)
    nameless = (
        "[...document.querySelectorAll('select, input')].filter((each) => !each.labels.length).length"
        " + [...document.querySelectorAll('button')]"
        ".filter((each) => !each.textContent.trim() && !each.getAttribute('aria-label')).length"
    )
    assert tab.run(nameless) == 0
    assert tab.run("document.querySelectorAll('button, select, input').length") > 20
    assert tab.run("[...document.querySelectorAll('button, select, input')].every((each) => each.tabIndex === 0)")


def test_several_studies_are_compared_and_each_can_be_looked_at(
    tab: Tab, made: Source, trained: Source, tmp_path: Path
) -> None:
    path = tmp_path / "comparison.html"
    write([made, replace(trained, name="trained")], ["none", "none"], path)
    opened(tab, path)
    assert {"compare-front", "compare-growth", "front-plot"} <= set(tab.run(DRAWN))
    assert tab.run("document.querySelectorAll('#compare-table tbody tr').length") == 2
    tab.run("(() => { const box = document.getElementById('study'); box.value = '1';"
            " box.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert tab.run(ROWS) == 5


def test_study_without_trials_says_so(tab: Tab, made: Source, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write([replace(made, study=Study(("error", "model_size")))], ["none"], path)
    opened(tab, path)
    assert tab.run("document.getElementById('picks').textContent") == "This study has no trials yet."
    assert tab.run(DRAWN) == []


def test_browser_that_cannot_unpack_the_plots_says_so(tab: Tab, page: Path) -> None:
    script = tab.ask("Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream")
    opened(tab, page)
    tab.ask("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    text = tab.run("document.getElementById('failure').textContent")
    assert "lacks DecompressionStream" in text and "Firefox from 113" in text
    assert "most accurate that fits" in tab.run("document.getElementById('picks').textContent")
    tab.problems.clear()  # that it failed stands in the console, too
