"""A folder of exported files with a manifest: written as a whole or not at all, and known again when it was changed."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sparsemod import __version__
from sparsemod.device import Device
from sparsemod.errors import InputError

MANIFEST = "manifest.json"
_FORMAT = 1


def write(folder: Path, files: Mapping[str, str], facts: Mapping[str, int], device: Device | None = None) -> None:
    """Writes a new folder.

    Args:
        folder: Must not exist.
        files: Text by name, which may begin with folders.
        facts: What is predicted of the files, kept in the manifest.
        device: What the files are for, kept in the manifest too.

    Raises:
        InputError: The folder exists or cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} exists, and an export never overwrites; choose another folder, or delete it")
    sums = {name: _sha256(text.encode()) for name, text in files.items()}
    manifest = {"format": _FORMAT, "sparsemod": __version__, **facts, "sha256": sums}
    if device is not None:
        manifest["device"] = asdict(device)
    folder = folder.absolute()
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        scratch.mkdir(parents=True)
        for name, text in {**files, MANIFEST: json.dumps(manifest, indent=2) + "\n"}.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(text.encode())
        scratch.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Writes a new file.

    Raises:
        InputError: It exists or cannot be written.
    """
    require_new(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def require_new(path: Path) -> None:
    """Before the work is done that a file needs.

    Raises:
        InputError: There is a file already.
    """
    if path.exists():
        raise InputError(f"{path} exists, and an export never overwrites; choose another file, or delete it")


def read(folder: Path) -> dict[str, int]:
    """The facts of a folder whose files are as they were written.

    Raises:
        InputError: It holds no export, or a file was changed or is missing.
    """
    path = folder / MANIFEST
    if folder.is_file():
        raise InputError(
            f"{folder} is a file, and folders of C are verified; other files were compared when they were exported"
        )
    if not path.is_file():
        raise InputError(f"{folder} holds no export (no {MANIFEST}); `sparsemod export` makes one")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        written, sums = manifest.pop("format"), manifest.pop("sha256")
        facts = {name: int(value) for name, value in manifest.items() if name not in ("sparsemod", "device")}
        differences = [f"{name} {how}" for name, expected in sums.items() if (how := _changed(folder / name, expected))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is damaged; export the network again") from None
    if written != _FORMAT:
        raise InputError(f"{folder} was written by another version of sparsemod (format {written})")
    if differences:
        raise InputError(
            f"{folder} is not as it was exported: {', '.join(differences)}. Export the network again; `make test` "
            "in the folder compares changed code with the recorded vectors"
        )
    return facts


def sources(folder: Path) -> list[str]:
    """What is to be compiled: net.c, and frontend.c if there is one."""
    return [str(path) for path in (folder / "net.c", folder / "frontend.c") if path.is_file()]


def device(folder: Path) -> Device | None:
    """What the files of a folder are for; None if that was not known.

    Raises:
        InputError: The manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("device")
        return None if found is None else Device(**found)
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{path} is damaged; export the network again") from None


def _changed(path: Path, expected: str) -> str:
    """How a file differs from what was written; nothing if it does not."""
    if not path.is_file():
        return "is missing"
    return "" if _sha256(path.read_bytes()) == expected else "was changed"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
