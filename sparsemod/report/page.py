"""From plain data to one HTML file: template, style, scripts, Plotly and data in one piece."""

import base64
import functools
import gzip
import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sparsemod import __version__
from sparsemod.errors import InputError
from sparsemod.report.comparison import comparison
from sparsemod.report.contents import contents
from sparsemod.report.source import Source
from sparsemod.report.validation import Validation

SCRIPTS = (
    "page.js",
    "axes.js",
    "front.js",
    "parallel.js",
    "progress.js",
    "table.js",
    "layers.js",
    "network.js",
    "test.js",
    "compare.js",
    "main.js",
)
"""In the order in which they stand in the page; each needs those before."""


def write(
    sources: Sequence[Source],
    validations: Sequence[Validation | str],
    out: Path,
    *,
    refresh: int = 0,
) -> int:
    """Writes the page of one study, or of several with their comparison.

    Args:
        sources: The studies.
        validations: The data of each, or why it is not there.
        out: The file; it is replaced as a whole.
        refresh: Seconds after which a browser loads the page again, while a search runs.

    Returns:
        Its bytes.

    Raises:
        InputError: Plotly is not installed, or the file cannot be written.
    """
    studies = [contents(*pair, quick=refresh > 0) for pair in zip(sources, validations, strict=True)]
    data: dict[str, Any] = {"studies": studies, "refresh": refresh}
    if len(sources) > 1:
        data["comparison"] = comparison(sources)
    text = page(" and ".join(source.name for source in sources), data, refresh).encode()
    scratch = out.with_name(out.name + ".tmp")
    try:
        scratch.write_bytes(text)
        scratch.replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    return len(text)


def page(name: str, data: dict[str, Any], refresh: int = 0) -> str:
    """The text of a page.

    Args:
        name: Of the study.
        data: What the scripts draw.
        refresh: Seconds after which a browser loads it again; 0: never.
    """
    parts = {
        "title": html.escape(f"{name} - sparsemod report"),
        # Scripts renew the page themselves: to an address with a # a browser only scrolls.
        "refresh": f'<noscript><meta http-equiv="refresh" content="{refresh}"></noscript>' if refresh else "",
        "version": html.escape(__version__),
        "style": _template("page.css"),
        "scripts": "\n".join(_template(script) for script in SCRIPTS),
        "data": _as_json(data),
        "plotly": plotly(),
    }
    text = _template("page.html")
    for key, part in parts.items():
        text = text.replace(f"<!--{key}-->", part, 1)
    return text


def _as_json(data: dict[str, Any]) -> str:
    """JSON that may stand in a script element: no text in it can end that element."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, default=list).replace("<", "\\u003c")


@functools.cache
def _template(name: str) -> str:
    return (resources.files("sparsemod.report") / "template" / name).read_text(encoding="utf-8")


@functools.cache
def plotly() -> str:
    """Plotly's script, gzip and base64: 2 MB instead of 5."""
    try:
        script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    except ModuleNotFoundError:
        raise InputError("a report needs plotly: pip install 'sparsemod[report]'") from None
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()
