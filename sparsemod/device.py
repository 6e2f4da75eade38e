"""Microcontrollers: how much memory they have, how long a multiply-accumulate takes on them, and what power they draw.

Cycles per MAC are averages over whole networks, so a latency is an estimate. It is within 6 % of the latencies of the
four MLPerf Tiny networks that a table was taken from, which says that three figures describe four networks; other
libraries were up to 2.2 times as fast and 1.4 times as slow on the same core, and two networks of equal MACs have been
measured 29-66 % apart on one Cortex-M4. Latencies rank networks well within one search space [Banbury2021]. Cycles per
element and per operator are estimates on every part but the ESP32-S3 and the AVR; they are a few percent of a latency.
An AVR has no vendor kernels: its table is that of the exported C, in which an output takes longer than its products.

[Banbury2021] MicroNets, MLSys 2021, arXiv 2010.11267.
[MLPerfTiny] mlcommons/tiny_results_v1.1 and v1.2, closed division: cycles = clock x latency / MACs of the reference
    networks; what exceeds the rate of image classification is charged to the depthwise layers. Power is energy x
    inferences per second.
[ARMv6-M] Arm Cortex-M0 and Cortex-M0+ Technical Reference Manuals: loads take 2 cycles, MULS 1 or 32 as the maker
    chooses, other arithmetic 1, a taken branch 3 on the M0 and 2 on the M0+.
[ESP-NN] espressif/esp-nn and espressif/esp-tflite-micro, README: ticks of single kernels, and milliseconds of person
    detection, on an ESP32-S3 at 240 MHz.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

KINDS = ("conv", "depthwise", "linear")
"""Kinds of operators that multiply and accumulate; every cycle table has these."""

BASES = ("measured", "same core", "estimate")
"""How cycles per MAC are known: measured on this part, on another with its core (an AVR: emulated), or not."""


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
        basis: How the cycles per MAC are known: one of `BASES`.
        active_power_mw: Power while it computes; without it there is no energy.
        power_source: Where the power comes from.
        cycles_per_output: Cycles per output element of a layer that multiplies and accumulates, beside those; 0 where
            the cycles per MAC hold them.

    Raises:
        ValueError: A figure is missing or not positive.
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
    basis: str = "estimate"
    active_power_mw: float | None = None
    power_source: str = ""
    cycles_per_output: float = 0.0

    def __post_init__(self) -> None:
        missing = [kind for kind in KINDS if kind not in self.cycles_per_mac]
        if missing:
            raise ValueError(f"device {self.name!r}: cycles_per_mac lacks {', '.join(missing)}")
        figures = {name: getattr(self, name) for name in ("flash_bytes", "ram_bytes", "clock_hz", "active_power_mw")}
        figures |= {f"cycles_per_mac[{kind!r}]": cycles for kind, cycles in self.cycles_per_mac.items()}
        for name, value in figures.items():
            if value is not None and not value > 0:
                raise ValueError(f"device {self.name!r}: {name} is {value}; it must be above 0")
        if self.basis not in BASES:
            raise ValueError(f"device {self.name!r}: basis is {self.basis!r}; it must be one of {', '.join(BASES)}")

    def limits(self) -> dict[str, float]:
        """The hard limits that the part itself sets, in bytes."""
        return {"model_size": self.flash_bytes, "working_memory": self.ram_bytes}


def _core(
    core: str, *, conv: float, linear: float, depthwise: float, element: float, operator: float, output: float = 0.0
) -> Mapping[str, Any]:
    """The figures that parts with one core share; plain dicts, as a Device travels to other processes."""
    cycles = {"conv": conv, "linear": linear, "depthwise": depthwise}
    return {
        "core": core,
        "cycles_per_mac": cycles,
        "cycles_per_element": element,
        "cycles_per_operator": operator,
        "cycles_per_output": output,
    }


_AVR = _core("AVR", conv=30, linear=150, depthwise=50, element=520, operator=2600, output=1400)
_M0 = _core("Cortex-M0", conv=7.8, linear=9.9, depthwise=45, element=10, operator=400)
_M0_PLUS = _core("Cortex-M0+", conv=7.8, linear=9.9, depthwise=45, element=10, operator=400)
_M4 = _core("Cortex-M4", conv=3.7, linear=3.9, depthwise=12, element=6, operator=300)
_M33 = _core("Cortex-M33", conv=3.25, linear=3.05, depthwise=8.5, element=5, operator=250)
_M7 = _core("Cortex-M7", conv=1.25, linear=1.95, depthwise=6.5, element=3, operator=200)
_M55 = _core("Cortex-M55", conv=0.66, linear=1.9, depthwise=8, element=2, operator=200)
_LX7 = _core("Xtensa LX7", conv=1.13, linear=5.6, depthwise=5.2, element=22, operator=1000)

_V1_1 = "MLPerf Tiny (mlcommons/tiny_results_v1.1)"
_V1_2 = "MLPerf Tiny (mlcommons/tiny_results_v1.2)"
_DATA_SHEET = "; memory from the data sheet"

_OF_M0_PLUS = (
    f"{_V1_2}, Cortex-M0+ of an STM32G0B1, code of a commercial generator (Bosch HALE): conv 7.8, linear 9.9, "
    "depthwise 41-48"
)
_OF_M4 = f"{_V1_1}, Cortex-M4 of an STM32L4R5, CMSIS-NN (Krai, microTVM): conv 3.7, linear 3.9, depthwise 11-14"
_OF_M33 = f"{_V1_1}, Cortex-M33 of an nRF5340, CMSIS-NN (Krai, microTVM): conv 3.25, linear 3.05, depthwise 7-10"
_OF_M7 = f"{_V1_1}, Cortex-M7 of an STM32H7A3, X-CUBE-AI 8 (Krai): conv 1.2, linear 1.95, depthwise 6-7"

_PRESETS = (
    Device(
        "arduino-uno", 32_768, 2_048, 16e6, **_AVR, basis="same core",
        source="the exported C (avr-gcc 5.4, -Os) of 80 random networks of the built-in space, pruned as drawn, on an "
        "ATmega2560 emulated by simavr, with the cycles of the data sheet; half of the predictions within 22 %, all "
        f"between 0.2 and 1.8 times (benchmarks/cost.py --only avr){_DATA_SHEET}",
        active_power_mw=52,
        power_source="ATmega328P data sheet DS40001984A, table 32-4: typically 5.2 mA at 8 MHz and 5 V; twice that for "
        "16 MHz",
    ),
    Device(
        "microbit-v1", 262_144, 16_384, 16e6, **_M0, basis="estimate",
        source="estimate, not measured on a Cortex-M0: as the M0+, from which it differs by one cycle per taken branch "
        f"(Arm's reference manuals), if its MULS takes one cycle, too. {_OF_M0_PLUS}{_DATA_SHEET} of the nRF51822",
        active_power_mw=13.2,
        power_source="nRF51822 product specification: 4.4 mA at 16 MHz, running from flash; at 3 V",
    ),
    Device(
        "microbit-v2", 524_288, 131_072, 64e6, **_M4, basis="same core",
        source=f"{_OF_M4}{_DATA_SHEET} of the nRF52833",
    ),
    Device(
        "nano-33-ble", 1_048_576, 262_144, 64e6, **_M4, basis="same core",
        source=f"{_OF_M4}{_DATA_SHEET} of the nRF52840",
        active_power_mw=9.9,
        power_source="nRF52840 product specification: 3.3 mA, CoreMark at 64 MHz from flash, DC/DC regulator; at 3 V",
    ),
    Device(
        "rp2040", 2_097_152, 270_336, 133e6, **_M0_PLUS, basis="same core",
        source=f"{_OF_M0_PLUS}. One of the two cores; the weights lie in external flash behind a cache of 16 KB, whose "
        f"misses are not counted{_DATA_SHEET}, flash that of a Raspberry Pi Pico",
    ),
    Device(
        "stm32l4r5", 2_097_152, 655_360, 120e6, **_M4, basis="measured",
        source=f"{_OF_M4}{_DATA_SHEET}",
        active_power_mw=75,
        power_source=f"{_V1_1}, measured: 70-78 mW at 120 MHz and 3 V with X-CUBE-AI 8 (Krai)",
    ),
    Device(
        "stm32f446", 524_288, 131_072, 180e6, **_M4, basis="same core",
        source=f"{_OF_M4}{_DATA_SHEET}",
    ),
    Device(
        "stm32f746", 1_048_576, 327_680, 216e6, **_M7, basis="same core",
        source=f"{_OF_M7}. Commercial libraries were measured on this very part (tiny_results_v1.0, v1.2): conv 1.1, "
        f"linear 1.4-1.9{_DATA_SHEET}",
    ),
    Device(
        "stm32h743", 2_097_152, 1_048_576, 480e6, **_M7, basis="same core",
        source=f"{_OF_M7}{_DATA_SHEET}: the RAM lies in several banks, the largest of 512 KiB",
    ),
    Device(
        "nrf5340", 1_048_576, 524_288, 128e6, **_M33, basis="measured",
        source=f"{_OF_M33}{_DATA_SHEET} of the application core",
    ),
    Device(
        "esp32-s3", 8_388_608, 524_288, 240e6, **_LX7, basis="measured",
        source="README of espressif/esp-nn, one core at 240 MHz: conv 1.13 (1x1, 64 channels; 2.7 with 16 channels), "
        "depthwise 5.2, linear 5.6 (a layer of 795 MACs: an upper bound), addition 22 cycles per element read, max "
        "pooling 24 per element written; cycles per operator are an estimate. Flash is external, 8 MB typical"
        f"{_DATA_SHEET}",
        active_power_mw=239,
        power_source="ESP32-S3 data sheet, currents in Modem-sleep mode: typically 72.4 mA at 240 MHz, one core with "
        "128-bit data access, peripherals off; at 3.3 V; external flash comes on top",
    ),
    Device(
        "cortex-m55", 2_097_152, 1_048_576, 160e6, **_M55, basis="estimate",
        source="estimate, not measured, and a class rather than a part: twice the cycles of a Cortex-M85, which has as "
        f"wide vectors but starts two instructions at a time ({_V1_2}, Renesas RA8D1, CMSIS-NN: conv 0.33, linear "
        "0.96, depthwise 3-5). Clock and memory are typical",
    ),
)  # fmt: skip

DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _PRESETS})
"""Presets by name."""
