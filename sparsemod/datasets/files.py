"""Where the files of data sets are, and what is in them: found below DATA_PATH, packed (.gz, .xz) or not."""

import gzip
import hashlib
import io
import logging
import lzma
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sparsemod.errors import InputError

_LOGGER = logging.getLogger(__name__)

CUT_OFF = "the download was cut off; fetch it again"
_SET_DATA_PATH = (
    "set DATA_PATH to the folder of the data: an environment variable, or a line DATA_PATH=/path/to/folder in a file "
    ".env in the current folder"
)


def find(
    name: str, folder: str | Path | None, places: Sequence[str], patterns: Sequence[str], source: str
) -> list[list[Path]]:
    """Files of a data set, at least one for each pattern, all from one of the places in the folder."""
    root = data_path() if folder is None else Path(folder).expanduser()
    found = max(
        ([_files(root / place, pattern) for pattern in patterns] for place in places),
        key=lambda files: sum(map(bool, files)),
    )
    missing = [pattern for pattern, files in zip(patterns, found, strict=True) if not files]
    if missing:
        raise InputError(
            f"{name} is not in {root}, nor in its folders {' and '.join(filter(None, places))}\n"
            f"  Missing, plain or packed (.gz, .xz): {', '.join(missing)}\n"
            f"  The official files come from {source}\n"
            f"  Then {_SET_DATA_PATH}"
        )
    return found


def _files(folder: Path, pattern: str) -> list[Path]:
    """Files that match a pattern, by name; a packed file only if it is not there unpacked too."""
    found: dict[str, Path] = {}
    for packing in ("", ".gz", ".xz"):
        for path in folder.glob(pattern + packing):
            found.setdefault(path.name.removesuffix(packing), path)
    return [found[name] for name in sorted(found)]


def data_path() -> Path:
    """The folder that DATA_PATH names, in the environment or in the file .env of the current folder."""
    from dotenv import dotenv_values

    value = os.environ.get("DATA_PATH") or dotenv_values(".env").get("DATA_PATH")
    if not value:
        raise InputError(f"no data folder is given: {_SET_DATA_PATH}")
    return Path(value).expanduser()


def unpacked(path: Path) -> tuple[bytearray, bool]:
    """The content of a file, as far as it goes, and whether its packing is complete."""
    content = bytearray()
    try:
        with _open(path) as file:
            while chunk := file.read1(1 << 20):
                content += chunk
    except EOFError:
        return content, False
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return content, True


def _open(path: Path) -> gzip.GzipFile | lzma.LZMAFile | io.BufferedReader:
    if path.suffix == ".gz":
        return gzip.GzipFile(path)
    return lzma.LZMAFile(path) if path.suffix == ".xz" else path.open("rb")


def warn_if_unofficial(path: Path, content: bytearray, name: str, published: Mapping[str, str]) -> None:
    """Says so if a file has the name of a published one, but not its content: Fashion-MNIST borrows MNIST's names."""
    official = published.get(path.name.removesuffix(".gz").removesuffix(".xz"))
    if official and (md5 := hashlib.md5(content, usedforsecurity=False).hexdigest()) != official:
        _LOGGER.warning("%s is not the official %s file (md5 %s)", path, name, md5)


def grouped(number: int) -> str:
    """A number for people: 1 234 567."""
    return f"{number:_}".replace("_", " ")


def arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an .npz file by name.

    Raises:
        InputError: The file is damaged, or lacks one of them.
    """
    try:
        with np.load(path) as file:
            missing = [name for name in names if name not in file]
            if not missing:
                return [file[name] for name in names]
            found = ", ".join(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}; fetch it again") from error
    raise InputError(f"{path} lacks {', '.join(missing)}; it holds {found or 'nothing'}")
