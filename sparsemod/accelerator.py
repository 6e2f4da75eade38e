"""Where networks are trained: the processor, or a GPU if the configuration gives them one.

All else that is done with a network happens on the processor, where the random numbers for its batches are drawn, too,
so that a candidate learns from the same batches in the same order wherever it learns. Dropout alone draws there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from sparsemod.config import Config
from sparsemod.errors import InputError

PROCESSOR = torch.device("cpu")


def accelerator_of(config: Config) -> torch.device:
    """The device of PyTorch that trains the networks of this process.

    Args:
        config: `[RUN] accelerator`; `auto` is the GPU of which Ray gives each candidate a share, if PyTorch finds it,
            or else the processor.

    Raises:
        InputError: PyTorch does not know the named device, or does not find it on this machine.
    """
    run = config.run
    name = run.accelerator
    if name == "auto":
        name = "cuda" if run.executor == "ray" and run.gpus_per_candidate and torch.cuda.is_available() else "cpu"
    try:
        accelerator = torch.device(name)
        torch.empty(1, device=accelerator)
    except (RuntimeError, AssertionError) as error:  # a PyTorch without CUDA raises an AssertionError
        raise InputError(
            f"[RUN] accelerator = {name}: {str(error).strip().splitlines()[0]}; say cpu, or install a PyTorch that "
            "knows yours"
        ) from error
    return accelerator


@contextmanager
def on(accelerator: torch.device, network: nn.Module) -> Iterator[None]:
    """A network is there as long as it learns or is measured within, and then again where it was before."""
    before = next((parameter.device for parameter in network.parameters()), accelerator)
    if before == accelerator:
        yield
        return
    network.to(accelerator)
    try:
        yield
    finally:
        network.to(before)
