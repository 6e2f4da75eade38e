"""Contract checks for plug-ins, ours and yours: what `sparsemod check` runs, and what your own tests may call.

Each check returns the faults it found, in words; an empty list is a pass.

    def test_my_problem():
        assert check_problem(problem) == []
"""

import copy
import math
import pickle
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sparsemod.config import Config, ProblemSection, from_keywords
from sparsemod.cost.screen import Screen, over_limits
from sparsemod.data import Data, Samples, Sequences, Split, Tensors
from sparsemod.device import DEVICES, Device
from sparsemod.errors import Infeasible, InputError, SparsemodError
from sparsemod.evaluate import evaluate, teacher_of
from sparsemod.graph import Graph, trace
from sparsemod.graph.trace import reads_tokens
from sparsemod.objectives import is_number
from sparsemod.problem import Morphism, Problem
from sparsemod.samplers import Sampler, Sobol
from sparsemod.space import Parameters, identity
from sparsemod.study import Candidate, Study

_MEMBERS, _SCORED, _TRIES, _PRICED = 200, 3, 100, 20
_TRAIN, _VALIDATION = 64, 32
_SHARED = 0.01
"""Share of validation or test samples that may also be training samples: real data sets hold a few duplicates."""


def check_problem(problem: Problem, config: Config | None = None) -> list[str]:
    """Everything that is wrong with a problem.

    Args:
        problem: To check.
        config: Device and quantization scheme; the defaults if not given.
    """
    return [fault for _, faults in problem_checks(problem, config) for fault in faults]


def problem_checks(problem: Problem, config: Config | None = None) -> Iterator[tuple[str, list[str]]]:
    """The checks of a problem one after the other: what was checked, and its faults."""
    config = replace(config or from_keywords(), problem=ProblemSection(problem))
    wrong_costs: list[str] = []
    if problem.limits:
        yield f"limits: {', '.join(problem.limits)}", _limit_faults(problem, config)
    if problem.costs is not None:
        fit, seconds, wrong_costs = _cost_faults(problem, config)
        yield f"costs: {_PRICED} random candidates, {fit} within the limits, {seconds:.2g} s each", wrong_costs
    if problem.objective is not None and not wrong_costs:
        yield f"objective: {_SCORED} candidates that fit", _objective_faults(problem, config)
    data: Data | None = None
    if problem.load_data is not None:
        data, faults = _loaded(problem)
        yield f"data: {_described(data, problem)}", faults
    if problem.teacher is not None and data is not None:
        problem, faults = _taught(problem, data)
        yield "teacher: loaded or trained, and asked", faults
    if problem.frontend is not None:
        yield f"front end: {_SCORED} random members asked for features", _frontend_faults(problem)
    if problem.build is not None and data is not None:
        screen = Screen(problem, config, data)
        fit, faults = _build_faults(problem, screen, data)
        yield f"builder: {_MEMBERS} random members built and traced, {fit} within the limits", faults
    for morphism in problem.morphisms:
        yield f"morphism {_name(morphism)}: {_TRIES} random parents", _morphism_faults(problem, morphism)
    if problem.build is not None and data is not None and problem.objective is None:
        yield f"scoring: {_SCORED} networks trained a step, quantized and run", _score_faults(problem, config, data)


def check_sampler(make: Callable[[], Sampler], study: Study, screen: Screen, n: int = 3) -> list[str]:
    """Everything that is wrong with a sampler at one state of a study.

    Args:
        make: Makes the sampler anew, as a resumed search does.
        study: To ask about.
        screen: Of the problem.
        n: Candidates to ask for.
    """
    before = pickle.dumps([study.trials, study.pending])
    asked = list(make().ask(study, n))
    faults = []
    if pickle.dumps([study.trials, study.pending]) != before:
        faults.append("ask changed the study")
    if len(asked) > n:
        faults.append(f"ask({n}) returned {len(asked)} candidates")
    seen = {identity(candidate.parameters) for candidate in study.candidates}
    for position, candidate in enumerate(asked):
        if candidate.number != study.next_number + position:
            faults.append(f"candidate {candidate.number} should have number {study.next_number + position}")
        wrong = screen.problem.space.mistakes(candidate.parameters) or [screen.misfit(candidate.parameters) or ""]
        faults += [f"candidate {candidate.number}: {mistake}" for mistake in wrong if mistake]
        if identity(candidate.parameters) in seen:
            faults.append(f"candidate {candidate.number} repeats an earlier one")
        seen.add(identity(candidate.parameters))
    if list(make().ask(study, n)) != asked:
        faults.append("a new sampler proposes something else for the same study, so a resumed search would differ")
    return faults


