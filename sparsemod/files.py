"""Files that survive being killed at any byte: replaced as a whole or appended to line by line, by one process."""

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from sparsemod.errors import InputError


def write(path: Path, content: str | bytes) -> None:
    """Replaces a file as a whole, or not at all."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(scratch, path)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """A table with the columns that any of its rows has, in the order of their appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def open_for_append(path: Path) -> BinaryIO:
    """Opened to read and to append, without a buffer; made if it is not there."""
    return open(path, "a+b", buffering=0)


def cut_half_line(file: BinaryIO) -> None:
    """Cuts off a last line that a kill left half-written."""
    file.seek(0)
    content = file.read()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        file.truncate(complete)


def append(file: BinaryIO, data: bytes) -> None:
    """Appends all of it and waits until the disk has it; or leaves the file as it was."""
    start = file.seek(0, os.SEEK_END)
    try:
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(start)
        raise


def lock(file: BinaryIO, message: str) -> None:
    """Keeps other processes away until the file is closed.

    Raises:
        InputError: With this message, if another process has it.
    """
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(message) from None
