"""Milliseconds of one inference, from multiply-accumulates and a table of cycles; of a step if steps come one by one.

Within one search space MACs rank latency well, and the cost of a MAC depends on the kind of layer by up to four times
[Banbury2021]; hence one figure per kind. Zero weights are multiplied too: vendor kernels skip none, although the
exported C leaves out those that are not stored.

[Banbury2021] MicroNets, MLSys 2021, arXiv 2010.11267.
"""

from sparsemod.device import Device
from sparsemod.graph import Graph, Operator
from sparsemod.graph.recurrence import GATES

_MACS_PER_GATE = 25
"""What a gate of a recurrent layer takes beside its products, as multiply-accumulates: exported C executes 160 and 6.5
instructions for the two on an emulated Cortex-M4."""


def latency_ms(graph: Graph, device: Device) -> float:
    """Latency on a device; plain MACs / flops if the device has a `flops` figure."""
    return frontend_ms(graph, device) + sum(operator_ms(graph, operator, device) for operator in graph.operators)


def frontend_ms(graph: Graph, device: Device) -> float:
    """What a front end contributes: its work counts as that of a linear layer."""
    if graph.frontend is None:
        return 0.0
    macs = graph.frontend.macs
    return 1e3 * (
        macs / device.flops if device.flops is not None else macs * device.cycles_per_mac["linear"] / device.clock_hz
    )


def operator_ms(graph: Graph, operator: Operator, device: Device) -> float:
    """What one operator contributes to the latency."""
    if device.flops is not None:
        return 1e3 * operator.macs / device.flops
    if operator.kind == "reshape":
        return 0.0
    outputs = graph.activations[operator.output].numel
    if operator.kind in GATES:
        assert operator.weight is not None
        gates = operator.macs // operator.weight.shape[1]  # of all steps
        cycles = device.cycles_per_mac["linear"] * (operator.macs + _MACS_PER_GATE * gates)
    elif operator.kind in device.cycles_per_mac:
        cycles = device.cycles_per_mac[operator.kind] * operator.macs + device.cycles_per_output * outputs
    else:
        cycles = device.cycles_per_element * outputs * len(operator.inputs)
    return 1e3 * (device.cycles_per_operator + cycles) / device.clock_hz