def check_executor(executor: Executor) -> list[str]:
    """Everything that is wrong with an executor: results must come in and exceptions out."""
    faults = []
    futures = [executor.submit(pow, base, 2) for base in range(8)]
    results = [future.result(timeout=120) for future in futures]
    if results != [base**2 for base in range(8)]:
        faults.append(f"the squares of 0 to 7 came back as {results}")
    error = executor.submit(divmod, 1, 0).exception(timeout=120)
    if not isinstance(error, ZeroDivisionError):
        faults.append(f"1 / 0 should come back as a ZeroDivisionError, came back as {error!r}")
    return faults


def check_cost(cost: Callable[[Graph, Device], Mapping[str, float]]) -> list[str]:
    """Everything that is wrong with a cost model: figures must be positive, and grow with the width of a network."""
    faults = []
    narrow, wide = (cost(trace(_example(width), (1, 12, 12)), DEVICES["microbit-v2"]) for width in (4, 32))
    for name in ("model_size", "working_memory", "latency"):
        if name not in narrow:
            faults.append(f"{name} is missing")
        elif not 0 < narrow[name] < wide[name]:
            faults.append(
                f"{name} is {narrow[name]:g} for a narrow and {wide[name]:g} for a wide network; it should grow"
            )
    return faults


def _example(width: int) -> torch.nn.Module:
    with torch.device("meta"):
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, width, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(100 * width, 10)
        )


# --- the parts of a problem ------------------------------------------------------------------------------------------


def _loaded(problem: Problem) -> tuple[Data | None, list[str]]:
    assert problem.load_data is not None
    try:
        data = problem.load_data()
    except Exception as error:
        return None, [f"load_data raises {_told(error)}"]
    if not isinstance(data, Data):
        return None, [f"load_data returns a {type(data).__name__}; it must return a sparsemod.Data"]
    faults = []
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if split is not None:
            faults += _split_faults(name, split, data, problem)
    whole = problem.collate is None and problem.frontend is None
    faults += _augmentation_faults(data.train) if not faults and whole else []
    for name, split in (("validation", data.validation), ("test", data.test)):
        shared = 0.0 if split is None else _shared(split, data.train)
        if shared > _SHARED:
            faults.append(f"{shared:.0%} of the {name} samples are training samples too; the splits must be disjoint")
    return data, faults


def _split_faults(name: str, split: Split, data: Data, problem: Problem) -> list[str]:
    """What is wrong with the first samples of a part; with a `collate` of the user's scoring tries them."""
    if len(split) == 0:
        return [f"the {name} split is empty"]
    if problem.collate is not None or problem.frontend is not None:
        return []  # scoring tries them
    split = split.padded(data.input_shape[0]) if isinstance(split, Sequences) else split
    x, y = next(iter(split.batches(256)))
    faults = []
    if tuple(x.shape[1:]) != data.input_shape:
        faults.append(f"{name} samples have shape {tuple(x.shape[1:])}; input_shape says {data.input_shape}")
    if not bool(torch.isfinite(x).all()):
        faults.append(f"the {name} split holds values that are not finite")
    if problem.loss is None and not 0 <= int(y.min()) <= int(y.max()) < data.num_classes:
        faults.append(f"{name} labels run from {int(y.min())} to {int(y.max())}; num_classes is {data.num_classes}")
    return faults


