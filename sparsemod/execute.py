"""Where candidates are evaluated: here, in a pool of processes, or on Ray, all behind Python's `Executor`."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, ParamSpec, TypeVar

from sparsemod.config import Config
from sparsemod.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


def open_executor(config: Config) -> Executor:
    """The executor that `[RUN]` asks for; close it with `shutdown` or as a context manager."""
    match config.run.executor:
        case "serial":
            return SerialExecutor()
        case "processes":
            _require_picklable(config)
            return process_pool(workers(config))
        case "ray":
            return RayExecutor(config.run.address, workers(config), config.run.gpus_per_candidate)
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
    """Number of candidates evaluated at the same time."""
    return 1 if config.run.executor == "serial" else config.run.workers or os.cpu_count() or 1


def abandon(executor: Executor) -> None:
    """Ends an executor at once; what it was doing is lost."""
    processes = getattr(executor, "_processes", None) or {}  # public only from Python 3.14 on, as terminate_workers
    running = list(processes.values())
    executor.shutdown(wait=False, cancel_futures=True)
    for worker in running:
        worker.terminate()


class SerialExecutor(Executor):
    """Runs a call when it is submitted, in this process."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """A future that is already done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def process_pool(count: int) -> ProcessPoolExecutor:
    """Worker processes, forked from a server that has loaded PyTorch once, so that they share its memory."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["sparsemod.evaluate"])
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    """One thread per worker computes; Ctrl-C is the driver's affair, and a worker ends with its driver."""
    import torch
    import tqdm

    torch.set_num_threads(1)
    tqdm.tqdm.set_lock(threading.RLock())  # else one for many processes, which a worker that is ended never gives back
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """Else the workers of a driver that was killed would go on, and then wait for work forever."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


class RayExecutor(Executor):
    """Ray tasks behind the face of an executor.

    Args:
        address: Of a cluster; empty starts a local one.
        count: Processors of a local one.
        gpus: Share of a GPU for each call.
    """

    def __init__(self, address: str, count: int, gpus: float = 0.0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        options: dict[str, Any] = {"address": address} if address else {"num_cpus": count, "include_dashboard": False}
        variables = {"OMP_NUM_THREADS": "1"}
        if not address:
            variables["PYTHONPATH"] = os.pathsep.join(sys.path)  # the worker finds the modules that this process does
        try:
            ray.init(ignore_reinit_error=True, log_to_driver=False, runtime_env={"env_vars": variables}, **options)
        except (ConnectionError, ray.exceptions.RayError) as error:
            raise InputError(f"there is no Ray cluster at [RUN] address {address!r}: {error}") from error
        self._ray = ray
        self._call: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=2)(_call)
        self._running: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """The call as one Ray task."""
        future: Future[T] = self._call.remote(fn, *args, **kwargs).future()
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster; a local one ends."""
        if wait and not cancel_futures:
            futures.wait(list(self._running))
        self._ray.shutdown()


def _call(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """A plain function, as Ray wants it, for any callable."""
    return fn(*args, **kwargs)
