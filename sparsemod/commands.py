"""What each command of the command line does; each takes the parsed options and gives the exit code."""

import argparse
import dataclasses
import json
import logging
import shutil
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparsemod.errors import InputError

if TYPE_CHECKING:
    from sparsemod.config import Config
    from sparsemod.device import Device
    from sparsemod.export.whole import Whole
    from sparsemod.graph import Graph
    from sparsemod.report.validation import Validation
    from sparsemod.study import Study, Trial


def init(options: argparse.Namespace) -> int:
    """Copies an example."""
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


def search(options: argparse.Namespace) -> int:
    """Searches, shows how it goes, and prints the front."""
    from sparsemod import config, display, loop, results
    from sparsemod.report import Live
    from sparsemod.tensorboard import TensorBoard

    settings = config.read(options.config, options.set)
    if not settings.default.train:
        return _test(settings, [], again=False, command=f"sparsemod search {options.config}")
    debug = options.debug or settings.train.debug
    if debug:
        logging.getLogger("sparsemod").setLevel(logging.DEBUG)
    folder = settings.study_folder()
    console = display.console()
    live = Live(folder) if options.report else None
    if live is not None:
        console.print(f"open in a browser: {live.path}", highlight=False, soft_wrap=True)
    board = TensorBoard(folder) if options.tensorboard else None
    if board is not None:
        console.print(f"look with: tensorboard --logdir {board.path}", highlight=False, soft_wrap=True)
    try:
        with _interrupts() as check, display.watching(console, debug) as draw:

            def watch(progress: loop.Progress) -> None:
                check()
                draw(progress)
                for logs in (live, board):
                    if logs is not None:
                        logs(progress)

            study = loop.search(settings, watch=watch)
    except KeyboardInterrupt:
        print(f"\ninterrupted; every finished trial is in {folder}. To go on: sparsemod search {options.config}")
        return 130
    finally:
        if live is not None:
            _last_page(folder, options.config)
        if board is not None and board.failure:
            print(f"TensorBoard logs are not complete: {board.failure}", file=sys.stderr)
    stops = results.stops(folder)
    console.print(f"\n{len(study.trials)} trials; {'; '.join(stops[-3:])}", highlight=False)
    if study.pareto_front():
        console.print(display.front_table(study, study.pareto_front()))
    else:
        console.print(display.empty_front_line(study), highlight=False, soft_wrap=True)
    console.print(f"\n{display.reference_line(study)}", highlight=False, soft_wrap=True)
    console.print(
        f"written to {folder}; pick a network with: sparsemod pareto {folder}", highlight=False, soft_wrap=True
    )
    console.print(f"or look at everything in a browser: sparsemod report {folder}", highlight=False, soft_wrap=True)
    return 0


def _last_page(folder: Path, config: Path) -> None:
    """The page of a search that has ended, however it did; what is wrong with the page is not wrong with the search."""
    if not (folder / "study.json").exists():
        return
    try:
        print(_write_report([folder], folder / "report.html", config))
    except InputError as error:
        print(f"no report was written: {error}", file=sys.stderr)


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


def test(options: argparse.Namespace) -> int:
    """Measures networks of a study on the test set."""
    from sparsemod import results

    settings = results.configuration_of(options.study, options.config, options.set)
    place = dataclasses.replace(settings.test, root=str(options.study.parent), name=options.study.name)
    command = f"sparsemod test {' '.join(map(str, [options.study, *options.number]))}"
    return _test(dataclasses.replace(settings, test=place), options.number, again=options.again, command=command)


def _test(settings: "Config", numbers: list[int], *, again: bool, command: str) -> int:
    from sparsemod import display, retrain
    from sparsemod.tested import summaries

    console = display.console()
    file = settings.test_folder() / "test.csv"
    try:
        with _interrupts() as check, display.watching_test(console) as draw:

            def watch(testing: retrain.Testing) -> None:
                check()
                draw(testing)

            tests = retrain.test(settings, numbers, again=again, watch=watch)
    except KeyboardInterrupt:
        print(f"\ninterrupted; every finished measurement is in {file}. To go on: {command}")
        return 130
    console.print(display.test_table(summaries(tests)))
    console.print(f"\n{display.TEST_NOTE}\nwritten to {file}", highlight=False, soft_wrap=True)
    return 0 if all(each.status == "complete" for each in tests) else 1


test.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for its own


