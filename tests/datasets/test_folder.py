"""Where data sets are looked for, and what is said if they are not there."""

from pathlib import Path

import pytest
from problems.data_files import write_cifar10, write_mnist

from sparsemod.datasets import cifar10, mnist
from sparsemod.errors import InputError


def test_missing_mnist_says_what_is_missing_and_where_to_get_it(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError) as caught:
        mnist(tmp_path)
    assert str(caught.value).splitlines() == [
        f"MNIST is not in {tmp_path}, nor in its folders mnist and MNIST/raw",
        "  Missing, plain or packed (.gz, .xz): t10k-labels-idx1-ubyte",
        "  The official files come from yann.lecun.com/exdb/mnist, torchvision's mirror is "
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "  Then set DATA_PATH to the folder of the data: an environment variable, or a line "
        "DATA_PATH=/path/to/folder in a file .env in the current folder",
    ]


@pytest.mark.parametrize("folder", [".", "no/such/folder"])
def test_missing_cifar10_says_what_is_missing_and_where_to_get_it(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError) as caught:
        cifar10(tmp_path / folder)
    assert "Missing, plain or packed (.gz, .xz): data_batch_*.bin, test_batch*.bin" in str(caught.value)
    assert 'www.cs.toronto.edu/~kriz/cifar.html, unpacked from the "binary version' in str(caught.value)


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PATH", str(write_mnist(tmp_path / "from environment")))
    (tmp_path / ".env").write_text(f"DATA_PATH={tmp_path / 'elsewhere'}\n")
    assert len(mnist(validation=0.25).train) == 9


def test_folder_comes_from_a_dotenv_file_in_the_current_folder(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "data" / "cifar10")
    (tmp_path / ".env").write_text("# where the data are\nDATA_PATH='data'\n")
    assert len(cifar10(validation=0.2).train) == 8


def test_folder_under_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA_PATH", "~/data")
    write_mnist(tmp_path / "data")
    assert len(mnist(validation=0.25).train) == 9
    assert len(mnist("~/data", validation=0.25).train) == 9


@pytest.mark.parametrize("content", [None, "", "DATA_PATH=\n", "OTHER=1\n"])
def test_no_folder_at_all_says_how_to_give_one(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ".env").write_text(content)
    with pytest.raises(InputError, match="no data folder is given: set DATA_PATH to the folder of the data"):
        mnist()
