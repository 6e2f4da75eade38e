"""Microcontrollers: how much memory they have and how long a multiply-accumulate takes on them.

Cycles per MAC are averages over whole networks, so a latency is an estimate: two networks of equal MACs have been
measured 29-66 % apart on one Cortex-M4. They rank networks well within one search space [Banbury2021].

[Banbury2021] MicroNets, MLSys 2021, arXiv 2010.11267.
[MLPerfTiny] mlcommons/tiny_results_v1.1, closed division, cycles = clock x latency / MACs of the reference networks.
[AVR] Atmel AVR Instruction Set Manual: LD and MULS take 2 cycles, ADD and ADC 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

KINDS = ("conv", "depthwise", "linear")
"""Kinds of operators that multiply and accumulate; every cycle table has these."""


@dataclass(frozen=True)
class Device:
    """A microcontroller, as far as a search must know it.

    Attributes:
        flash_bytes: Flash for program and weights; the default limit on model size.
        ram_bytes: RAM for everything; the default limit on working memory.
        clock_hz: Core clock.
        cycles_per_mac: Cycles per int8 multiply-accumulate, by kind of operator.
        cycles_per_element: Cycles per output element of pooling, addition and the like.
        cycles_per_operator: Fixed cycles per operator call.
        source: Where the figures come from.
        flops: If given, latency is simply MACs / flops and the cycle table is not used.
        core: Processor core, such as Cortex-M4; empty if it is not known.
    """

    name: str
    flash_bytes: int
    ram_bytes: int
    clock_hz: float
    cycles_per_mac: Mapping[str, float] = field(hash=False)
    cycles_per_element: float
    cycles_per_operator: float
    source: str
    flops: float | None = None
    core: str = ""

    def limits(self) -> dict[str, float]:
        """The hard limits that the part itself sets, in bytes."""
        return {"model_size": self.flash_bytes, "working_memory": self.ram_bytes}


def _table(conv: float, linear: float, depthwise: float) -> Mapping[str, float]:
    return {"conv": conv, "linear": linear, "depthwise": depthwise}  # a dict, as a Device travels to other processes


_M4 = "[MLPerfTiny] Cortex-M4 with CMSIS-NN: conv 3.7, linear 3.9, depthwise 11-14; memory from the data sheet"
_M7 = "[MLPerfTiny] Cortex-M7 with X-CUBE-AI 8: conv 1.2, linear 1.95, depthwise 6-7; memory from the data sheet"
_M33 = "[MLPerfTiny] Cortex-M33 with CMSIS-NN: conv 3.25, linear 3.05, depthwise 7-10; memory from the data sheet"
_UNO = "estimate, not measured: two loads, MULS, 32-bit accumulate and loop by [AVR]; memory from the data sheet"

DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        device.name: device
        for device in (
            Device("arduino-uno", 32_768, 2_048, 16e6, _table(16, 14, 20), 20, 400, _UNO, core="AVR"),
            Device("microbit-v2", 524_288, 131_072, 64e6, _table(3.7, 3.9, 12), 6, 300, _M4, core="Cortex-M4"),
            Device("nano-33-ble", 1_048_576, 262_144, 64e6, _table(3.7, 3.9, 12), 6, 300, _M4, core="Cortex-M4"),
            Device("stm32l4r5", 2_097_152, 655_360, 120e6, _table(3.7, 3.9, 12), 6, 300, _M4, core="Cortex-M4"),
            Device("stm32f446", 524_288, 131_072, 180e6, _table(3.7, 3.9, 12), 6, 300, _M4, core="Cortex-M4"),
            Device("stm32f746", 1_048_576, 327_680, 216e6, _table(1.25, 1.95, 6.5), 3, 200, _M7, core="Cortex-M7"),
            Device("nrf5340", 1_048_576, 524_288, 128e6, _table(3.25, 3.05, 8.5), 5, 250, _M33, core="Cortex-M33"),
        )
    }
)
"""Presets by name."""
