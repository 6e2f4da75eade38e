"""Commands around a configuration: an example to begin with, its mistakes, its values, the devices it may name."""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

from sparsemod.errors import InputError


def init(options: argparse.Namespace) -> int:
    """Copies an example."""
    source = Path(__file__).parents[1] / "templates" / options.kind
    folder: Path = options.folder
    names = [path.name for path in sorted(source.iterdir()) if path.is_file()]
    existing = [name for name in names if (folder / name).exists()]
    if existing:
        raise InputError(
            f"{folder.resolve()} already has {', '.join(existing)}; nothing was written, choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, folder / name)
    print(f"wrote {', '.join(names)} to {folder}\nnext: sparsemod check {folder / 'config.cfg'}")
    return 0


def check(options: argparse.Namespace) -> int:
    """Names the mistakes of a configuration and its problem."""
    from sparsemod import config, testing
    from sparsemod.problem import load

    settings = config.read(options.config, options.set)
    print(f"configuration: {options.config} has no mistakes")
    problem = settings.problem.problem
    if isinstance(problem, str):
        problem = load(problem, settings.folder)
    faults = 0
    for what, found in testing.problem_checks(problem, settings):
        print(f"{'FAULT' if found else 'ok   '} {what}")
        for fault in found:
            print(f"        {fault}")
        faults += len(found)
    print(f"{faults} fault{'s' * (faults != 1)} found" if faults else "no faults found: ready to search")
    return 2 if faults else 0


def config_show(options: argparse.Namespace) -> int:
    """Prints every value of a configuration and where it comes from."""
    from sparsemod import config

    section = ""
    for name, key, value, origin in config.read(options.config, options.set).items():
        if name != section:
            print(f"{'' if not section else chr(10)}[{name}]")
            section = name
        print(f"{key + ' = ' + value:<48} # {origin}")
    return 0


def devices(options: argparse.Namespace) -> int:
    """Lists the known microcontrollers."""
    from sparsemod import display
    from sparsemod.device import DEVICES

    if options.json:
        print(json.dumps([dataclasses.asdict(device) for device in DEVICES.values()], indent=2))
        return 0
    display.console().print(display.device_table(DEVICES.values()))
    if options.sources:
        for device in DEVICES.values():
            print(f"\n{device.name}\n  cycles: {device.source}\n  power: {device.power_source or 'not known'}")
    return 0
