"""Where candidates are evaluated: here, in a pool of processes, or on Ray, all behind Python's `Executor`."""

import os
import pickle
from concurrent.futures import Executor

from sparsemod.accelerator import accelerator_of
from sparsemod.config import Config
from sparsemod.errors import InputError
from sparsemod.execute.cluster import RayExecutor, WorkerLost
from sparsemod.execute.processes import SerialExecutor, process_pool

__all__ = [
    "RayExecutor", "SerialExecutor", "WorkerLost", "abandon", "open_executor", "process_pool", "slots", "workers",
]  # fmt: skip


def open_executor(config: Config) -> Executor:
    """The executor that `[RUN]` asks for; close it with `shutdown` or as a context manager."""
    if config.run.executor != "ray":  # the head of a cluster may have no GPU
        accelerator_of(config)
    match config.run.executor:
        case "serial":
            return SerialExecutor()
        case "processes":
            _require_picklable(config)
            return process_pool(workers(config), config.run.memory_per_candidate)
        case "ray":
            return RayExecutor(config)
        case name:
            raise InputError(f"executor {name!r} is not serial, processes or ray")


def _require_picklable(config: Config) -> None:
    try:
        pickle.dumps(config)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"the problem cannot be sent to worker processes ({error}). Define its functions at the top level of a "
            "module, name the problem as file.py:name, or set executor = serial"
        ) from error


def workers(config: Config) -> int:
    """Number of candidates evaluated at the same time, as far as the configuration tells."""
    return 1 if config.run.executor == "serial" else config.run.workers or os.cpu_count() or 1


def slots(executor: Executor, config: Config) -> int:
    """Number of candidates evaluated at the same time: what the configuration says, or what a cluster has room for."""
    return executor.slots() if isinstance(executor, RayExecutor) else workers(config)


def abandon(executor: Executor) -> None:
    """Ends an executor at once; what it was doing is lost."""
    processes = getattr(executor, "_processes", None) or {}  # public only from Python 3.14 on, as terminate_workers
    for worker in list(processes.values()):
        worker.terminate()
    executor.shutdown(wait=True, cancel_futures=True)  # its thread would else close what Python's exit still writes to
