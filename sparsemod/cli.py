"""The command line: parse, call, print.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted (a search can be resumed).
"""

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparsemod import __version__
from sparsemod.errors import InputError, SparsemodError

if TYPE_CHECKING:
    from sparsemod.config import Config
    from sparsemod.study import Study, Trial

_DESCRIPTION = """\
Find neural networks that fit a microcontroller.

  sparsemod init my_search --kind digits    write a runnable example to start from
  sparsemod check my_search/config.cfg      find mistakes in seconds, before hours are spent
  sparsemod search my_search/config.cfg     search; run it again to go on where it stopped
  sparsemod pareto results/digits           look at what was found and pick a network
  sparsemod export results/digits 12 --out net    write network 12 as C, and prove that it computes the same
"""

_EXIT_CODES = "exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted (run the same command to go on)"

_KINDS = ("digits", "mnist", "cifar10", "custom")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    try:
        code: int = options.run(options)
        return code
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SparsemodError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "sparsemod", description=_DESCRIPTION, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"sparsemod {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="write a runnable example", description="Writes config.cfg and problem.py.")
    init.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to (default: here)")
    init.add_argument("--kind", choices=_KINDS, default="digits", help="digits needs no download (default)")
    init.set_defaults(run=_init)

    check = commands.add_parser(
        "check",
        help="find mistakes in a configuration and its problem, in seconds",
        description="Builds random members of the search space, tries every morphism, checks the data, and scores a "
        "few networks on a handful of samples. Names every fault it finds.",
    )
    _add_configuration(check)
    check.set_defaults(run=_check)

    search = commands.add_parser(
        "search",
        help="run a search, or go on with one",
        description="Searches as the configuration says and writes <root>/<name>/. A search that was interrupted goes "
        "on where it stopped when it is started again.",
        epilog=_EXIT_CODES,
    )
    _add_configuration(search)
    search.add_argument("--debug", action="store_true", help="explain each choice and show full tracebacks")
    search.set_defaults(run=_search)

    pareto = commands.add_parser(
        "pareto",
        help="show the front of a study and pick a network",
        description="Prints the networks that no other network beats in everything. Limits narrow the choice: "
        "sparsemod pareto results/digits --max-model-size 8KB --max-latency 10ms --best error",
    )
    pareto.add_argument("study", type=Path, help="folder of the study, such as results/digits")
    pareto.add_argument("--max-error", metavar="SHARE", help="such as 0.02")
    pareto.add_argument("--max-model-size", metavar="SIZE", help="such as 8KB or 8KiB")
    pareto.add_argument("--max-working-memory", metavar="SIZE", help="such as 2KB")
    pareto.add_argument("--max-latency", metavar="TIME", help="such as 20ms")
    pareto.add_argument("--best", metavar="OBJECTIVE", help="only the best in this objective, such as error")
    pareto.add_argument("--json", action="store_true", help="for programs: the front with all parameters")
    pareto.set_defaults(run=_pareto)

    export = commands.add_parser(
        "export",
        help="write a network of a study as code for a device",
        description="Writes the integer network of a trial into a new folder and verifies it.",
    )
    export.add_argument("study", type=Path, help="folder of the study, such as results/digits")
    export.add_argument("number", type=int, help="of a trial on the front; `sparsemod pareto` lists them")
    export.add_argument("--to", choices=("c",), default="c", help="what to write (default: self-contained C99)")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder; nothing is overwritten")
    export.set_defaults(run=_export)

    verify = commands.add_parser(
        "verify",
        help="build exported code and compare it with the network",
        description="Compiles the code with the C compiler of this machine and, where arm-none-eabi-gcc and "
        "qemu-system-arm are installed, for emulated Cortex-M processors. Outputs must be those that were recorded, "
        "bit for bit, the bytes of RAM and flash those that were predicted, and the device must have them. Exit code 1 "
        "if anything differs or does not fit.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="as `sparsemod export` wrote it")
    verify.set_defaults(run=_verify)

    config = commands.add_parser("config", help="explain a configuration")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print every value and where it comes from")
    _add_configuration(show)
    show.set_defaults(run=_config_show)
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="configuration file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a value, such as TRAIN.r1=4"
    )


def _init(options: argparse.Namespace) -> int:
    source = Path(__file__).parent / "templates" / options.kind
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


