"""One small Ray cluster on this machine, and what clusters do to a search."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from problems.searches import FORMULA

from sparsemod.config import from_keywords, read
from sparsemod.config.sections import RunSection
from sparsemod.errors import InputError, SparsemodError
from sparsemod.evaluate import Outcome, evaluate
from sparsemod.execute import RayExecutor, WorkerLost, open_executor
from sparsemod.execute.cluster import room
from sparsemod.loop import Progress, search
from sparsemod.results import load as load_study
from sparsemod.study import Candidate, Trial

STORE = 100_000_000
"""Bytes of the object store of each machine."""
PATIENCE = 240
"""Seconds: a busy machine takes long to start a worker."""


@pytest.mark.parametrize(
    ("resources", "needed", "expected"),
    [
        ({"CPU": 8}, {}, 8),
        ({"CPU": 8}, {"cpus_per_candidate": 3}, 2),
        ({"CPU": 8, "GPU": 2}, {"gpus_per_candidate": 0.3}, 6),  # three on each GPU: none is split over two
        ({"CPU": 8, "GPU": 2}, {"gpus_per_candidate": 2}, 1),
        ({"CPU": 8}, {"gpus_per_candidate": 1}, 0),
        ({"CPU": 8, "memory": 10e9}, {"memory_per_candidate": 4e9}, 2),
        ({"CPU": 8, "GPU": 4}, {"cpus_per_candidate": 0, "gpus_per_candidate": 1}, 4),
    ],
)
def test_room_on_a_machine_is_what_every_resource_allows(
    resources: dict[str, float], needed: dict[str, Any], expected: int
) -> None:
    assert room(resources, RunSection(**needed)) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("{pip", "runtime_env is neither a folder nor JSON"),
        ("nowhere", "there is no folder .*nowhere to send"),
        ("/usr/lib", "/usr/lib must hold the folder of the configuration"),
    ],
)
def test_runtime_environment_that_cannot_be_sent_is_refused(environment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_executor(from_keywords(executor="ray", runtime_env=environment))


def test_address_where_nothing_answers_is_refused_at_once_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no Ray cluster at .*127\.0\.0\.1:9'.*nothing answers.*\n.*ray start --head"):
        open_executor(from_keywords(executor="ray", address="127.0.0.1:9"))


# --- a cluster -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without processors, so that machines may be lost, and one machine with two."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    started.add_node(num_cpus=2, object_store_memory=STORE)
    yield started
    started.shutdown()


@pytest.fixture
def opened(cluster: Any) -> Iterator[Callable[..., RayExecutor]]:
    executors: list[RayExecutor] = []

    def connect(**keywords: Any) -> RayExecutor:
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        environment = f'{{"env_vars": {{"PYTHONPATH": "{path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}"}}}}'
        settings = {"executor": "ray", "address": cluster.address, "runtime_env": environment, **keywords}
        executor = open_executor(from_keywords(**settings))
        assert isinstance(executor, RayExecutor)
        executors.append(executor)
        return executor

    yield connect
    for executor in executors:
        executor.shutdown(wait=False, cancel_futures=True)


def note(path: Path, until: Path | None = None) -> int:
    """Leaves the number of its process in a file, and ends once another file is there."""
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    while until is not None and not until.exists():
        time.sleep(0.05)
    return os.getpid()


def begun(folder: Path) -> list[int]:
    """How often each call that leaves notes was begun."""
    return sorted(len(path.read_text().splitlines()) for path in folder.glob("[0-9]"))


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def die(path: Path, times: int = 100) -> int:
    """Kills its process, but only so many times."""
    note(path)
    if len(path.read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def take(size: int) -> None:
    taken = bytearray(size)
    time.sleep(60)
    del taken


@pytest.mark.ray
def test_call_whose_worker_was_killed_is_tried_again(opened: Callable[..., RayExecutor], tmp_path: Path) -> None:
    executor = opened(retries=2)
    assert executor.submit(die, tmp_path / "once", 1).result(timeout=PATIENCE) == 7
    error = executor.submit(die, tmp_path / "always").exception(timeout=PATIENCE)
    assert isinstance(error, WorkerLost)
    assert str(error).startswith("its worker died 3 times: it was killed")
    assert len((tmp_path / "always").read_text().splitlines()) == 3
    assert executor.submit(math.factorial, 3).result(timeout=PATIENCE) == 6


@pytest.mark.ray
def test_worker_that_takes_too_much_memory_is_killed(opened: Callable[..., RayExecutor]) -> None:
    executor = opened(retries=0, memory_per_candidate="1 GB")
    error = executor.submit(take, 1_000_000_000).exception(timeout=PATIENCE)
    assert "its worker died 1 times" in str(error)
    assert "took more than 1 GB (memory_per_candidate)" in str(error)


@pytest.mark.ray
def test_more_than_the_object_store_holds_is_moved_to_disk(opened: Callable[..., RayExecutor]) -> None:
    executor, block = opened(), bytes(STORE // 4)
    futures = [executor.submit(bytes.__add__, block, b"x") for _ in range(8)]
    assert [len(future.result(timeout=PATIENCE)) for future in futures] == [STORE // 4 + 1] * 8


@pytest.mark.ray
def test_calls_of_a_lost_machine_are_made_elsewhere_and_slots_follow(
    cluster: Any, opened: Callable[..., RayExecutor], tmp_path: Path
) -> None:
    executor = opened(retries=1)
    assert executor.slots() == 2
    machine = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    wait_for(lambda: executor.slots() == 3)
    end = tmp_path / "end"
    futures = [executor.submit(note, tmp_path / f"{n}", end) for n in range(3)]
    wait_for(lambda: begun(tmp_path) == [1, 1, 1])
    cluster.remove_node(machine, allow_graceful=False)
    wait_for(lambda: executor.slots() == 2)
    end.touch()
    assert [future.exception(timeout=PATIENCE) for future in futures] == [None] * 3
    assert begun(tmp_path) == [1, 1, 2]


def needs(share: float) -> Outcome:
    """As an evaluation on a GPU ends that has too small a share of it."""
    import ray

    trial = Trial(Candidate(0, {"width": 1}, 1, "test"), "complete")
    given = ray.get_runtime_context().get_assigned_resources().get("GPU", 0)
    return Outcome(trial if given >= share else replace(trial, status="failed", reason="out of memory: 2 GB of 1 GB"))


@pytest.mark.ray
def test_candidate_that_does_not_fit_beside_others_has_a_gpu_of_its_own(
    cluster: Any, opened: Callable[..., RayExecutor]
) -> None:
    machine = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=STORE)  # Ray takes our word for the GPU
    executor = opened(gpus_per_candidate=0.5, cpus_per_candidate=0.5)
    trials = [executor.submit(needs, share).result(timeout=PATIENCE).trial for share in (0.5, 1.0, 2.0)]
    assert [trial.status for trial in trials] == ["complete", "complete", "failed"]
    assert trials[2].reason == "out of memory: 2 GB of 1 GB"
    cluster.remove_node(machine)


PROBLEM = """
import os
from pathlib import Path
import beside
from problems.tiny import load_data as tiny_data
from sparsemod import Problem
from sparsemod.spaces import cnn

