"""One network: what its layers cost, what its exported code was found to be; and the devices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from sparsemod.cost.layers import LayerCost
from sparsemod.device import KINDS, Device
from sparsemod.objectives import quantity

if TYPE_CHECKING:
    from sparsemod.export import Check


def layer_table(rows: Sequence[LayerCost]) -> Table:
    """The costs of a network, one row per operator."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("layer", "kind", "output"):
        table.add_column(title)
    for title in ("MACs", "non-zero", "sparsity", "FLOPs\ndense", "FLOPs\nsparse", "weights\n(bits)",
                  "flash\n(bytes)", "RAM in use\n(bytes)", "of arena", "latency\n(ms)", "of latency"):  # fmt: skip
        table.add_column(title, justify="right")
    for row in rows:
        shape = "x".join(map(str, row.output_shape))
        weights = f"{row.encoding} {row.weight_bits}" if row.encoding else ""
        table.add_row(row.name, row.kind, shape, f"{row.macs:,}", f"{row.nnz:,}", f"{row.sparsity:.1%}",
                      f"{row.dense_flops:,}", f"{row.sparse_flops:,}", weights, f"{row.flash_bytes:,}",
                      f"{row.alive_bytes:,}", f"{row.arena_share:.0%}", f"{row.latency_ms:.4g}",
                      f"{row.latency_share:.1%}")  # fmt: skip
    return table


def total_lines(total: Mapping[str, float], device: Device) -> list[str]:
    """The costs of a whole network, in words; a figure that does not fit the device says so."""
    flash, ram = total["model_size_bytes"], total["working_memory_bytes"]
    lines = [
        f"  model size      {flash:,.0f} bytes{_of_limit(flash, device.flash_bytes, 'flash')}",
        f"                  {total['nnz_bytes']:,.0f} bytes as SpArSe counts: 1 per weight or bias that is not zero",
        f"  working memory  {ram:,.0f} bytes{_of_limit(ram, device.ram_bytes, 'RAM')}",
        f"                  {total['input_and_weights_bytes']:,.0f} bytes as SpArSe counts input and weights,",
        f"                  {total['input_and_output_bytes']:,.0f} bytes as it counts input and output",
        f"  latency         {quantity('latency', total['latency_ms'])}",
    ]
    if "energy_mj" in total:
        lines.append(f"  energy          {quantity('energy', total['energy_mj'])}")
    counts = {"MACs": "macs", "params": "params", "non-zero": "nnz", "dense FLOPs": "dense_flops",
              "sparse FLOPs": "sparse_flops"}  # fmt: skip
    return [*lines, "  " + ", ".join(f"{title} {total[name]:,.0f}" for title, name in counts.items())]


def _of_limit(used: float, limit: float, what: str) -> str:
    verdict = ": DOES NOT FIT" if used > limit else ""
    return f", {used / limit:.1%} of the {what}{verdict}"


def device_table(devices: Iterable[Device]) -> Table:
    """Devices; cycles are those of an int8 multiply-accumulate."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("device", "core"):
        table.add_column(title)
    for title in ("clock\n(MHz)", "RAM\n(bytes)", "flash\n(bytes)"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        table.add_column(f"cycles per MAC\n{kind}", justify="right")
    table.add_column("power\n(mW)", justify="right")
    table.add_column("cycles are")
    for device in devices:
        cycles = [f"{device.cycles_per_mac[kind]:g}" for kind in KINDS]
        power = "" if device.active_power_mw is None else f"{device.active_power_mw:g}"
        table.add_row(device.name, device.core, f"{device.clock_hz / 1e6:g}", f"{device.ram_bytes:,}",
                      f"{device.flash_bytes:,}", *cycles, power, device.basis)  # fmt: skip
    return table


def check_table(checks: "Sequence[Check]") -> Table:
    """What was predicted of exported code, and what each place found: a row per figure, a column per place."""
    places = list(dict.fromkeys(check.place for check in checks if check.found is not None))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("check")
    for title in ("predicted", *places, ""):
        table.add_column(title, justify="right")
    for name in dict.fromkeys(check.name for check in checks if check.found is not None):
        row = {check.place: check for check in checks if check.name == name}
        worst = min(row.values(), key=lambda check: check.ok)
        found = [f"{row[place].found:,}" if place in row else "" for place in places]
        table.add_row(name, _expected(worst), *found, worst.verdict)
    return table


def _expected(check: "Check") -> str:
    if check.predicted is not None:
        return f"{check.predicted:,}"
    return "" if check.limit is None else f"at most {check.limit:,}"


def comparison_table(layers: Sequence[tuple[str, str, str, float, str]]) -> Table:
    """How far another runtime is from the network.

    Args:
        layers: Name, kind, largest difference, share of equal values and verdict of each.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("layer")
    table.add_column("kind")
    for title in ("largest difference", "same values", ""):
        table.add_column(title, justify="right")
    for name, kind, difference, same, verdict in layers:
        table.add_row(name, kind, difference, f"{same:.4%}", verdict)
    return table
