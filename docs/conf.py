"""Builds the pages of this folder: sphinx-build -W docs docs/_build (pip install 'sparsemod[docs]')."""

import re
from dataclasses import fields
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import sparsemod
from sparsemod.config import SECTIONS
from sparsemod.config.values import text
from sparsemod.device import DEVICES

project = "sparsemod"
release = version = sparsemod.__version__
html_title = f"sparsemod {release}"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True}


class ConfigurationKeys(SphinxDirective):
    """Every key of a section of the configuration: name, default and help, as the code has them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One entry per key."""
        section = SECTIONS[self.arguments[0]]
        lines = []
        for key in fields(section):
            value = text(getattr(section(), key.name))
            lines += [f"`{key.name} = {value}`".replace(" = `", " =`"), f": {key.metadata['help']}{_rules(key)}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def _rules(key: Any) -> str:
    """What its value may be."""
    rules = key.metadata
    bounds = [
        f"{word} {rules[name]:g}"
        for name, word in (("at_least", "at least"), ("above", "above"), ("at_most", "at most"))
        if name in rules
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


class Devices(SphinxDirective):
    """The table of presets."""

    def run(self) -> list[nodes.Node]:
        """One row per device."""
        lines = ["| name | core | clock, MHz | flash | RAM | cycles |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| `{device.name}` | {device.core} | {device.clock_hz / 1e6:g} | {device.flash_bytes:,} | "
            f"{device.ram_bytes:,} | {device.basis} |"
            for device in DEVICES.values()
        ]
        return self.parse_text_to_nodes("\n".join(lines))


def as_restructured_text(app: Sphinx, what: str, name: str, object: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for people: `code` in single ticks, shapes such as (N, *input shape), papers as a list."""
    text, inside, reference = [], False, False
    for line in lines:
        if line.startswith("    ") and text and not text[-1] and not inside and _is_example(text):
            text += ["::", ""]
        reference = bool(re.match(r"\[[\w-]+\] ", line)) or (reference and line.startswith("    "))
        if line.strip().startswith("```"):
            inside = not inside
            text += ["::", ""] if inside else [""]
        elif inside:
            text.append(f"    {line}")
        elif reference:
            text.append(f"  {line.strip()}" if line.startswith(" ") else f"- {line}")
        else:
            parts = re.split(r"`([^`]*)`", line)
            parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
            parts[1::2] = [rf"``{code}``\ " for code in parts[1::2]]
            text.append("".join(parts))
    lines[:] = text


def _is_example(before: list[str]) -> bool:
    """Whether what is indented now, after a paragraph, is code or a table as it stands."""
    paragraph = next((line for line in reversed(before) if line), "")
    return paragraph != "" and not paragraph.startswith(" ") and not re.fullmatch(r"\w+:", paragraph)


def setup(app: Sphinx) -> None:
    """Makes the two directives known."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    app.add_directive("configuration-keys", ConfigurationKeys)
    app.add_directive("devices", Devices)
