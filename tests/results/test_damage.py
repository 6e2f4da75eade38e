"""Records that were cut off or damaged, and disks that are full."""

import errno
import os
from pathlib import Path

import pytest
from problems.records import TRIALS, assert_same, candidate, complete, opened

from sparsemod.errors import InputError, SparsemodError
from sparsemod.results import load

# --- killed at any byte ----------------------------------------------------------------------------------------------


def test_trial_that_is_half_written_is_run_again_wherever_it_was_cut(folder: Path) -> None:
    path = folder / "trials.jsonl"
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        record = opened(folder)
        assert tuple(record.study.trials) == TRIALS[:5]
        assert [waiting.number for waiting in record.study.pending] == [5, 6, 7]
        record.add(TRIALS[5])
        record.close()
        assert path.read_bytes() == content


def test_round_that_is_half_written_was_never_proposed_wherever_it_was_cut(folder: Path) -> None:
    path = folder / "proposals.jsonl"
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        record = opened(folder)
        assert tuple(record.study.trials) == TRIALS
        assert record.study.pending == []  # not one of the two: the sampler asks for a round at a time
        record.propose([candidate(6, parent=1), candidate(7)])
        record.close()
        assert path.read_bytes() == content


def test_half_a_line_is_not_read_while_the_search_is_still_writing_it(folder: Path) -> None:
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(b'{"number": 6, "par')
    assert tuple(load(folder).trials) == TRIALS


def test_damaged_line_is_named_even_far_down_the_record(folder: Path) -> None:
    path = folder / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (b'{"number": 0}, {"number": 1}\n', b"{\n", b"]\n"):
        path.write_bytes(b"".join([*lines, lines[0] * 1_200, damaged, *lines]))
        with pytest.raises(InputError, match=r"trials\.jsonl, line 1207 is damaged"):
            load(folder)


def test_record_that_was_cut_to_nothing_is_a_study_without_trials(folder: Path) -> None:
    (folder / "trials.jsonl").unlink()
    record = opened(folder)
    assert record.study.trials == []
    assert [waiting.number for waiting in record.study.pending] == list(range(8))
    record.close()


def test_study_killed_before_its_first_candidate_begins_again(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "study.json").unlink()
    opened(tmp_path).close()
    assert load(tmp_path).trials == []


@pytest.mark.parametrize("name", ["trials.jsonl", "proposals.jsonl"])
@pytest.mark.parametrize("damage", [b'{"number": 1, "parame', b"\xff\xfe", b"", b"7", b'{"round": 7, "number": 1}'])
def test_damaged_line_is_named(folder: Path, name: str, damage: bytes) -> None:
    lines = (folder / name).read_bytes().split(b"\n")
    lines[1] = damage
    (folder / name).write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=rf"{name}, line 2 is damaged: .*Restore it from a copy, or delete the line"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "objec'])
def test_damaged_header_is_named(folder: Path, content: bytes) -> None:
    (folder / "study.json").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.json is damaged; restore it from a copy"):
        load(folder)
    with pytest.raises(InputError, match=r"study\.json is damaged; restore it from a copy"):
        opened(folder)


# --- full disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_loses_no_trial(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    record = opened(folder)
    before = (folder / "trials.jsonl").read_bytes()

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(SparsemodError) as refusal:
            record.add(complete(6, 0.3, 300))
    assert not isinstance(refusal.value, InputError)
    assert str(refusal.value) == (
        f"the disk is full ({os.strerror(number)}) while writing to {folder}. The 6 trials recorded so far are safe: "
        "free some space and run the same command again to go on"
    )
    assert (folder / "trials.jsonl").read_bytes() == before
    record.add(complete(6, 0.3, 300))
    assert len(load(folder).trials) == 7
    record.close()


def test_round_that_found_the_disk_full_was_not_proposed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = opened(folder)

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(SparsemodError, match="disk is full"):
            record.propose([candidate(8), candidate(9)])
    assert_same(record.study, load(folder))
    record.close()


def test_other_errors_of_the_disk_keep_their_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = opened(folder)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            record.add(complete(6, 0.3, 300))
    record.close()
