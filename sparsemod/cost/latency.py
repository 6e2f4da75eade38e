"""Milliseconds of one inference, from multiply-accumulates and a table of cycles.

Within one search space MACs rank latency well, and the cost of a MAC depends on the kind of layer by up to four times
[Banbury2021]; hence one figure per kind. Zero weights are multiplied too: no common kernel skips them.

[Banbury2021] MicroNets, MLSys 2021, arXiv 2010.11267.
"""

from sparsemod.device import Device
from sparsemod.graph import Graph


def latency_ms(graph: Graph, device: Device) -> float:
    """Latency on a device; plain MACs / flops if the device has a `flops` figure."""
    if device.flops is not None:
        return 1e3 * graph.macs / device.flops
    cycles = 0.0
    for operator in graph.operators:
        if operator.kind == "reshape":
            continue
        cycles += device.cycles_per_operator
        if operator.weight is not None:
            cycles += device.cycles_per_mac[operator.kind] * operator.macs
        else:
            cycles += device.cycles_per_element * graph.activations[operator.output].numel * len(operator.inputs)
    return 1e3 * cycles / device.clock_hz
