import copy
import dataclasses
import pickle

import pytest

from sparsemod.device import BASES, DEVICES, KINDS, Device

ANY_DEVICE = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES.keys())


@ANY_DEVICE
def test_preset_is_complete_and_positive(device: Device) -> None:
    assert DEVICES[device.name] is device
    assert set(device.cycles_per_mac) == set(KINDS)
    assert min(device.cycles_per_mac.values()) > 0
    assert min(device.flash_bytes, device.ram_bytes, device.clock_hz) > 0
    assert min(device.cycles_per_element, device.cycles_per_operator) >= 0
    assert device.source
    assert device.core
    assert device.basis in BASES
    assert (device.active_power_mw is None) == (not device.power_source)
    assert device.flops is None


@ANY_DEVICE
def test_device_travels_to_another_process(device: Device) -> None:
    assert pickle.loads(pickle.dumps(device)) == device
    assert copy.deepcopy(device) == device
    assert hash(pickle.loads(pickle.dumps(device))) == hash(device)


@ANY_DEVICE
def test_source_says_what_is_not_measured(device: Device) -> None:
    """Where nothing was measured the source begins with it; else it names the publication, or what was run."""
    assert device.source.startswith("estimate, not measured") == (device.basis == "estimate")
    known = ("MLPerf Tiny (mlcommons/tiny_results_v1.", "README of espressif/esp-nn", "the exported C (avr-gcc")
    assert device.source.startswith(known) == (device.basis != "estimate")


def test_parts_with_one_core_share_its_cycles() -> None:
    by_core: dict[str, list[Device]] = {}
    for device in DEVICES.values():
        by_core.setdefault(device.core, []).append(device)
    assert all(device.cycles_per_mac == same[0].cycles_per_mac for same in by_core.values() for device in same)
    assert len(by_core["Cortex-M4"]) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycles_per_mac": {"conv": 4.0}}, "device 'mine': cycles_per_mac lacks depthwise, linear"),
        ({"clock_hz": 0}, "device 'mine': clock_hz is 0; it must be above 0"),
        ({"active_power_mw": -1}, "device 'mine': active_power_mw is -1; it must be above 0"),
        ({"ram_bytes": float("nan")}, "device 'mine': ram_bytes is nan; it must be above 0"),
        (
            {"cycles_per_mac": {"conv": 4, "depthwise": 0, "linear": 2}},
            "device 'mine': cycles_per_mac['depthwise'] is 0; it must be above 0",
        ),
        (
            {"basis": "guess"},
            "device 'mine': basis is 'guess'; it must be one of measured, same core, estimate",
        ),
    ],
)
def test_device_with_a_wrong_figure_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(DEVICES["rp2040"], name="mine", **change)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_limits_are_flash_and_ram_in_bytes() -> None:
    assert DEVICES["arduino-uno"].limits() == {"model_size": 32 * 1024, "working_memory": 2 * 1024}


def test_presets_cannot_be_changed() -> None:
    device = DEVICES["arduino-uno"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        device.ram_bytes = 4_096  # type: ignore[misc]
    with pytest.raises(TypeError):
        DEVICES["mine"] = device  # type: ignore[index]


def test_own_device_is_a_changed_copy() -> None:
    mine = dataclasses.replace(DEVICES["nano-33-ble"], name="mine", ram_bytes=65_536)
    assert mine.limits()["working_memory"] == 65_536
    assert mine != DEVICES["nano-33-ble"]
    assert DEVICES["nano-33-ble"].ram_bytes == 262_144
