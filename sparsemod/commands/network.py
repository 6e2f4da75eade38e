"""Commands of one network: export it for a device, verify that, and tell what it costs."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sparsemod.errors import InputError

if TYPE_CHECKING:
    from sparsemod.device import Device
    from sparsemod.export.whole import Whole
    from sparsemod.graph import Graph


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
