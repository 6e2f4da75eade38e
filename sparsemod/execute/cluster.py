"""Candidates evaluated as Ray tasks, on this machine or on a cluster.

What every call needs, the configuration with the problem in it, is put into the object store once and read once by each
worker process; what a worker loads, it keeps. A call whose worker or machine is lost is tried again; Ray's own retries
are off, so that each loss is counted once and has its reason.
"""

import functools
import json
import math
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

from sparsemod.config import Config
from sparsemod.errors import InputError, SparsemodError
from sparsemod.execute.processes import limit_memory

P = ParamSpec("P")
T = TypeVar("T")

_COUNTED = 1.0
"""Seconds for which the size of a cluster is taken to be what it was."""
_LOOK = 2.0
"""Seconds from one look at the head of a cluster to the next."""
PATIENCE = 30.0
"""Seconds without an answer of the head after which a cluster is given up. Ray itself would end the whole process after
sixty, without a word of what to do."""


class WorkerLost(Exception):
    """A call that was begun several times and whose worker never came back."""


class ClusterLost(SparsemodError):
    """The cluster itself is gone."""


@dataclass
class _Call:
    """A call and what becomes of it.

    Attributes:
        work: The function and its arguments.
        future: For who submitted it.
        lost: Reasons of the attempts that were lost.
    """

    work: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
    future: "Future[Any]"
    lost: list[str]


class RayExecutor(Executor):
    """Ray tasks behind the face of an executor.

    Args:
        config: `[RUN]` says where the cluster is and what each call needs; the configuration itself travels once.

    Raises:
        InputError: There is no such cluster, or the problem cannot be sent there.
    """

    def __init__(self, config: Config) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray: Any = ray
        self._config, self._run = config, config.run
        self._guest = ray.is_initialized()  # within a program that uses Ray itself
        sent, environment = _travelling(config)
        _connect(ray, config, environment)
        try:
            self._shared = _Shared(ray.put(sent))
        except TypeError as error:
            self._leave()
            raise InputError(f"the problem cannot be sent to Ray workers: {error}") from error
        run, options = config.run, dict[str, Any](max_retries=0)
        if run.memory_per_candidate is not None:
            options["memory"] = int(run.memory_per_candidate)
        self._task: Any = ray.remote(num_cpus=run.cpus_per_candidate, num_gpus=run.gpus_per_candidate, **options)(_call)
        self._calls: set[Future[Any]] = set()
        self._ended: queue.SimpleQueue[tuple[_Call, Future[Any]] | None] = queue.SimpleQueue()
        self._counted = -math.inf, 0
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """The call as one Ray task."""
        sent = tuple(self._shared if argument is self._config else argument for argument in args)
        call = _Call((fn, sent, kwargs), Future(), [])
        call.future.set_running_or_notify_cancel()
        self._calls.add(call.future)
        call.future.add_done_callback(self._calls.discard)
        self._begin(call)
        return call.future

    def slots(self) -> int:
        """Calls that have room at the same time; on a cluster with `workers = 0` as many as it has room for now."""
        if self._run.workers:
            return self._run.workers
        counted, count = self._counted
        if time.monotonic() - counted > _COUNTED:
            rooms = [room(node["Resources"], self._run) for node in self._ray.nodes() if node["Alive"]]
            count = max(1, sum(rooms))
            self._counted = time.monotonic(), count
        return count

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster; a local one ends."""
        if wait and not cancel_futures:
            futures.wait(list(self._calls))
        self._ended.put(None)
        self._leave()

    def _leave(self) -> None:
        if not self._guest:
            self._ray.shutdown()

    def _begin(self, call: _Call) -> None:
        try:
            attempt: Future[Any] = self._task.remote(*call.work, self._run.memory_per_candidate).future()
        except Exception as error:  # the object store has no room for the arguments, or the cluster is gone
            attempt = Future()
            attempt.set_exception(error)
        attempt.add_done_callback(lambda attempt: self._ended.put((call, attempt)))

    def _collect(self) -> None:
        """Passes results on, and begins again what was lost; not in the callback, which is one of Ray's own threads."""
        heard = time.monotonic()
        while True:
            try:
                ended = self._ended.get(timeout=_LOOK)
            except queue.Empty:
                if not self._calls or self._head_answers():
                    heard = time.monotonic()
                elif time.monotonic() - heard > PATIENCE:
                    self._give_up(_cluster_lost(f"its head has not answered for {PATIENCE:g} s"))
                continue
            if ended is None:
                return self._give_up(futures.CancelledError())
            self._end(*ended)

    def _end(self, call: _Call, attempt: "Future[Any]") -> None:
        error = attempt.exception()
        if call.future.done():  # given up
            return
        if error is None:
            call.future.set_result(attempt.result())
        elif isinstance(error, (ConnectionError, self._ray.exceptions.RuntimeEnvSetupError)):
            self._give_up(_cluster_lost(str(error)))
        elif not self._is_loss(error):
            call.future.set_exception(error)
        elif len(call.lost) < self._run.retries:
            call.lost.append(_reason(error))
            self._begin(call)
        else:
            call.future.set_exception(WorkerLost(self._told([*call.lost, _reason(error)])))

    def _give_up(self, error: Exception) -> None:
        for future in list(self._calls):
            future.set_exception(error)

    def _is_loss(self, error: BaseException) -> bool:
        """Whether Ray, not the function that was called, raised an error."""
        known = self._ray.exceptions
        return isinstance(error, known.RayError) and not isinstance(error, known.RayTaskError)

    def _told(self, reasons: list[str]) -> str:
        memory = self._run.memory_per_candidate
        limit = "" if memory is None else f", or took more than {memory / 1e9:g} GB (memory_per_candidate)"
        return (
            f"its worker died {len(reasons)} times: it was killed, its machine was lost{limit}, or there was no room. "
            f"The last time: {reasons[-1]}"
        )

    def _head_answers(self) -> bool:
        if self._run.address.startswith("ray://"):
            return True  # calls themselves then raise a ConnectionError
        return _answers(self._ray.get_runtime_context().gcs_address)


