import copy
import dataclasses
import pickle

import pytest

from sparsemod.device import DEVICES, KINDS, Device

ANY_DEVICE = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES.keys())


@ANY_DEVICE
def test_preset_is_complete_and_positive(device: Device) -> None:
    assert DEVICES[device.name] is device
    assert set(device.cycles_per_mac) == set(KINDS)
    assert min(device.cycles_per_mac.values()) > 0
    assert min(device.flash_bytes, device.ram_bytes, device.clock_hz) > 0
    assert min(device.cycles_per_element, device.cycles_per_operator) >= 0
    assert device.source
    assert device.flops is None


@ANY_DEVICE
def test_device_travels_to_another_process(device: Device) -> None:
    assert pickle.loads(pickle.dumps(device)) == device
    assert copy.deepcopy(device) == device
    assert hash(pickle.loads(pickle.dumps(device))) == hash(device)


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