def load_data():
    with open({notes!r}, "a") as file:
        print(os.getpid(), Path(__file__).parent, beside.WORD, file=file)
    return tiny_data()

problem = Problem(cnn.space(blocks=1, layers=1, filters=(1, 8), fc_layers=1, fc_units=(4, 8)), cnn.build, load_data)
"""


@pytest.mark.ray
def test_files_of_the_problem_are_sent_and_data_is_loaded_once_by_each_worker(cluster: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "beside.py").write_text("WORD = 'sent'")
    (folder / "problem.py").write_text(PROBLEM.format(notes=str(notes)))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    (folder / "config.cfg").write_text(
        f"[PROBLEM]\nproblem = problem.py:problem\n[DEVICE]\ndevice = microbit-v2\n[RUN]\nexecutor = ray\n"
        f'address = {cluster.address}\nruntime_env = {{"working_dir": ".", "env_vars": {{"PYTHONPATH": "{path}"}}}}\n'
    )
    config = read(folder / "config.cfg")
    space = problem_space(folder)
    with open_executor(config) as executor:
        candidates = [Candidate(n, space.from_unit([0.2 + 0.04 * n] * len(space)), 1, "test") for n in range(6)]
        outcomes = [executor.submit(evaluate, each, config) for each in candidates]
        trials = [outcome.result(timeout=90).trial for outcome in outcomes]
    assert [trial.status for trial in trials] == ["complete"] * 6, [trial.reason for trial in trials]
    loaded = [line.split() for line in notes.read_text().splitlines()]
    assert 1 <= len(loaded) == len({process for process, _, _ in loaded}) <= 2
    assert all(word == "sent" and place != str(folder) for _, place, word in loaded)


def problem_space(folder: Path) -> Any:
    """The space of `PROBLEM`, without loading it here."""
    from sparsemod.spaces import cnn

    return cnn.space(blocks=1, layers=1, filters=(1, 8), fc_layers=1, fc_units=(4, 8))


@pytest.mark.ray
def test_problem_that_workers_cannot_import_ends_the_search_at_once(cluster: Any, tmp_path: Path) -> None:
    """Its function lives in a file that was loaded here and by nobody there."""
    run = {"executor": "ray", "address": cluster.address}
    with pytest.raises(InputError, match=r"^a Ray worker cannot read the problem: .*No module named.*runtime_env"):
        search(problem=FORMULA, root=str(tmp_path), r1=8, r2=0, r3=0, **run)


SLEEPY = """
import os, time
from sparsemod import Float, Problem, SearchSpace

