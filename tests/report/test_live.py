from pathlib import Path

from problems.searches import searched

from sparsemod.loop import Progress
from sparsemod.report import Live
from sparsemod.study import Study

PROGRESS = Progress(Study(("error",)), (), 0, 0.0)


def test_page_is_written_while_a_search_runs(tmp_path: Path) -> None:
    live = Live(tmp_path / "study")
    searched(tmp_path, live, r1=2, r2=0, r3=0)
    assert live.failure == ""
    text = live.path.read_text(encoding="utf-8")
    assert 'http-equiv="refresh" content="10"' in text


def test_page_waits_for_its_time(tmp_path: Path) -> None:
    searched(tmp_path, r1=2, r2=0, r3=0)
    live = Live(tmp_path / "study")
    live(PROGRESS)
    before = live.path.stat().st_mtime_ns
    live(PROGRESS)
    assert live.path.stat().st_mtime_ns == before


def test_page_that_took_long_is_followed_by_a_pause_fifty_times_as_long(tmp_path: Path) -> None:
    searched(tmp_path, r1=2, r2=0, r3=0)
    live = Live(tmp_path / "study", every=0.0)
    live(PROGRESS)
    before = live.path.stat().st_mtime_ns
    live(PROGRESS)  # a page takes a millisecond at least
    assert live.path.stat().st_mtime_ns == before


def test_page_that_cannot_be_written_does_not_stop_the_search(tmp_path: Path) -> None:
    searched(tmp_path, r1=2, r2=0, r3=0)
    live = Live(tmp_path / "study")
    live.path.mkdir()
    live(PROGRESS)
    assert "report.html cannot be written" in live.failure
