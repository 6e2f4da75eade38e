import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsemod.config import from_keywords
from sparsemod.config.sections import RunSection
from sparsemod.errors import ConfigError, InputError
from sparsemod.evaluate import Outcome, evaluate
from sparsemod.execute import SerialExecutor, abandon, open_executor, process_pool, workers
from sparsemod.problem import load
from sparsemod.study import Candidate
from sparsemod.testing import check_executor

TINY = f"{Path(__file__).parents[1] / 'problems' / 'tiny.py'}:problem"


def fail(value: int) -> None:
    raise ValueError(f"{value} is wrong")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def take(size: float) -> None:
    """Takes so many bytes until it is ended."""
    taken = bytearray(int(size))
    time.sleep(60)
    del taken


def process_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def is_running(process: int) -> bool:
    """Whether a process, not necessarily a child, does anything yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_within(process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(process)


EXECUTORS = ("serial", "processes", pytest.param("ray", marks=pytest.mark.ray))


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with open_executor(from_keywords(executor=request.param, workers=2)) as executor:
        yield executor


@pytest.fixture
def pool() -> Iterator[Executor]:
    pool = process_pool(2)
    yield pool
    abandon(pool)


def test_executor_passes_the_contract_check(executor: Executor) -> None:
    assert check_executor(executor) == []


def test_results_come_back_to_their_calls(executor: Executor) -> None:
    futures = [executor.submit(math.factorial, n) for n in range(6)]
    assert [future.result(timeout=60) for future in futures] == [1, 1, 2, 6, 24, 120]


def test_keyword_arguments_arrive(executor: Executor) -> None:
    assert executor.submit(int, "11", base=2).result(timeout=60) == 3


def test_exception_comes_out_and_names_its_cause(executor: Executor) -> None:
    future = executor.submit(fail, 7)
    with pytest.raises(ValueError, match="7 is wrong"):
        future.result(timeout=60)
    assert isinstance(future.exception(), ValueError)
    assert executor.submit(math.factorial, 3).result(timeout=60) == 6  # and the executor still works


def test_futures_can_be_waited_for(executor: Executor) -> None:
    futures = {executor.submit(nap, 0.01 * n) for n in range(3)}
    done, running = wait(futures, timeout=60)
    assert (done, running) == (futures, set())


def test_evaluation_is_the_same_everywhere(executor: Executor) -> None:
    config = from_keywords(problem=TINY, device="microbit-v2")
    space = load(TINY).space
    candidates = [Candidate(n, space.from_unit([0.3 + 0.1 * n] * len(space)), 1, "test") for n in range(3)]
    futures = [executor.submit(evaluate, candidate, config) for candidate in candidates]
    for future, candidate in zip(futures, candidates, strict=True):
        here, there = evaluate(candidate, config), future.result(timeout=60)
        assert isinstance(there, Outcome)
        assert there.trial.status == "complete", there.trial.reason
        assert there.trial.score == here.trial.score
        assert here.weights is not None and there.weights is not None
        assert all(torch.equal(here.weights[name], there.weights[name]) for name in here.weights)


def test_one_thread_computes_in_each_worker(executor: Executor) -> None:
    torch.set_num_threads(1)  # for the serial one, as `search` does
    assert executor.submit(torch.get_num_threads).result(timeout=60) == 1


def test_serial_executor_works_here_and_at_once() -> None:
    future = SerialExecutor().submit(os.getpid)
    assert future.done()
    assert future.result() == os.getpid()


def test_interrupt_passes_through_the_serial_executor() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialExecutor().submit(interrupt)


@pytest.mark.parametrize(
    ("executor", "count", "expected"),
    [("serial", 0, 1), ("serial", 8, 1), ("processes", 3, 3), ("processes", 0, os.cpu_count()), ("ray", 2, 2)],
)
def test_slots_follow_the_configuration(executor: str, count: int, expected: int) -> None:
    assert workers(from_keywords(executor=executor, workers=count)) == expected


def test_unknown_executor_is_refused() -> None:
    with pytest.raises(ConfigError, match="'threads' is not allowed"):
        from_keywords(executor="threads")
    with pytest.raises(InputError, match="executor 'threads' is not serial, processes or ray"):
        open_executor(replace(from_keywords(), run=RunSection(executor="threads")))


@pytest.mark.parametrize("name", EXECUTORS)
def test_leaving_waits_for_what_is_running(name: str) -> None:
    with open_executor(from_keywords(executor=name, workers=1)) as executor:
        futures = [executor.submit(nap, 0.1) for _ in range(2)]
    assert [future.result(timeout=0) for future in futures] == [0.1, 0.1]


# --- processes -------------------------------------------------------------------------------------------------------


def test_two_workers_are_two_other_processes(pool: Executor) -> None:
    futures = [pool.submit(process_after, 1.0) for _ in range(2)]
    assert len({os.getpid(), *(future.result(timeout=60) for future in futures)}) == 3


def test_killed_worker_breaks_the_pool(pool: Executor) -> None:
    with pytest.raises(BrokenProcessPool):
        pool.submit(die).result(timeout=60)
    with pytest.raises(BrokenProcessPool):
        pool.submit(nap, 0)


def test_abandoned_workers_end_at_once(pool: Executor) -> None:
    process = pool.submit(os.getpid).result(timeout=60)
    futures = [pool.submit(nap, 600) for _ in range(4)]
    time.sleep(0.2)
    started = time.monotonic()
    abandon(pool)
    assert ends_within(process, 10)
    assert time.monotonic() - started < 10
    assert all(is_lost(future) for future in futures)


def is_lost(future: "Future[None]") -> bool:
    """Cancelled or broken: which of both depends on whether its worker had taken it."""
    try:
        return isinstance(future.exception(timeout=30), BrokenProcessPool)
    except CancelledError:
        return True


def test_abandoned_pool_leaves_nothing_behind() -> None:
    """Python reports semaphores that were not given back, and threads that Python's exit meets while they end."""
    program = """
import threading, time
from sparsemod.execute import abandon, process_pool

if __name__ == "__main__":
    pool = process_pool(1)
    pool.submit(exec, "import tqdm; tqdm.tqdm([], disable=True)").result()
    running = pool.submit(time.sleep, 60)
    while not running.running():
        time.sleep(0.01)
    abandon(pool)
    assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")


def test_abandoning_a_pool_leaves_other_processes_alone(pool: Executor) -> None:
    pool.submit(nap, 0).result(timeout=60)
    mine = multiprocessing.get_context("spawn").Process(target=nap, args=(600,))
    mine.start()
    try:
        abandon(pool)
        mine.join(timeout=1)
        assert mine.is_alive()
    finally:
        mine.kill()


def test_abandoning_twice_or_idle_is_no_error(pool: Executor) -> None:
    abandon(pool)
    abandon(pool)
    abandon(SerialExecutor())


def test_ctrl_c_reaches_the_driver_alone(pool: Executor) -> None:
    assert pool.submit(signal.getsignal, signal.SIGINT).result(timeout=60) == signal.SIG_IGN


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_workers_end_when_the_driver_is_killed() -> None:
    driver = """
import os, time
from sparsemod.execute import process_pool
if __name__ == "__main__":
    pool = process_pool(1)
    process = pool.submit(os.getpid).result()
    pool.submit(time.sleep, 600)
    print(process, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    assert ends_within(worker, 10)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_worker_that_takes_too_much_memory_ends() -> None:
    with process_pool(1, memory=1e9) as pool:
        assert pool.submit(nap, 0.2).result(timeout=60) == 0.2
        with pytest.raises(BrokenProcessPool):
            pool.submit(take, 1e9).result(timeout=60)
