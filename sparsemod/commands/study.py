"""Commands of a study: search, test, and look at what was found."""

import argparse
import dataclasses
import json
import logging
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
    from sparsemod.report.validation import Validation
    from sparsemod.study import Study, Trial


def search(options: argparse.Namespace) -> int:
    """Searches, shows how it goes, and prints the front."""
    from sparsemod import config, display, loop, results
    from sparsemod.report import Live
    from sparsemod.tensorboard import TensorBoard

    settings = config.read(options.config, options.set)
    if not settings.default.train:
        return _test(settings, [], again=False, to_go_on=options.to_go_on)
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
        print(f"\ninterrupted; every finished trial is in {folder}. To go on: {options.to_go_on}")
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
    settings = dataclasses.replace(settings, test=place)
    return _test(settings, options.number, again=options.again, to_go_on=options.to_go_on)


def _test(settings: "Config", numbers: list[int], *, again: bool, to_go_on: str) -> int:
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
        print(f"\ninterrupted; every finished measurement is in {file}. To go on: {to_go_on}")
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
