"""A study in words: what was searched, within which limits, with how much work, and what to look at first."""

from typing import Any

from sparsemod.errors import InputError
from sparsemod.objectives import quantity
from sparsemod.report.progress import number_range
from sparsemod.report.source import Source
from sparsemod.report.trials import title
from sparsemod.study import Study, Trial, picks


def facts(source: Source, data: str) -> list[tuple[str, str]]:
    """What a reader must know before the figures, as (heading, sentence).

    Args:
        source: The study.
        data: The data in words, or why it cannot be described.
    """
    study = source.study
    return [
        ("problem", source.problem or "not recorded"),
        ("data", data),
        ("device", _device(source)),
        ("limits", _limits(study)),
        ("minimised", ", ".join(title(name) for name in study.objectives)),
        ("budget", _budget(study)),
        ("found", _found(study)),
        *([("stages ended", "; ".join(source.stops))] if source.stops else []),
        ("hypervolume", _reference(study)),
    ]


def choices(source: Source) -> list[dict[str, Any]]:
    """The picks: why, number, and figures in words; with the test error where it was measured."""
    study = source.study
    return [
        {
            "why": why,
            "number": trial.number,
            "figures": in_words(study, trial),
            "test": _tested(source, trial.number),
        }
        for why, trial in picks(study).items()
    ]


def _tested(source: Source, number: int) -> str:
    """Errors on the test set in words; empty if there are none."""
    again, saved = source.errors_on_test.get(number), source.saved_errors_on_test.get(number)
    told = [] if saved is None else [f"{quantity('error', saved)} as it is"]
    told += [] if again is None else [f"{quantity('error', again)} in the mean after it was trained again"]
    return ", ".join(told)


def in_words(study: Study, trial: Trial) -> str:
    """The objectives of a trial, and the error and the size if they are known."""
    names = dict.fromkeys(name for name in ("error", "model_size", *study.objectives) if name in trial.score)
    return ", ".join(f"{title(name)} {quantity(name, trial.score[name])}" for name in names)


def duration(seconds: float) -> str:
    """A time for people: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _device(source: Source) -> str:
    try:
        device = source.device()
    except InputError:
        return source.settings.get("DEVICE.device", "") or "not recorded"
    core = f"{device.core}, " if device.core else ""
    return (
        f"{device.name} ({core}{device.clock_hz / 1e6:g} MHz, {device.flash_bytes:,} bytes of flash, "
        f"{device.ram_bytes:,} bytes of RAM; cycles per MAC: {device.basis})"
    )


def _limits(study: Study) -> str:
    limits = [f"{title(name)} at most {quantity(name, limit)}" for name, limit in study.limits.items()]
    return ", ".join(limits) or "none"


def _budget(study: Study) -> str:
    """What was spent, as recorded."""
    if not study.trials:
        return "no trial has ended yet"
    epochs: dict[str, list[int]] = {}
    for trial in study.trials:
        epochs.setdefault(trial.candidate.origin, []).append(trial.candidate.epochs)
    stages = ", ".join(f"{len(own):,} by {origin} ({number_range(own)} epochs each)" for origin, own in epochs.items())
    elapsed = max(trial.elapsed for trial in study.trials)
    return f"{len(study.trials):,} trials in {duration(elapsed)}: {stages}"


def _found(study: Study) -> str:
    statuses = [status for status in ("complete", "infeasible", "stopped", "failed") if study.count(status)]
    counts = [f"{study.count(status):,} {status}" for status in statuses]
    return f"{len(study.pareto_front()):,} networks on the front; {', '.join(counts)}"


def _reference(study: Study) -> str:
    basis = study.reference_basis()
    point = [
        f"{title(name)} {quantity(name, value)} ({basis[name]})" for name, value in study.reference_point().items()
    ]
    return f"{study.hypervolume():.4f} of the box between zero and {', '.join(point)}"