def _check(options: argparse.Namespace) -> int:
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


def _search(options: argparse.Namespace) -> int:
    from sparsemod import config, display, loop, results

    settings = config.read(options.config, options.set)
    if not settings.default.train:
        return _test(settings)
    debug = options.debug or settings.train.debug
    if debug:
        logging.getLogger("sparsemod").setLevel(logging.DEBUG)
    folder = settings.study_folder()
    console = display.console()
    try:
        with display.watching(console, debug) as watch:
            study = loop.search(settings, watch=watch)
    except KeyboardInterrupt:
        print(f"\ninterrupted; every finished trial is in {folder}. To go on: sparsemod search {options.config}")
        return 130
    stops = results.stops(folder)
    console.print(f"\n{len(study.trials)} trials; {'; '.join(stops[-3:])}", highlight=False)
    console.print(display.front_table(study, study.pareto_front()))
    console.print(f"\nwritten to {folder}; pick a network with: sparsemod pareto {folder}", highlight=False)
    return 0


def _test(settings: "Config") -> int:
    """`[DEFAULT] train = false`: measures found networks on the test set."""
    from sparsemod import display, retrain

    print(f"training again on train + validation for {settings.test.epochs} epochs, then testing once")
    trials = retrain.test(settings)
    display.console().print(display.test_table(trials))
    print(f"\nwritten to {settings.test_folder() / 'test.csv'}")
    return 0 if all(trial.status == "complete" for trial in trials) else 1


def _pareto(options: argparse.Namespace) -> int:
    from sparsemod import display, results

    study = results.load(options.study)
    chosen = _chosen(study, options)
    if options.json:
        wanted = {trial.number for trial in chosen}
        front = results.front_as_json(study)
        front["front"] = [row for row in front["front"] if row["number"] in wanted]
        print(json.dumps(front, indent=2, default=list))
        return 0
    if not chosen:
        print(f"none of the {len(study.pareto_front())} networks on the front is within these limits")
        return 1
    display.console().print(display.front_table(study, chosen))
    return 0


def _chosen(study: "Study", options: argparse.Namespace) -> "list[Trial]":
    """The networks of the front within the given limits, or the best of them."""
    from sparsemod.config import quantities

    limits = quantities(
        error=options.max_error,
        model_size=options.max_model_size,
        working_memory=options.max_working_memory,
        latency=options.max_latency,
    )
    trials = [t for t in study.pareto_front() if all(t.score.get(name, 0) <= limit for name, limit in limits.items())]
    if options.best is None:
        return trials
    if options.best not in study.objectives:
        raise InputError(
            f"--best {options.best}: is not an objective of the study; known: {', '.join(study.objectives)}"
        )
    return sorted(trials, key=lambda trial: trial.score[options.best])[:1]


def _export(options: argparse.Namespace) -> int:
    from sparsemod import results
    from sparsemod.device import DEVICES
    from sparsemod.export import NoCompiler, export

    graph = results.load(options.study).load_model(options.number)
    device = DEVICES.get(results.recorded_settings(options.study).get("DEVICE.device", ""))
    export(graph, options.out, device=device)
    print(f"wrote {', '.join(sorted(path.name for path in options.out.iterdir()))} to {options.out}\n")
    try:
        return _verify(argparse.Namespace(folder=options.out))
    except NoCompiler as error:
        print(f"not verified: {error}; then: sparsemod verify {options.out}")
        return 0


def _verify(options: argparse.Namespace) -> int:
    from sparsemod import display
    from sparsemod.export import verify

    checks = verify(options.folder)
    display.console().print(display.check_table(checks))
    for check in checks:
        if check.note:
            print(f"{check.place}: {check.note}")
    if any(check.verdict == "DIFFERENT" for check in checks):
        print(f"the code differs from the network; `make -C {options.folder} test` names each output that does")
    return 0 if all(check.ok for check in checks) else 1


def _config_show(options: argparse.Namespace) -> int:
    from sparsemod import config

    section = ""
    for name, key, value, origin in config.read(options.config, options.set).items():
        if name != section:
            print(f"{'' if not section else chr(10)}[{name}]")
            section = name
        print(f"{key + ' = ' + value:<48} # {origin}")
    return 0