def _augmentation_faults(train: Split) -> list[str]:
    """What is wrong with a shuffled batch where one in order is right."""
    if not isinstance(train, Tensors) or train.augment is None:
        return []
    try:
        x, _ = next(train.batches(256, torch.Generator().manual_seed(0)))
    except Exception as error:
        return [f"augment raises {_told(error)}"]
    shape = tuple(train.x.shape[1:])
    if tuple(x.shape[1:]) != shape:
        return [f"augment makes samples of shape {tuple(x.shape[1:])} from {shape}; it must keep their shape"]
    return [] if bool(torch.isfinite(x).all()) else ["augment makes values that are not finite"]


def _taught(problem: Problem, data: Data) -> tuple[Problem, list[str]]:
    """The problem with a teacher that is there already, or without one where it is wrong; and its faults."""
    without = replace(problem, teacher=None)
    try:
        teacher = teacher_of(replace(problem, load_data=lambda: data))
    except InputError as error:
        return without, [_told(error)]
    except Exception as error:
        return without, [f"teacher raises {_told(error)}"]
    faults = [] if problem.collate is not None else _teacher_faults(teacher, data)  # else scoring tries it
    return (without if faults else replace(problem, teacher=lambda _: teacher)), faults


def _teacher_faults(teacher: torch.nn.Module, data: Data) -> list[str]:
    """What is wrong with its scores for a batch of training samples."""
    x, _ = next(data.seen_by({}).train.batches(_VALIDATION))
    try:
        with torch.no_grad():
            scores = teacher(x.long() if reads_tokens(teacher) else x)
    except Exception as error:
        return [f"the teacher raises {_told(error)} for a batch of shape {tuple(x.shape)}"]
    if not isinstance(scores, torch.Tensor):
        return [f"the teacher gives a {type(scores).__name__}; it must give scores, (N, {data.num_classes})"]
    if scores.shape != (len(x), data.num_classes):
        shape = tuple(scores.shape)
        return [f"the teacher gives {shape} for a batch of {len(x)}; it must give {(len(x), data.num_classes)}"]
    return [] if bool(scores.isfinite().all()) else ["the teacher gives scores that are not finite"]


def _frontend_faults(problem: Problem) -> list[str]:
    """What is wrong with the front ends of random members, each kind once."""
    faults = dict[str, None]()
    for parameters in _members(problem)[:_SCORED]:
        try:
            front, again = problem.frontend_of(parameters), problem.frontend_of(parameters)
            assert front is not None
            features = front(torch.randint(-(2**15), 2**15, (2, front.samples), dtype=torch.int16))
            stored = Graph.from_tensors(*Graph((), (), frontend=front).to_tensors()).frontend
        except Infeasible:
            continue
        except Exception as error:
            faults[f"the front end raises {_told(error)}"] = None
            continue
        if hash(front) != hash(again) or front != again:
            faults["the front end differs for the same parameters, so its features would be computed each time"] = None
        if stored != front:
            faults["the front end differs after it was stored with a network"] = None
        if features.dtype != torch.int8 or features.shape != (2, *front.output_shape):
            found = f"{tuple(features.shape)}, {features.dtype}"
            faults[f"the front end gives {found} for two clips; it must give {(2, *front.output_shape)}, int8"] = None
        if front.ram_bytes % 4:
            faults[f"ram_bytes of the front end is {front.ram_bytes}; it must be a multiple of 4"] = None
    return list(faults)


def _shared(split: Split, train: Split) -> float:
    """Share of a split's samples that the training split holds as well."""
    if isinstance(split, Samples) and isinstance(train, Samples) and split.dataset is train.dataset:
        return len(set(split.indices) & set(train.indices)) / len(split)
    if isinstance(split, Tensors | Sequences) and isinstance(train, Tensors | Sequences):
        known = {row.numpy().tobytes() for row in train.x}
        return sum(row.numpy().tobytes() in known for row in split.x) / len(split)
    return 0.0


