"""What each command of the command line does; each takes the parsed options and gives the exit code."""

from sparsemod.commands.configuration import check, config_show, devices, init
from sparsemod.commands.network import export, score, verify
from sparsemod.commands.study import pareto, report, search, test

__all__ = [
    "check",
    "config_show",
    "devices",
    "export",
    "init",
    "pareto",
    "report",
    "score",
    "search",
    "test",
    "verify",
]
