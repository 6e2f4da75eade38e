"""Candidates evaluated here, or in a pool of processes."""

import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_EVERY = 0.1
"""Seconds from one look at the memory to the next."""


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


def process_pool(count: int, memory: float | None = None) -> ProcessPoolExecutor:
    """Worker processes, forked from a server that has loaded PyTorch once, so that they share its memory.

    Args:
        count: Of processes.
        memory: Bytes beyond which a process ends itself.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["sparsemod.evaluate"])
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(memory,))


def _start_worker(memory: float | None) -> None:
    """One thread per worker computes; Ctrl-C is the driver's affair, and a worker ends with its driver."""
    import torch
    import tqdm

    torch.set_num_threads(1)
    tqdm.tqdm.set_lock(threading.RLock())  # else one for many processes, which a worker that is ended never gives back
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    limit_memory(memory)


def _end_with_driver() -> None:
    """Else the workers of a driver that was killed would go on, and then wait for work forever."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


@functools.cache
def limit_memory(most: float | None) -> None:
    """Ends this process once it takes more than so many bytes; where `/proc` does not say what it takes, never.

    The system would end another one, or all of them, when the memory of the whole machine is taken.
    """
    if most is not None and Path("/proc/self/statm").exists():
        threading.Thread(target=_end_beyond, args=(most,), daemon=True).start()


def _end_beyond(most: float) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while int(Path("/proc/self/statm").read_text().split()[1]) * page <= most:  # the pages that are in memory
        time.sleep(_EVERY)
    os._exit(1)
