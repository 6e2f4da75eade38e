"""The shipped contract checks find what is planted, and pass what is right."""

import re
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sparsemod import Augment, Candidate, Data, Float, Infeasible, Int, Problem, SearchSpace, Study, Tensors, Trial
from sparsemod.config import from_keywords
from sparsemod.cost import cost
from sparsemod.cost.screen import Screen
from sparsemod.samplers import Bayes, Morph, Sobol
from sparsemod.testing import check_cost, check_executor, check_problem, check_sampler, problem_checks


def build(parameters, input_shape, num_classes):
    width = parameters["width"]
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.ReLU(), nn.Linear(width, num_classes))


def load_data():
    rng = torch.Generator().manual_seed(0)
    return Data.from_tensors(Tensors(torch.randn(60, 4, generator=rng), torch.arange(60) % 3), validation=0.3)


def widen(parameters, space, rng):
    return {"width": parameters["width"] + 1} if parameters["width"] < 8 else None


GOOD = Problem(SearchSpace({"width": Int(2, 8)}), build, load_data, [widen])


def faults(**changes):
    return " | ".join(check_problem(replace(GOOD, **changes)))


def test_a_right_problem_has_no_faults():
    assert check_problem(GOOD) == []


def test_builder_that_raises_is_named_with_the_number_of_members():
    def fragile(parameters, input_shape, num_classes):
        if parameters["width"] > 4:
            raise ValueError("too wide for me")
        return build(parameters, input_shape, num_classes)

    assert "build raised ValueError: too wide for me" in faults(build=fragile)


def test_builder_that_ignores_num_classes_is_found():
    found = faults(build=lambda parameters, shape, classes: build(parameters, shape, 7))
    assert "output (7,); it must be (3,)" in found


def test_forward_that_fixes_its_widths_is_found_where_channels_are_removed():
    class Fixed(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.width, self.first, self.last = width, nn.Linear(4, width), nn.Linear(width, 3)

        def forward(self, x):
            return self.last(self.first(x).reshape(-1, self.width))

    space = SearchSpace({"width": Int(4, 8), "prune_channels": Float(0.3, 0.8)})
    found = faults(space=space, build=lambda parameters, shape, classes: Fixed(parameters["width"]), morphisms=())
    assert "removes channels, and the forward of the network does not work with those that are left" in found


def test_builder_that_refuses_everything_is_found():
    def never(parameters, shape, classes):
        raise Infeasible("no")

    assert "calls every member Infeasible" in faults(build=never)


def test_unsupported_operator_is_named_with_its_module():
    def softplus(parameters, shape, classes):
        return nn.Sequential(build(parameters, shape, classes), nn.Softplus())

    found = faults(build=softplus)
    assert "softplus" in found and "module '1'" in found


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda: 3, "load_data returns a int"),
        (lambda: Data(*[load_data().train] * 2, None, (4,), 3), "100% of the validation samples are training samples"),
        (lambda: replace(load_data(), input_shape=(5,)), "have shape (4,); input_shape says (5,)"),
        (lambda: replace(load_data(), num_classes=2), "num_classes is 2"),
        (lambda: replace(load_data(), validation=Tensors(torch.full((3, 4), torch.nan), torch.arange(3))), "finite"),
    ],
)  # fmt: skip
def test_wrong_data_is_named(load, words):
    assert words in faults(load_data=load)


def augmented(augment):
    return lambda: replace(load_data(), train=replace(load_data().train, augment=augment))


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (lambda x, rng: x + 0.1, ""),
        (Augment(shift=1), "augment raises augmentation needs images, (N, C, H, W), not samples of shape (4,)"),
        (lambda x, rng: x[:, :2], "augment makes samples of shape (2,) from (4,); it must keep their shape"),
        (lambda x, rng: x / 0, "augment makes values that are not finite"),
    ],
)
def test_wrong_augmentation_is_named(augment, words):
    assert faults(load_data=augmented(augment)) == words


def untrained(data):
    return nn.Linear(4, 3)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (untrained, ""),
        (lambda data: 1 / 0, "teacher raises ZeroDivisionError: division by zero"),
        (lambda data: "net.pt", "teacher returns a str; it must return a trained torch.nn.Module"),
        (lambda data: nn.Linear(4, 7), "the teacher gives (32, 7) for a batch of 32; it must give (32, 3)"),
        (lambda data: nn.Linear(5, 3), "the teacher raises RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (lambda data: nn.LSTM(4, 3), "the teacher gives a tuple; it must give scores, (N, 3)"),
    ],
)
def test_wrong_teacher_is_named_alone(teacher, words):
    found = faults(teacher=teacher)
    assert found.startswith(words) and " | " not in found


def test_teacher_is_made_once_and_of_all_the_data():
    seen = []

    def teacher(data):
        seen.append(len(data.train))
        return untrained(data)

    described = [what for what, _ in problem_checks(replace(GOOD, teacher=teacher))]
    assert described[1] == "teacher: loaded or trained, and asked"
    assert seen == [42]


def edits(parameters, space, rng):
    parameters["width"] = 3
    return dict(parameters)


@pytest.mark.parametrize(
    ("morphism", "words"),
    [
        (lambda parameters, space, rng: {"width": 99}, "leaves the space: width is 99"),
        (lambda parameters, space, rng: dict(parameters), "returns its parent"),
        (lambda parameters, space, rng: None, "applies to none of 100"),
        (lambda parameters, space, rng: 1 / 0, "raises ZeroDivisionError"),
        (edits, "edits changes its argument"),
    ],
)  # fmt: skip
def test_wrong_morphism_is_named(morphism, words):
    assert words in faults(morphisms=[morphism])