def _cluster_lost(why: str) -> ClusterLost:
    return ClusterLost(
        f"the Ray cluster is lost: {why}. Every trial recorded so far is safe: start the cluster and run the same "
        "command again to go on"
    )


def _connect(ray: Any, config: Config, environment: Mapping[str, Any]) -> None:
    run = config.run
    options: dict[str, Any] = {"address": run.address}
    if not run.address:
        count = run.workers or os.cpu_count() or 1
        options = {"num_cpus": math.ceil(count * run.cpus_per_candidate) or 1, "include_dashboard": False}
    if ":" in run.address and "://" not in run.address and not _answers(run.address):
        raise _no_cluster(run.address, "nothing answers there")  # Ray would try for minutes
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False, runtime_env=dict(environment), **options)
    except (ConnectionError, ImportError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _no_cluster(run.address, str(error)) from error


def _no_cluster(address: str, why: str) -> InputError:
    where = f"at [RUN] address {address!r}" if address else "on this machine"
    return InputError(
        f"there is no Ray cluster {where}: {why}\n  start one with `ray start --head`, name the head of another (auto, "
        "HOST:6379, or ray://HOST:10001, which needs `pip install sparsemod[ray]`), or leave address empty for one on "
        "this machine. A cluster that asks for a token wants RAY_AUTH_MODE=token in the environment"
    )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_LOOK).close()
    except (OSError, ValueError):
        return False
    return True


def room(resources: Mapping[str, float], run: Any) -> int:
    """Candidates that a machine has room for, by what Ray says it has: cores, GPUs and bytes."""
    needed = {"CPU": run.cpus_per_candidate, "GPU": run.gpus_per_candidate, "memory": run.memory_per_candidate or 0}
    rooms = [
        int(resources.get(name, 0)) * int(1 / share)
        if name == "GPU" and 0 < share < 1
        else resources.get(name, 0) // share
        for name, share in needed.items()
        if share
    ]
    return int(min(rooms, default=resources.get("CPU", 0)))


# --- what travels ----------------------------------------------------------------------------------------------------


def _travelling(config: Config) -> tuple[Config, dict[str, Any]]:
    """The configuration as workers shall read it, and what Ray shall send them.

    A worker finds the folder that was sent as its current one; so the paths in the configuration, which are relative to
    its own folder, must say where that is below.
    """
    variables = {"OMP_NUM_THREADS": "1"}
    if not config.run.address:
        variables["PYTHONPATH"] = os.pathsep.join(sys.path)  # the worker finds the modules that this process does
    environment = _described(config.run.runtime_env)
    environment["env_vars"] = variables | environment.get("env_vars", {})
    sent = environment.get("working_dir")
    if sent is None or "://" in sent:
        return config, environment
    folder = (config.folder / sent).resolve()
    if not folder.is_dir():
        raise InputError(f"[RUN] runtime_env: there is no folder {folder} to send")
    environment["working_dir"] = str(folder)
    if not config.folder.resolve().is_relative_to(folder):
        raise InputError(f"[RUN] runtime_env: {folder} must hold the folder of the configuration, {config.folder}")
    return replace(config, folder=config.folder.resolve().relative_to(folder)), environment


def _described(text: str) -> dict[str, Any]:
    """`[RUN] runtime_env` as Ray wants it."""
    if not text.startswith("{"):
        return {"working_dir": text} if text else {}
    try:
        described: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise InputError(f"[RUN] runtime_env is neither a folder nor JSON: {error}") from error
    return described


@dataclass(frozen=True)
class _Shared:
    """Something in the object store; inside another object, so that Ray does not read it anew for each call."""

    place: Any


@functools.lru_cache(maxsize=1)
def _read(shared: _Shared) -> Any:
    """Once per worker process: what it loads for a problem, it finds again by that very problem."""
    import ray

    try:
        return ray.get(shared.place)
    except ray.exceptions.RaySystemError as error:
        raise InputError(
            f"a Ray worker cannot read the problem: {str(error).strip().splitlines()[-1]}. Name it as file.py:name and "
            "send its folder with [RUN] runtime_env, or install its module on every machine"
        ) from None


def _call(fn: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any], memory: float | None) -> T:
    """A plain function, as Ray wants it, for any callable."""
    limit_memory(memory)
    return fn(*(_read(each) if isinstance(each, _Shared) else each for each in args), **kwargs)


def _reason(error: BaseException) -> str:
    """First line of what Ray says, which goes on for a page."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)
