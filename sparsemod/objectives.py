"""Names and units of the figures that a search minimises."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

OBJECTIVES = ("error", "model_size", "working_memory", "latency")
"""The built-in objectives, in the order in which `objectives = 1..4` counts them."""

NAMES = (*OBJECTIVES, "energy")
"""Every figure that may be named as an objective; there is an energy where the power of the device is known."""

UNITS: Mapping[str, str] = MappingProxyType(
    {"model_size": "bytes", "working_memory": "bytes", "latency": "ms", "energy": "mJ"}
)
"""Physical units; every other figure is a plain number."""


def column(name: str) -> str:
    """A figure's name with its unit, as in CSV and JSON files."""
    return f"{name}_{UNITS[name].lower()}" if name in UNITS else name


def quantity(name: str, value: float) -> str:
    """A figure with its unit, for people: `1,536 bytes`, `2.61 ms`, `0.13 mJ`, `0.0242`."""
    match UNITS.get(name):
        case "bytes":
            return f"{value:,.0f} bytes"
        case None:
            return f"{value:.4g}"
        case unit:
            return f"{value:.4g} {unit}"


def is_number(value: Any) -> bool:
    """Whether a figure is one number, be it of Python, numpy or torch; a text is none."""
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # the last: a tensor of several values
        return False
    return not isinstance(value, str | bytes)