def test_objective_that_lacks_a_figure_is_found():
    problem = Problem(SearchSpace({"width": Int(2, 8)}), objective=lambda candidate: {"error": 0.5})
    assert "the score has no 'model_size', which is an objective; it has error" in check_problem(problem)[0]


PRICED = Problem(
    SearchSpace({"width": Int(2, 8)}),
    objective=lambda candidate: {"error": 1 / candidate.parameters["width"]},
    costs=lambda parameters: {"price": 3.0 * parameters["width"]},
    limits={"price": 20},
)
CHOSEN = from_keywords(objectives=["error", "price"])


def priced(**changes):
    return " | ".join(check_problem(replace(PRICED, **changes), CHOSEN))


def test_right_evaluation_of_ones_own_has_no_faults():
    assert priced() == ""
    described = [what for what, _ in problem_checks(PRICED, CHOSEN)]
    assert described[0] == "limits: price"
    assert re.match(r"costs: 20 random candidates, 1\d within the limits, \S+ s each", described[1])
    assert described[2] == "objective: 3 candidates that fit"


def drains(parameters):
    return {"price": 1.0 * parameters.pop("width")}


def uneven(parameters):
    return {"price": 1.0} if parameters["width"] > 4 else {"price": 1.0, "heat": 2.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"costs": lambda parameters: 1 / 0}, "costs raises ZeroDivisionError: division by zero for {'width': "),
        ({"costs": lambda parameters: {"price": np.random.rand()}}, "when asked again"),
        ({"costs": lambda parameters: {"price": float("nan")}}, "costs must be finite numbers, but are {'price': nan}"),
        ({"costs": lambda parameters: {"price": "3"}}, "costs must be finite numbers, but are {'price': '3'}"),
        ({"costs": drains}, "costs changes its argument"),
        ({"costs": uneven}, "for others"),
        (
            {"limits": {"price": 5}},
            "costs leave nothing to search: none of 10,000 candidates of the search space fits the limits; price: ",
        ),
        ({"limits": {"price": 0}}, "the limit of price is 0; objectives are minimised towards 0"),
        ({"limits": {"hat": 3}}, "scoring failed: the score has no 'hat', which has a limit; it has error, price"),
        ({"objective": lambda candidate: {"error": -1.0}}, "must not be negative, but error is -1"),
        ({"objective": lambda candidate: {"error": 0.1, "price": 1.0}}, "the costs give price 15, the objective 1 for"),
    ],
)
def test_wrong_costs_and_limits_are_named(changes, words):
    assert words in priced(**changes)


def test_faults_of_costs_and_limits_are_named_at_once():
    found = priced(costs=lambda parameters: {"price": float("inf")}, limits={"price": -2})
    assert "the limit of price is -2" in found and "must be finite numbers" in found


def test_limit_on_what_no_network_gives_is_named():
    assert "the score has no 'heat', which has a limit; it has error, model_size" in faults(limits={"heat": 3})


class TestSamplers:
    """Ours pass the check that a user's own must pass; broken ones do not."""

    def setup_method(self):
        space = SearchSpace({"a": Int(1, 50), "b": Int(1, 50)})
        problem = Problem(space, costs=lambda p: {"model_size": p["a"] * p["b"]}, objective=lambda candidate: {})
        self.screen = Screen(problem, from_keywords(problem=problem, objectives=2, model_size=1000))
        self.study = Study(("error", "model_size"), self.screen.limits, {"error": 1.0, "model_size": 1000.0})
        rng = np.random.default_rng(0)
        for number in range(8):
            parameters = {"a": int(rng.integers(1, 30)), "b": int(rng.integers(1, 30))}
            score = {"error": 1 / parameters["a"], **self.screen.costs(parameters)}
            self.study.add(Trial(Candidate(number, parameters, 1, "test"), "complete", score))

    @pytest.mark.parametrize("kind", [Sobol, Bayes])
    def test_sobol_and_bayes_pass(self, kind):
        assert check_sampler(lambda: kind(self.screen, 1, 0), self.study, self.screen) == []

    def test_morph_passes(self):
        def step(parameters, space, rng):
            return {**parameters, "a": parameters["a"] + 1}

        screen = Screen(replace(self.screen.problem, morphisms=(step,)), from_keywords())
        assert check_sampler(lambda: Morph(screen, 1, 0), self.study, screen) == []

    def test_a_sampler_that_breaks_every_rule_is_told_so(self):
        class Wild:
            def ask(self, study, n):
                study.propose(Candidate(study.next_number, {"a": 1, "b": 2}, 1, "wild"))
                return [Candidate(99, {"a": 50, "b": 50}, 1, str(id(self))), Candidate(9, {"a": 70}, 1, "wild")]

        found = " | ".join(check_sampler(Wild, self.study, self.screen))
        assert "ask changed the study" in found
        assert "candidate 99 should have number" in found
        assert "over the limit" in found
        assert "a is 70" in found


def test_executors_that_work_pass():
    with ThreadPoolExecutor(2) as executor:
        assert check_executor(executor) == []


def test_executor_that_swallows_exceptions_is_found():
    class Silent(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception:
                future.set_result(None)
            return future

    assert "should come back as a ZeroDivisionError" in check_executor(Silent())[0]


def test_our_cost_model_passes_and_a_constant_one_does_not():
    assert check_cost(cost) == []
    found = check_cost(lambda graph, device: {"model_size": 1, "working_memory": 1})
    assert len(found) == 3 and "latency is missing" in found