def _described(data: Data | None, problem: Problem) -> str:
    if data is None:
        return "not loaded"
    kinds = "classes" if problem.loss is None else "outputs"
    counts = f"{len(data.train):,} train, {len(data.validation):,} validation"
    test = "" if data.test is None else f", {len(data.test):,} test"
    return f"{counts}{test} samples of {' x '.join(map(str, data.input_shape))}, {data.num_classes} {kinds}"


def _build_faults(problem: Problem, screen: Screen, data: Data) -> tuple[int, list[str]]:
    """How many random members fit, and what went wrong with the others, each kind once."""
    rng = np.random.default_rng(0)
    fit, said, refused = 0, Counter[str](), 0
    for _ in range(_MEMBERS):
        parameters = problem.space.sample(rng)
        try:
            fit += screen.misfit(parameters) is None
            screen.costs(parameters)
        except Infeasible:
            refused += 1
        except Exception as error:
            said[_told(error)] += 1
    faults = [f"{what} ({count} of {_MEMBERS} members)" for what, count in said.items()]
    if refused == _MEMBERS:
        faults.append("build calls every member Infeasible")
    elif not faults and not fit:
        faults.append("no random member is within the limits; widen [DEVICE] or let the space hold smaller networks")
    return fit, faults


def _morphism_faults(problem: Problem, morphism: Morphism) -> list[str]:
    rng = np.random.default_rng(0)
    faults: dict[str, str] = {}  # the first of each kind
    applied = 0
    for _ in range(_TRIES):
        parent = problem.space.sample(rng)
        kept = copy.deepcopy(parent)
        try:
            child = morphism(parent, problem.space, rng)
        except Exception as error:
            faults.setdefault("raises", f"raises {_told(error)}")
            continue
        if parent != kept:
            faults.setdefault("argument", "changes its argument")
        if child is None:
            continue
        applied += 1
        wrong = problem.space.mistakes(child)
        if wrong:
            faults.setdefault("outside", f"leaves the space: {wrong[0]}")
        elif identity(problem.space.canonical(child)) == identity(kept):
            faults.setdefault("same", "returns its parent; it should return None where it changes nothing")
    if not applied and not faults:
        faults["idle"] = f"applies to none of {_TRIES} random members"
    return [f"{_name(morphism)} {fault}" for fault in faults.values()]


def _score_faults(problem: Problem, config: Config, data: Data) -> list[str]:
    """A few members that fit, through the whole pipeline on a handful of samples."""
    screen = Screen(problem, config, data)
    # An error of one's own may need what only all samples have, such as anomalies.
    validation = _head(data.validation, _VALIDATION) if problem.error is None else data.validation
    small = replace(data, train=_head(data.train, _TRAIN), validation=validation, test=None)
    brief = replace(config, problem=ProblemSection(replace(problem, load_data=lambda: small)))
    return _trial_faults(brief, [p for p in _members(problem) if _fits(screen, p)][:_SCORED])


def _limit_faults(problem: Problem, config: Config) -> list[str]:
    limits = {name: problem.limits[name] for name in config.train.objectives if name in problem.limits}
    return [
        f"the limit of {name} is {limit:g}; objectives are minimised towards 0, so it must be above that"
        for name, limit in limits.items()
        if limit <= 0
    ]


def _cost_faults(problem: Problem, config: Config) -> tuple[int, float, list[str]]:
    """How many random candidates fit, the seconds that one takes, and what is wrong with the costs, each kind once."""
    screen = _screen_of_costs(problem, config)
    faults, priced, seconds = dict[str, str](), list[Mapping[str, float]](), list[float]()
    for parameters in _members(problem)[:_PRICED]:
        started = time.perf_counter()
        costs, wrong = _priced(problem, parameters)
        seconds.append((time.perf_counter() - started) / 2)
        if costs is not None:
            priced.append(costs)
            if set(costs) != set(priced[0]):
                wrong["names"] = f"gives {_listed(costs)} for {parameters}, and {_listed(priced[0])} for others"
        faults = wrong | faults
    fit = 0 if faults else sum(over_limits(costs, screen.limits) is None for costs in priced)
    if not priced and not faults:
        faults["refused"] = "calls every candidate Infeasible"
    elif not fit and not faults:
        faults |= _nothing_fits(screen)
    return fit, statistics.median(seconds), [f"costs {fault}" for fault in faults.values()]