def objective(candidate):
    time.sleep(100 if candidate.number >= 5 and "IN_CLUSTER" in os.environ else 0)
    return {"error": candidate.parameters["x"]}

problem = Problem(SearchSpace({"x": Float(0.0, 1.0)}), objective=objective)
"""


KILLED = """
import os, signal
from sparsemod import search

def watch(progress):
    if len(progress.study.trials) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    search({path!r}, watch=watch)
"""


@pytest.mark.ray
def test_driver_that_was_killed_goes_on(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    (tmp_path / "config.cfg").write_text(
        f"[TRAIN]\nroot = {tmp_path}\nr1 = 8\nr2 = 0\nr3 = 0\nobjectives = 1\n[PROBLEM]\nproblem = sleepy.py:problem\n"
        f"[RUN]\nexecutor = ray\naddress = {cluster.address}\n"
    )
    command = [sys.executable, "-c", KILLED.format(path=str(tmp_path / "config.cfg"))]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert len(load_study(tmp_path / "study")) == 3
    study = search(tmp_path / "config.cfg")  # on the same cluster
    assert sorted(trial.number for trial in study.trials) == list(range(8))
    assert study.count("complete") == 8


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_search_whose_cluster_is_lost_says_so_and_goes_on_with_a_new_head_or_elsewhere(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test with this cluster: its head is killed."""
    from ray.cluster_utils import Cluster

    monkeypatch.setattr("sparsemod.execute.cluster.PATIENCE", 2.0)
    (tmp_path / "sleepy.py").write_text(SLEEPY)

    def watch(progress: Progress) -> None:
        if len(progress.study.trials) == 5:
            cluster.head_node.all_processes["gcs_server"][0].process.kill()

    budget: dict[str, Any] = {"r1": 8, "r2": 0, "r3": 0, "objectives": 1, "root": str(tmp_path)}
    budget["problem"] = f"{tmp_path / 'sleepy.py'}:problem"
    run = {"executor": "ray", "address": cluster.address, "workers": 1}
    with pytest.raises(SparsemodError, match=r"Ray cluster is lost.*run the same command again"):
        search(watch=watch, runtime_env='{"env_vars": {"IN_CLUSTER": "yes"}}', **budget, **run)
    again = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    study = search(**{**budget, "r1": 7}, **{**run, "address": again.address})
    again.shutdown()
    assert sorted(trial.number for trial in study.trials) == list(range(7))
    study = search(**budget)
    assert sorted(trial.number for trial in study.trials) == list(range(8))
    assert study.count("complete") == 8