def pareto(options: argparse.Namespace) -> int:
    """Prints the front of a study, or a part of it."""
    from sparsemod import display, results

    study = results.load(options.study)
    chosen = _chosen(study, options)
    if options.json:
        wanted = {trial.number for trial in chosen}
        front = results.front_as_json(study)
        front["front"] = [row for row in front["front"] if row["number"] in wanted]
        print(json.dumps(front, indent=2, default=list))
        return 0
    if not study.pareto_front():
        print(display.empty_front_line(study))
        return 1
    if not chosen:
        print(f"none of the {len(study.pareto_front())} networks on the front is within these limits")
        return 1
    console = display.console()
    console.print(display.front_table(study, chosen))
    for line in [
        "",
        *display.pick_lines(study),
        "",
        *display.front_plot(study, chosen),
        "",
        display.reference_line(study),
    ]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
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


def report(options: argparse.Namespace) -> int:
    """Writes the page of a study, or of several."""
    folders: list[Path] = options.study
    out = options.out or (folders[0] / "report.html" if len(folders) == 1 else Path("comparison.html"))
    print(_write_report(folders, out, options.config, with_data=not options.no_data))
    if options.open:
        webbrowser.open(out.resolve().as_uri())
    return 0


def _write_report(folders: list[Path], out: Path, config: Path | None, *, with_data: bool = True) -> str:
    """Writes a page, and says what was written."""
    from sparsemod.report import load_validation, open_sources, write

    sources = open_sources(folders)
    validations: list[Validation | str] = []
    for folder in folders:
        try:
            validations.append(load_validation(folder, config) if with_data else "not loaded (--no-data)")
        except InputError as error:
            validations.append(f"not loaded: {error}")
    size = write(sources, validations, out)
    return f"wrote {out} ({size / 1e6:.1f} MB); open it in a browser"


def export(options: argparse.Namespace) -> int:
    """Writes the network of a trial for a device, and verifies it."""
    from sparsemod import results
    from sparsemod.config import find_device
    from sparsemod.export import NoCompiler, export

    graph = results.load(options.study).load_model(options.number)
    if options.to != "c" and graph.frontend is not None:
        print(f"the network alone: its input are the features of {graph.frontend}; --to c writes both")
    if options.to == "onnx":
        return _export_onnx(graph, options.out)
    if options.to == "tflite":
        return _export_tflite(graph, options.out)
    device = find_device(options.device or results.recorded_settings(options.study)["DEVICE.device"])
    if options.to == "pte":
        return _export_pte(graph, options.out, options.kernels, device.core)
    export(graph, options.out, device=device)
    print(f"wrote {', '.join(sorted(path.name for path in options.out.iterdir()))} to {options.out}\n")
    try:
        return verify(argparse.Namespace(folder=options.out))
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


def _export_tflite(graph: "Graph", path: Path) -> int:
    from sparsemod.export import tflite

    whole = tflite.export(graph, path)
    _print_written(path, whole, "LiteRT with its reference kernels")
    return 0


def _export_pte(graph: "Graph", path: Path, kernels: str | None, core: str) -> int:
    from sparsemod.export import pte

    done = pte.export(graph, path, kernels or ("cortex-m" if core.startswith("Cortex-M") else "xnnpack"), core)
    runtimes = {
        "cortex-m": f"ExecuTorch's reference of its kernels for {core}",
        "xnnpack": "ExecuTorch with its XNNPACK kernels",
        "portable": "ExecuTorch with its portable kernels",
    }
    _print_written(path, done.whole, runtimes[done.kernels])
    if done.note:
        print(done.note)
    return 0


def _print_written(path: Path, whole: "Whole", runtime: str) -> None:
    print(f"wrote {path} ({path.stat().st_size:,} bytes)\n\n{whole.vectors} inputs, computed by {runtime}: {whole}")


def verify(options: argparse.Namespace) -> int:
    """Compares exported code with its network."""
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


def score(options: argparse.Namespace) -> int:
    """Prints what each layer of a network costs."""
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
    streamed = f", one of {graph.steps} steps at a time" if graph.steps else ""
    print("\n".join(["", f"{options.model} on {device.name}{streamed}", *display.total_lines(total, device)]))
    return 0


def _scored_module(options: argparse.Namespace) -> "tuple[Graph, Device]":
    from sparsemod.config import find_device
    from sparsemod.score import graph_of, parse_shape

    if Path(options.model).is_dir():
        raise InputError(f"{options.model} is a folder; add the number of a trial: sparsemod score {options.model} 12")
    device = find_device(options.device or "arduino-uno")
    shape = None if options.input is None else parse_shape(options.input)
    return graph_of(options.model, shape, options.scheme, streaming=options.streaming), device


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
