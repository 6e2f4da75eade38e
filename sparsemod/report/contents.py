"""Everything that a page says of one study, as plain data."""

from typing import Any

from sparsemod.report.importance import importance
from sparsemod.report.networks import networks
from sparsemod.report.progress import growth, stages
from sparsemod.report.source import Source
from sparsemod.report.summary import choices, facts
from sparsemod.report.test_set import test_set
from sparsemod.report.trials import reasons, table, title, unit
from sparsemod.report.validation import Validation


def contents(source: Source, validation: Validation | str, *, quick: bool = False) -> dict[str, Any]:
    """The data of one study's page.

    Args:
        source: The study.
        validation: Its data, or why it is not there.
        quick: Leave out what takes long: the importance of parameters and the pages of networks.
    """
    study = source.study
    curve = growth(study)
    reached = None if isinstance(validation, str) else validation
    data = validation if isinstance(validation, str) else validation.in_words()
    page: dict[str, Any] = {
        "name": source.name,
        "facts": facts(source, data),
        "picks": choices(source),
        "objectives": [{"name": name, "title": title(name), "unit": unit(name)} for name in study.objectives],
        "limits": study.limits,
        "table": table(source),
        "growth": curve,
        "stages": stages(study, curve),
        "reasons": reasons(study),
        "test": test_set(source),
    }
    if quick:
        later = "It is computed when the search has ended."
        return page | {"importance": {"missing": later}, "networks": {"missing": later, "pages": [], "left_out": 0}}
    return page | {
        "importance": importance(source),
        "networks": networks(source, reached),
        "no_data": "" if reached else data,
    }
