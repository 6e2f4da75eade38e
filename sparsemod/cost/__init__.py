"""What a network costs on a device: exact functions of its graph, known before any training.

A cost model of your own is a function with the signature of `cost`, named in `[DEVICE] cost`.
"""

from collections.abc import Mapping

from sparsemod.cost.latency import latency_ms
from sparsemod.cost.memory import plan
from sparsemod.cost.size import model_size_bytes
from sparsemod.device import Device
from sparsemod.graph import Graph

__all__ = ["cost", "latency_ms", "model_size_bytes", "plan"]


def cost(graph: Graph, device: Device) -> Mapping[str, float]:
    """Costs by name.

    Args:
        graph: Traced or lowered. Without weight values `graph.sparsity` says how many will be zero, and the model
            size is the largest that any distribution of the zeros can lead to.
        device: Where the network will run.

    Returns:
        model_size (bytes of flash), working_memory (bytes of RAM), latency (ms), energy (mJ) if the power of the
        device is known, macs, params and nnz. Latency, energy and macs are those of one inference: of a network of
        one step that is a step, with all layers behind the last one.
    """
    latency = latency_ms(graph, device)
    energy = {} if device.active_power_mw is None else {"energy": latency * device.active_power_mw / 1e3}
    return {
        "model_size": model_size_bytes(graph),
        "working_memory": plan(graph).size,
        "latency": latency,
        **energy,
        "macs": graph.macs,
        "params": graph.params,
        "nnz": graph.nnz,
    }
