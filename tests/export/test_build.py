"""What a check says, and what is read out of the tools' words."""

import sys

import pytest

from sparsemod.errors import SparsemodError
from sparsemod.export import Check
from sparsemod.export.build import memory, printed, run


@pytest.mark.parametrize(
    ("check", "verdict", "ok"),
    [
        (Check("arena", 8, 8), "same", True),
        (Check("arena", 8, 7), "DIFFERENT", False),
        (Check("arena", 8, 0), "DIFFERENT", False),
        (Check("RAM", None, 8, limit=8), "fits", True),
        (Check("RAM", None, 9, limit=8), "TOO LARGE", False),
        (Check("instructions", None, 9), "", True),
        (Check("", None, None, note="no emulator"), "", True),
    ],
)
def test_a_check_is_wrong_if_it_differs_or_is_too_large(check: Check, verdict: str, ok: bool) -> None:
    assert (check.verdict, check.ok) == (verdict, ok)


def test_memory_is_that_of_named_objects() -> None:
    listing = (
        "00000000 00000010 b arena\n"
        "00000004 00000004 D counter\n"
        "00000000 00000003 R net_fc_weight\n"
        "00000008 00000005 r __pretty_function__\n"
        "00000000 00000020 T net_invoke\n"
        "         U memset\n"
    )
    assert memory(listing) == (16 + 4, 3)


def test_a_printed_figure_is_read_by_what_follows_it() -> None:
    output = "500 ticks\n124 bytes of stack\n7 of 8 vectors identical\n"
    assert printed(output, "ticks") == 500
    assert printed(output, r"of \d+ vectors identical") == 7
    with pytest.raises(SparsemodError, match="did not run to its end; it printed:\n500 ticks"):
        printed(output, "cycles")


def test_a_failed_command_shows_its_words_wherever_it_wrote_them() -> None:
    with pytest.raises(SparsemodError, match=r"failed \(exit code 3\):\nto standard output"):
        run([sys.executable, "-c", "print('to standard output'); raise SystemExit(3)"])
    with pytest.raises(SparsemodError, match=r"failed \(exit code 1\):\nto standard error"):
        run([sys.executable, "-c", "raise SystemExit('to standard error')"], accepted=(0, 1))


def test_a_command_that_does_not_end_is_an_error() -> None:
    with pytest.raises(SparsemodError, match="did not end within 0 seconds"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.1)
