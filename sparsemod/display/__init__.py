"""What people see in a terminal: a running search, a running test, tables of results.

`running` shows a search, `front` what it has found; `held_out` shows a test and what it has found; `network` is about
one network. `columns` is what they say alike.
"""

from sparsemod.display.columns import console
from sparsemod.display.front import empty_front_line, front_plot, front_table, pick_lines, reference_line
from sparsemod.display.held_out import TEST_NOTE, test_table, watching_test
from sparsemod.display.network import check_table, comparison_table, device_table, layer_table, total_lines
from sparsemod.display.running import watching

__all__ = [
    "TEST_NOTE",
    "check_table",
    "comparison_table",
    "console",
    "device_table",
    "empty_front_line",
    "front_plot",
    "front_table",
    "layer_table",
    "pick_lines",
    "reference_line",
    "test_table",
    "total_lines",
    "watching",
    "watching_test",
]
