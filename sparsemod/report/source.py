"""What a page is made from: a study and what its folder says beside the trials."""

import configparser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sparsemod import results, tested
from sparsemod.config import find_device
from sparsemod.device import Device
from sparsemod.errors import InputError
from sparsemod.study import Study
from sparsemod.tested import Tested, summaries


@dataclass(frozen=True, eq=False)
class Source:
    """A study to report on.

    Attributes:
        name: Of the study, for people.
        study: Its trials.
        folder: Where it is kept.
        settings: Those it began with, by `SECTION.key`; see `results.recorded_settings`.
        problem: As the configuration names it.
        stops: Why its stages ended.
        tests: Measurements on the test set, or on groups that were held out.
    """

    name: str
    study: Study
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    stops: tuple[str, ...] = ()
    tests: Sequence[Tested] = ()

    @property
    def errors_on_test(self) -> dict[int, float]:
        """Mean error on the test set by number, of networks that were trained again."""
        found = summaries(self.tests)
        return {each.number: each.error for each in found if each.by == "seeds" and each.error is not None}

    @property
    def saved_errors_on_test(self) -> dict[int, float]:
        """Error on the test set by number, of the networks that the search saved."""
        return {each.number: each.error for each in self.tests if each.seed is None and each.error is not None}

    def device(self) -> Device:
        """The device of the study.

        Raises:
            InputError: It is one of the user's own and not found from here.
        """
        flops = float(self.settings.get("TRAIN.flops", "0")) or None
        name = self.settings.get("DEVICE.device", "")
        try:
            return replace(find_device(name), flops=flops)
        except InputError:
            return replace(find_device(name, self.folder), flops=flops)


def open_source(folder: Path, study: Study | None = None) -> Source:
    """The study in a folder.

    Args:
        folder: As a search writes it.
        study: Its trials, if they are known already.

    Raises:
        InputError: There is none, or its record is damaged.
    """
    return Source(
        folder.resolve().name,
        results.load(folder) if study is None else study,
        folder,
        results.recorded_settings(folder),
        _problem(folder),
        tuple(results.stops(folder)),
        tested.load(folder),
    )


def open_sources(folders: Sequence[Path]) -> list[Source]:
    """The studies in several folders, called by the whole path where two folders have the same name.

    Raises:
        InputError: One holds none, or its record is damaged.
    """
    sources = [open_source(folder) for folder in folders]
    names = [source.name for source in sources]
    return [replace(source, name=str(source.folder)) if names.count(source.name) > 1 else source for source in sources]


def _problem(folder: Path) -> str:
    """What the study's copy of its configuration names; empty if it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(folder / "config.cfg", encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return ""
    return parser.get("PROBLEM", "problem", fallback="")