def _screen_of_costs(problem: Problem, config: Config) -> Screen:
    return Screen(replace(problem, build=None) if problem.objective is not None else problem, config)


def _nothing_fits(screen: Screen) -> dict[str, str]:
    """Whether even a search finds nothing within the limits, which random candidates may miss."""
    try:
        Sobol(screen, 1, 0).require(1)
    except InputError as reason:
        return {"fit": f"leave nothing to search: {'; '.join(line.strip() for line in str(reason).splitlines())}"}
    return {}


def _priced(problem: Problem, parameters: Parameters) -> tuple[Mapping[str, float] | None, dict[str, str]]:
    """Costs of a candidate, None if it has none, and what is wrong with them, by kind."""
    assert problem.costs is not None
    given = dict(parameters)
    try:
        costs, again = dict(problem.costs(given)), dict(problem.costs(dict(parameters)))
    except Infeasible:
        return None, {}
    except Exception as error:
        return None, {"raises": f"raises {_told(error)} for {parameters}"}
    faults = {"argument": "changes its argument"} if given != parameters else {}
    wrong = {name: value for name, value in costs.items() if not (is_number(value) and math.isfinite(float(value)))}
    if wrong:
        faults["finite"] = f"must be finite numbers, but are {wrong} for {parameters}"
    elif costs != again:
        faults["same"] = f"gives {costs} for {parameters}, and {again} when asked again"
    return costs, faults


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _objective_faults(problem: Problem, config: Config) -> list[str]:
    """What is wrong with a few evaluations, and where they contradict the costs."""
    members = Sobol(_screen_of_costs(problem, config), 1, 0).feasible(_SCORED)
    return _trial_faults(config, members, problem.costs)


def _trial_faults(
    config: Config,
    members: Sequence[Parameters],
    costs: Callable[[Parameters], Mapping[str, float]] | None = None,
) -> list[str]:
    faults = dict[str, None]()
    for number, parameters in enumerate(members):
        trial = evaluate(Candidate(number, parameters, 1, "check"), config).trial
        if trial.status == "failed":
            faults[f"scoring failed: {trial.reason.rstrip().splitlines()[-1]}"] = None
        known = {} if costs is None or trial.status != "complete" else costs(parameters)
        for name, value in known.items():
            if not math.isclose(value, trial.score[name], rel_tol=1e-6):
                faults[f"the costs give {name} {value:g}, the objective {trial.score[name]:g} for {parameters}"] = None
    return list(faults)


def _members(problem: Problem) -> list[Parameters]:
    rng = np.random.default_rng(1)
    return [problem.space.sample(rng) for _ in range(_MEMBERS)]


def _fits(screen: Screen, parameters: Parameters) -> bool:
    try:
        return screen.misfit(parameters) is None
    except Exception:  # reported by the builder's own check
        return False


def _head(split: Split, n: int) -> Split:
    size = min(n, len(split))
    if isinstance(split, Tensors):
        return replace(split.select(torch.arange(size)), augment=None)
    if isinstance(split, Sequences):
        return split.select(torch.arange(size))
    if isinstance(split, Samples):
        return Samples(split.dataset, list(split.indices)[:size])
    dataset: Any = split
    return Samples(dataset, range(size))


def _told(error: Exception) -> str:
    text = str(error).strip().splitlines()
    kind = "" if isinstance(error, SparsemodError) else f"{type(error).__name__}: "
    return f"{kind}{text[0] if text else 'without a message'}"


def _name(morphism: Morphism) -> str:
    return getattr(morphism, "__name__", repr(morphism))
