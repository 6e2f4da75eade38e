import pickle

import pytest

from sparsemod.errors import ConfigError, Infeasible, InputError, SparsemodError


def test_config_error_lists_all_mistakes() -> None:
    error = ConfigError("config.cfg", ["[TRAIN] epochs: 'ten' is not a whole number", "[RUN] workers: -1 is below 1"])
    assert str(error) == (
        "config.cfg has 2 mistakes\n  [TRAIN] epochs: 'ten' is not a whole number\n  [RUN] workers: -1 is below 1"
    )
    assert error.mistakes == ("[TRAIN] epochs: 'ten' is not a whole number", "[RUN] workers: -1 is below 1")


def test_config_error_counts_one_mistake_in_the_singular() -> None:
    assert str(ConfigError("config.cfg", ["it is empty"])) == "config.cfg has 1 mistake\n  it is empty"


@pytest.mark.parametrize(
    "error", [ConfigError("config.cfg", ["it is empty"]), InputError("no data"), Infeasible("too big")]
)
def test_errors_come_back_from_another_process(error: SparsemodError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_infeasible_is_a_result_and_no_input_error() -> None:
    assert issubclass(ConfigError, InputError)
    assert not issubclass(Infeasible, InputError)
    assert issubclass(Infeasible, SparsemodError)
