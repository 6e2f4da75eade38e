import pytest

from sparsemod.objectives import NAMES, OBJECTIVES, column, quantity


def test_order_is_the_one_that_one_to_four_counts() -> None:
    assert OBJECTIVES == ("error", "model_size", "working_memory", "latency")
    assert set(NAMES) - set(OBJECTIVES) == {"energy"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error", "error"),
        ("model_size", "model_size_bytes"),
        ("working_memory", "working_memory_bytes"),
        ("latency", "latency_ms"),
        ("energy", "energy_mj"),
        ("macs", "macs"),
        ("of_the_problem", "of_the_problem"),
    ],
)
def test_column_names_the_unit(name: str, expected: str) -> None:
    assert column(name) == expected


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("model_size", 1536, "1,536 bytes"),
        ("model_size", 0, "0 bytes"),
        ("working_memory", 2048.4, "2,048 bytes"),
        ("latency", 2.61234, "2.612 ms"),
        ("energy", 0.13, "0.13 mJ"),
        ("error", 0.0242, "0.0242"),
        ("error", float("nan"), "nan"),
        ("macs", 123456, "1.235e+05"),
    ],
)
def test_quantity_carries_its_unit(name: str, value: float, text: str) -> None:
    assert quantity(name, value) == text
