"""The networks of the front one by one: layers, memory step by step, where they come from, what they get wrong."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sparsemod.cost.layers import layer_costs
from sparsemod.cost.liveness import Buffer, buffers, flow, kept_bytes
from sparsemod.cost.memory import plan
from sparsemod.device import Device
from sparsemod.errors import InputError
from sparsemod.graph import Graph
from sparsemod.report.source import Source
from sparsemod.report.validation import Validation, mistakes
from sparsemod.study import Study, Trial, picks

_MOST = 40
"""Networks with a page of their own: what a reader may look through, and a second or two of work."""
_SECONDS = 10.0
"""For all confusion matrices together."""


def networks(source: Source, validation: Validation | None) -> dict[str, Any]:
    """A page for each network of the front; of a long front for the picks and for others evenly along it.

    Returns:
        pages: one per network; `left_out`: how many of the front have none; or `missing`: why there are none.
    """
    front = source.study.pareto_front()
    chosen = _chosen(source.study, front)
    try:
        device = source.device()
    except InputError as error:
        return {"missing": f"The device of the study cannot be loaded: {error}", "pages": [], "left_out": len(front)}
    first = {trial.number for trial in picks(source.study).values()}
    late = time.monotonic() + _SECONDS
    pages = {}
    for trial in sorted(chosen, key=lambda trial: trial.number not in first):  # those may use up the time
        pages[trial.number] = _page(source, trial, device, validation, late)
    return {"pages": [pages[trial.number] for trial in chosen], "left_out": len(front) - len(chosen)}


def _chosen(study: Study, front: Sequence[Trial]) -> list[Trial]:
    if len(front) <= _MOST:
        return list(front)
    wanted = {trial.number for trial in picks(study).values()}
    wanted |= {front[round(place * (len(front) - 1) / (_MOST - 1))].number for place in range(_MOST)}
    return [trial for trial in front if trial.number in wanted]


def _page(source: Source, trial: Trial, device: Device, validation: Validation | None, late: float) -> dict[str, Any]:
    page: dict[str, Any] = {
        "number": trial.number,
        "ancestry": ancestry(source.study, trial),
        "parameters": dict(trial.candidate.parameters),
        "curve": learning_curve(source.study, trial),
    }
    if "float_error" in trial.score:
        page["float_error"] = trial.score["float_error"]
    try:
        graph = source.study.load_model(trial.number)
    except InputError:
        return page | {"missing": "Its layers are not known: its model was not kept."}
    page |= {"layers": layers(graph, device), "memory": memory_map(graph)}
    if validation is None:
        return page
    if validation.problem.error is not None:
        page["own_error"] = getattr(validation.problem.error, "__name__", "its own")
    if validation.problem.loss is not None:
        return page | {"not_run": "The problem has a loss of its own: its networks name no classes."}
    if time.monotonic() > late:
        return page | {"not_run": f"Left out: those of the networks before took {_SECONDS:.0f} s."}
    try:
        counts = mistakes(graph, trial, validation)
    except Exception as error:  # the user's data and collate: the rest of the page stands without
        return page | {"not_run": f"The validation data cannot be run through the network: {error}"}
    if validation.problem.error is not None:
        return page | {"confusion": counts}
    return page | {"confusion": counts, "measured_error": _share_wrong(counts)}


def layers(graph: Graph, device: Device) -> list[dict[str, Any]]:
    """One row per operator, in order of execution; units in the names."""
    return [
        {
            "name": row.name,
            "kind": row.kind,
            "output": "x".join(map(str, row.output_shape)),
            "macs": row.macs,
            "params": row.params,
            "nnz": row.nnz,
            "sparsity": round(row.sparsity, 4),
            "weights": f"{row.encoding} {row.weight_bits}" if row.encoding else "",
            "flash_bytes": row.flash_bytes,
            "alive_bytes": row.alive_bytes,
            "latency_ms": float(f"{row.latency_ms:.4g}"),
            "latency_share": round(row.latency_share, 4),
        }
        for row in layer_costs(graph, device)
    ]


def memory_map(graph: Graph) -> dict[str, Any]:
    """What lies where in the arena, from when to when.

    Returns:
        size: bytes of the arena; steps: names of the operators in order of execution; buffers: what each holds, start
        and size in bytes, first and last step at which it is needed.
    """
    planned = plan(graph)
    values = flow(graph)
    makers = {operator.output: operator.name for operator in graph.operators}
    starts = dict(planned.offsets) | {values.own(operator): start for operator, start in planned.scratch.items()}
    rows = []
    last = len(planned.order) - 1
    kept = [Buffer([values.own(operator)], size, 0, last) for operator, size in kept_bytes(graph).items()]
    for buffer in [*buffers(values, planned.order), *kept]:
        first = buffer.values[0]
        if first not in starts:
            continue  # takes no memory
        rows.append(
            {
                "holds": [_held(graph, makers, value) for value in buffer.values],
                "start": starts[first],
                "size": buffer.size,
                "born": buffer.born,
                "dies": buffer.dies,
            }
        )
    names = [graph.operators[position].name for position in planned.order]
    return {"size": planned.size, "steps": names, "buffers": rows}


def _held(graph: Graph, makers: Mapping[int, str], value: int) -> str:
    if value >= len(graph.activations):
        return f"state of {graph.operators[value - len(graph.activations)].name}"
    return f"output of {makers[value]}" if value in makers else "input"


def ancestry(study: Study, trial: Trial) -> list[dict[str, Any]]:
    """A network and those whose weights it descends from, the oldest first, with what each changed."""
    line = _line(study, trial)
    return [
        {
            "number": each.number,
            "stage": each.candidate.origin,
            "epochs": each.candidate.epochs,
            "score": {name: each.score[name] for name in study.objectives if name in each.score},
            "changed": [] if before is None else _changes(before, each),
        }
        for before, each in zip([None, *line], line, strict=False)
    ]


def _line(study: Study, trial: Trial) -> list[Trial]:
    """A network after those that it descends from."""
    line = [trial]
    while (parent := line[-1].candidate.parent) is not None:
        line.append(study[parent])
    return line[::-1]


def learning_curve(study: Study, trial: Trial) -> list[dict[str, Any]]:
    """Validation errors before quantization while a network and its ancestors were trained, the oldest first.

    Returns:
        For each of them number, epochs (seen since the oldest began) and errors; what was not measured is left out.
    """
    parts = []
    for each in _line(study, trial):
        before = study.epochs_seen(each.candidate) - each.candidate.epochs
        measured = dict(each.curve)
        if "float_error" in each.score:
            measured[each.candidate.epochs] = each.score["float_error"]
        if measured:
            epochs = sorted(measured)
            parts.append(
                {
                    "number": each.number,
                    "epochs": [before + epoch for epoch in epochs],
                    "errors": [round(measured[epoch], 6) for epoch in epochs],
                }
            )
    return parts


def _changes(parent: Trial, child: Trial) -> list[str]:
    old, new = parent.candidate.parameters, child.candidate.parameters
    names = dict.fromkeys([*old, *new])
    return [
        f"{name}: {_told(old.get(name))} → {_told(new.get(name))}" for name in names if old.get(name) != new.get(name)
    ]


def _told(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _share_wrong(counts: list[list[int]]) -> float:
    total = sum(map(sum, counts))
    return 1 - sum(counts[k][k] for k in range(len(counts))) / total if total else 0.0
