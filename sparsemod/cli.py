"""The command line: parses, and calls `commands`.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted (a search can be resumed).
"""

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sparsemod import __version__, commands
from sparsemod.errors import InputError, SparsemodError

_DESCRIPTION = """\
Find neural networks that fit a microcontroller.

  sparsemod init my_search --kind digits    write a runnable example to start from
  sparsemod check my_search/config.cfg      find mistakes in seconds, before hours are spent
  sparsemod search my_search/config.cfg     search; run it again to go on where it stopped
  sparsemod pareto results/digits           look at what was found and pick a network
  sparsemod report results/digits           the same and more as one HTML page, for a browser
  sparsemod test results/digits 12          train network 12 again, and measure it on the test set
  sparsemod export results/digits 12 --out net    write network 12 as C, and prove that it computes the same
  sparsemod export results/digits 12 --to onnx --out net.onnx    the same as ONNX
  sparsemod score net.py:Net --input 1x28x28      what each layer of a network of yours costs
  sparsemod devices                         the microcontrollers that are known
"""

_EXIT_CODES = "exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted (run the same command to go on)"

_KINDS = ("digits", "mnist", "cifar10", "custom", "har", "spoken_digits", "japanese_vowels", "autoencoder")


class _ToStandardError(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: while a panel is drawn, what goes there appears above it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(typed)
    options.to_go_on = shlex.join(["sparsemod", *(part for part in typed if part != "--again")])
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING, handlers=[_ToStandardError()])
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
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    init = subparsers.add_parser(
        "init", help="write a runnable example", description="Writes config.cfg and problem.py."
    )
    init.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to (default: here)")
    init.add_argument("--kind", choices=_KINDS, default="digits", help="digits needs no download (default)")
    init.set_defaults(run=commands.init)

    check = subparsers.add_parser(
        "check",
        help="find mistakes in a configuration and its problem, in seconds",
        description="Builds random members of the search space, tries every morphism, checks the data, and scores a "
        "few networks on a handful of samples. Names every fault it finds.",
    )
    _add_configuration(check)
    check.set_defaults(run=commands.check)

    search = subparsers.add_parser(
        "search",
        help="run a search, or go on with one",
        description="Searches as the configuration says and writes <root>/<name>/. A search that was interrupted goes "
        "on where it stopped when it is started again.",
        epilog=_EXIT_CODES,
    )
    _add_configuration(search)
    search.add_argument("--debug", action="store_true", help="explain each choice and show full tracebacks")
    search.add_argument(
        "--report", action="store_true", help="keep report.html in the study's folder up to date; open it in a browser"
    )
    search.add_argument(
        "--tensorboard", action="store_true", help="write learning curves and objectives for TensorBoard, too"
    )
    search.set_defaults(run=commands.search)

    pareto = subparsers.add_parser(
        "pareto",
        help="show the front of a study and pick a network",
        description="Prints the networks that no other network beats in everything, which to look at first, and a plot "
        "of error and size. Limits narrow the choice: "
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
    pareto.set_defaults(run=commands.pareto)

    report = subparsers.add_parser(
        "report",
        help="write one HTML page about a study, or one that compares several",
        description="Writes a page that needs no server and no network: choices in words, trade-offs, parameters and "
        "their importance, hypervolume by trial and time, stages, every trial in a table, and for each network of the "
        "front its layers, its memory step by step, its ancestry and what it gets wrong. With two or more studies it "
        "compares them: sparsemod report results/digits results/wider. Needs plotly: pip install 'sparsemod[report]'.",
    )
    report.add_argument("study", type=Path, nargs="+", metavar="STUDY", help="folder, such as results/digits")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: STUDY/report.html; of several: comparison.html)"
    )
    report.add_argument("--open", action="store_true", help="open it in the browser")
    report.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of the search, if the study or its problem was moved; the confusion matrices need its "
        "validation data, for at most ten seconds",
    )
    report.add_argument("--no-data", action="store_true", help="do not load the problem and its data")
    report.set_defaults(run=commands.report)

    test = subparsers.add_parser(
        "test",
        help="measure networks of a study on the test set, which no search sees",
        description="Trains each network `[TEST] seeds` times from new weights on train + validation, quantizes it as "
        "the search did, and measures it once on the test set. The network that the search saved, which `sparsemod "
        "export` writes, is measured there as it is. With `[TEST] folds = groups`, trains on all subjects or speakers "
        "but one and measures on that one, for each. Every measurement is a row of STUDY/test.csv; started again, the "
        "command makes those that are missing.",
        epilog=_EXIT_CODES,
    )
    test.add_argument("study", type=Path, metavar="STUDY", help="folder, such as results/digits")
    test.add_argument(
        "number", type=int, nargs="*", metavar="NUMBER", help="of trials (default: [TEST] arm, or the whole front)"
    )
    test.add_argument("--again", action="store_true", help="make measurements that are there already anew")
    test.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration of the search, if not the copy in the study's folder"
    )
    _add_overrides(test, "TEST.seeds=5")
    test.set_defaults(run=commands.test)

    export = subparsers.add_parser(
        "export",
        help="write a network of a study as code for a device",
        description="Writes the network of a trial that was scored, and verifies it. "
        "c: a new folder of C99, built and compared bit for bit, or within a tolerance where it computes in float. "
        "onnx: a new file for importers of other tools (pip install 'sparsemod[export]'); ONNX Runtime computes each "
        "layer, which may be one int8 step off where ONNX rounds halves differently. Exit code 1 if more differs. "
        "tflite: a new file for LiteRT and TensorFlow Lite Micro (pip install 'sparsemod[litert]'). "
        "pte: a new file for ExecuTorch (pip install 'sparsemod[executorch]'), for a Cortex-M with the kernels of "
        "CMSIS-NN. These two are run first, and written if they find the same class for 95 % of 64 inputs; for a "
        "Cortex-M a reference of its kernels is, on 32.",
    )
    export.add_argument("study", type=Path, help="folder of the study, such as results/digits")
    export.add_argument("number", type=int, help="of a trial on the front; `sparsemod pareto` lists them")
    export.add_argument(
        "--to", choices=("c", "onnx", "tflite", "pte"), default="c", help="what to write (default: C99)"
    )
    export.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a new folder of C, or file; nothing is overwritten"
    )
    export.add_argument(
        "--device", metavar="NAME", help="that C must fit, and a pte is written for (default: of the study)"
    )
    export.add_argument(
        "--kernels",
        choices=("cortex-m", "xnnpack", "portable"),
        help="of a pte (default: cortex-m if the device is one, "
        "else xnnpack); what these cannot compute is left to the portable ones",
    )
    export.set_defaults(run=commands.export)

    verify = subparsers.add_parser(
        "verify",
        help="build exported code and compare it with the network",
        description="Compiles the code with the C compiler of this machine and, where arm-none-eabi-gcc and "
        "qemu-system-arm are installed, for emulated Cortex-M processors. Outputs must be those that were recorded, "
        "bit for bit (of float parts: within the tolerance that is shown), the bytes of RAM and flash those that were "
        "predicted, and the device must have them. Exit code 1 if anything differs or does not fit.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="as `sparsemod export` wrote it")
    verify.set_defaults(run=commands.verify)

    score = subparsers.add_parser(
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
    score.add_argument(
        "--streaming", action="store_true", help="a module of sequences takes one step at a time and keeps its states"
    )
    score.add_argument("--json", action="store_true", help="for programs")
    score.set_defaults(run=commands.score)

    devices = subparsers.add_parser(
        "devices",
        help="list the microcontrollers that are known",
        description="Lists the presets for [DEVICE] device. Their cycles per MAC are measured on this very part, on "
        "another part with the same core, for an AVR an emulated one, or an estimate. A device of your own is a "
        "sparsemod.Device in a file: [DEVICE] device = board.py:board",
    )
    devices.add_argument("-v", "--sources", action="store_true", help="where every figure comes from")
    devices.add_argument("--json", action="store_true", help="for programs: every figure and its source")
    devices.set_defaults(run=commands.devices)

    config = subparsers.add_parser("config", help="explain a configuration")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print every value and where it comes from")
    _add_configuration(show)
    show.set_defaults(run=commands.config_show)
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="configuration file")
    _add_overrides(parser, "TRAIN.r1=4")


def _add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help=f"override a value, such as {example}"
    )
