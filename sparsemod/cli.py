"""The command line: parse, call, print.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted (a search can be resumed).
"""

import argparse
import dataclasses
import json
import logging
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparsemod import __version__
from sparsemod.errors import InputError, SparsemodError

if TYPE_CHECKING:
    from sparsemod.config import Config
    from sparsemod.device import Device
    from sparsemod.graph import Graph
    from sparsemod.study import Study, Trial

_DESCRIPTION = """\
Find neural networks that fit a microcontroller.

  sparsemod init my_search --kind digits    write a runnable example to start from
  sparsemod check my_search/config.cfg      find mistakes in seconds, before hours are spent
  sparsemod search my_search/config.cfg     search; run it again to go on where it stopped
  sparsemod pareto results/digits           look at what was found and pick a network
  sparsemod export results/digits 12 --out net    write network 12 as C, and prove that it computes the same
  sparsemod export results/digits 12 --to onnx --out net.onnx    the same as ONNX
  sparsemod score net.py:Net --input 1x28x28      what each layer of a network of yours costs
  sparsemod devices                         the microcontrollers that are known
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
    pareto.add_argument("--max-energy", metavar="ENERGY", help="such as 0.5mJ")
    pareto.add_argument("--best", metavar="OBJECTIVE", help="only the best in this objective, such as error")
    pareto.add_argument("--json", action="store_true", help="for programs: the front with all parameters")
    pareto.set_defaults(run=_pareto)

    export = commands.add_parser(
        "export",
        help="write a network of a study as code for a device",
        description="Writes the network of a trial that was scored, and verifies it. "
        "c: a new folder of C99 that needs no library, built and compared bit for bit. "
        "onnx: a new file for importers of other tools (pip install 'sparsemod[export]'); ONNX Runtime computes each "
        "layer, which may be one int8 step off where ONNX rounds halves differently. Exit code 1 if more differs. "
        "tflite: a new file for LiteRT and TensorFlow Lite Micro (pip install 'sparsemod[litert]'). "
        "pte: a new file for ExecuTorch (pip install 'sparsemod[executorch]'). "
        "These two are run first, and written if they find the same class for 95 % of 64 inputs.",
    )
    export.add_argument("study", type=Path, help="folder of the study, such as results/digits")
    export.add_argument("number", type=int, help="of a trial on the front; `sparsemod pareto` lists them")
    export.add_argument(
        "--to", choices=("c", "onnx", "tflite", "pte"), default="c", help="what to write (default: C99)"
    )
    export.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a new folder of C, or file; nothing is overwritten"
    )
    export.add_argument("--device", metavar="NAME", help="that C must fit (default: of the study)")
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

    score = commands.add_parser(
        "score",
        help="show what each layer of a network costs, from a search or not",
        description="Prints one row per layer and the totals. A network that came from no search is an nn.Module: "
        "sparsemod score net.py:Net --input 1x28x28; or a float ONNX file: sparsemod score net.onnx "
        "(pip install 'sparsemod[export]'). It is costed as int8 without being quantized, and weights that are zero "
        "count as pruned. A network of a study is the one that was scored: sparsemod score results/digits 12.",
    )
    score.add_argument("model", help="module:name or file.py:name of an nn.Module, an ONNX file, or a study's folder")
    score.add_argument("number", nargs="?", type=int, help="of a trial of the study")
    score.add_argument("--input", metavar="SHAPE", help="of one sample of a module, channels first, such as 1x28x28")
    score.add_argument("--device", help="preset or file.py:name (default: arduino-uno, or that of the study)")
    score.add_argument(
        "--scheme", choices=("post", "dynamic", "both", "none"), default="post", help="of a module (default: post)"
    )
    score.add_argument("--json", action="store_true", help="for programs")
    score.set_defaults(run=_score)

    devices = commands.add_parser(
        "devices",
        help="list the microcontrollers that are known",
        description="Lists the presets for [DEVICE] device. Their cycles per MAC are measured on this very part, on "
        "another part with the same core, or an estimate. A device of your own is a sparsemod.Device in a file: "
        "[DEVICE] device = board.py:board",
    )
    devices.add_argument("-v", "--sources", action="store_true", help="where every figure comes from")
    devices.add_argument("--json", action="store_true", help="for programs: every figure and its source")
    devices.set_defaults(run=_devices)

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
        with _interrupts() as check, display.watching(console, debug) as draw:

            def watch(progress: loop.Progress) -> None:
                check()
                draw(progress)

            study = loop.search(settings, watch=watch)
    except KeyboardInterrupt:
        print(f"\ninterrupted; every finished trial is in {folder}. To go on: sparsemod search {options.config}")
        return 130
    stops = results.stops(folder)
    console.print(f"\n{len(study.trials)} trials; {'; '.join(stops[-3:])}", highlight=False)
    console.print(display.front_table(study, study.pareto_front()))
    console.print(f"\nwritten to {folder}; pick a network with: sparsemod pareto {folder}", highlight=False)
    return 0


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Yields what raises KeyboardInterrupt if Ctrl-C was pressed and had no effect.

    Python drops an exception that is raised in a destructor or a callback of a weak reference, an interrupt too.
    """
    pressed = threading.Event()

    def press(*_: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


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
        energy=options.max_energy,
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
    from sparsemod.config import find_device
    from sparsemod.export import NoCompiler, export

    graph = results.load(options.study).load_model(options.number)
    if options.to == "onnx":
        return _export_onnx(graph, options.out)
    if options.to in ("tflite", "pte"):
        return _export_and_run(graph, options.out, options.to)
    device = find_device(options.device or results.recorded_settings(options.study)["DEVICE.device"])
    export(graph, options.out, device=device)
    print(f"wrote {', '.join(sorted(path.name for path in options.out.iterdir()))} to {options.out}\n")
    try:
        return _verify(argparse.Namespace(folder=options.out))
    except NoCompiler as error:
        print(f"not verified: {error}; then: sparsemod verify {options.out}")
        return 0


def _export_onnx(graph: "Graph", path: Path) -> int:
    from sparsemod import display
    from sparsemod.export import onnx, onnx_check

    onnx.export(graph, path)
    print(f"wrote {path} ({path.stat().st_size:,} bytes)\n")
    plain, fused = (onnx_check.check(path, graph, optimize=optimize) for optimize in (False, True))
    verdicts = [(layer, "ok" if layer.ok else "DIFFERENT") for layer in plain.layers]
    verdicts.append((plain.whole, f"same class {plain.agreement:.2%}"))
    rows = [(layer.name, layer.kind, layer.difference, layer.same, verdict) for layer, verdict in verdicts]
    display.console().print(display.comparison_table(rows))
    print(f"\n{plain.vectors} inputs; each layer gets what it gets in the network, so that differences do not add up")
    if (fused.whole.difference, fused.agreement) != (plain.whole.difference, plain.agreement):
        print(f"with operators fused by ONNX Runtime: {fused.whole.difference}, same class {fused.agreement:.2%}")
    return 0 if plain.ok else 1


def _export_and_run(graph: "Graph", path: Path, kind: str) -> int:
    from sparsemod.export import pte, tflite

    if kind == "pte":
        done = pte.export(graph, path)
        whole, runtime = done.whole, f"ExecuTorch with its {done.kernels} kernels"
    else:
        whole, runtime = tflite.export(graph, path), "LiteRT with its reference kernels"
    print(f"wrote {path} ({path.stat().st_size:,} bytes)\n\n{whole.vectors} inputs, computed by {runtime}: {whole}")
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


def _score(options: argparse.Namespace) -> int:
    from sparsemod import display
    from sparsemod.cost.layers import layer_costs, total_costs

    graph, device = _scored_module(options) if options.number is None else _scored_trial(options)
    rows, total = layer_costs(graph, device), total_costs(graph, device)
    if options.json:
        layers = [dataclasses.asdict(row) for row in rows]
        print(json.dumps({"network": options.model, "device": device.name, "layers": layers, "total": total}, indent=2))
        return 0
    console = display.console()
    console.print(display.layer_table(rows))
    print("\n".join(["", f"{options.model} on {device.name}", *display.total_lines(total, device)]))
    return 0


def _scored_module(options: argparse.Namespace) -> "tuple[Graph, Device]":
    from sparsemod.config import find_device
    from sparsemod.score import graph_of, parse_shape

    if Path(options.model).is_dir():
        raise InputError(f"{options.model} is a folder; add the number of a trial: sparsemod score {options.model} 12")
    device = find_device(options.device or "arduino-uno")
    shape = None if options.input is None else parse_shape(options.input)
    return graph_of(options.model, shape, options.scheme), device


def _scored_trial(options: argparse.Namespace) -> "tuple[Graph, Device]":
    """The network of a trial, on the device of its study or on another one."""
    from sparsemod import results
    from sparsemod.config import find_device

    settings = results.recorded_settings(options.model)
    graph = results.load(options.model).load_model(options.number)
    if options.device:
        return graph, find_device(options.device)
    flops = float(settings["TRAIN.flops"]) or None
    return graph, dataclasses.replace(find_device(settings["DEVICE.device"]), flops=flops)


def _devices(options: argparse.Namespace) -> int:
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


def _config_show(options: argparse.Namespace) -> int:
    from sparsemod import config

    section = ""
    for name, key, value, origin in config.read(options.config, options.set).items():
        if name != section:
            print(f"{'' if not section else chr(10)}[{name}]")
            section = name
        print(f"{key + ' = ' + value:<48} # {origin}")
    return 0
