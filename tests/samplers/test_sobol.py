from collections.abc import Mapping

import pytest

from sparsemod.config import Config, from_keywords
from sparsemod.cost.screen import Screen
from sparsemod.errors import Infeasible, InputError
from sparsemod.problem import Problem
from sparsemod.samplers import Sobol
from sparsemod.space import Choice, Float, Int, Parameters, SearchSpace, identity
from sparsemod.study import Candidate, Study, Trial

NUMBERS = SearchSpace({"n": Int(1, 64)})


def costs(parameters: Parameters) -> Mapping[str, float]:
    """A byte of flash and two bytes of RAM for each unit."""
    return {"model_size": int(parameters["n"]), "working_memory": 2 * int(parameters["n"])}


def sampler(space: SearchSpace = NUMBERS, seed: int = 0, **limits: float) -> Sobol:
    problem = Problem(space, costs=costs, objective=lambda candidate: {"error": 0.5})
    return Sobol(Screen(problem, from_keywords(**limits)), 3, seed)


def study() -> Study:
    return Study(("error",))


def numbers(candidates: list[Candidate]) -> list[object]:
    return [candidate.parameters["n"] for candidate in candidates]


def test_first_points_of_the_sequence_fill_the_space_evenly() -> None:
    """Of 64 values, 64 scrambled Sobol points hit each once, the first 16 each quarter four times."""
    asked = numbers(sampler().ask(study(), 64))
    assert sorted(asked) == list(range(1, 65))
    assert [sum(16 * quarter < n <= 16 * quarter + 16 for n in asked[:16]) for quarter in range(4)] == [4, 4, 4, 4]


def test_seed_decides_the_order() -> None:
    first, again, other = (numbers(sampler(seed=seed).ask(study(), 20)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_candidates_are_numbered_from_the_study_on() -> None:
    begun = study()
    begun.add(Trial(Candidate(6, {"n": 1}, 3, "sobol"), "failed"))
    asked = sampler().ask(begun, 2)
    assert [(candidate.number, candidate.epochs, candidate.origin) for candidate in asked] == [
        (7, 3, "sobol"),
        (8, 3, "sobol"),
    ]
    assert all(candidate.parent is None for candidate in asked)


def test_sequence_goes_on_behind_what_the_study_has() -> None:
    whole = numbers(sampler().ask(study(), 10))
    begun = study()
    for candidate in sampler().ask(begun, 4):
        begun.propose(candidate)
    assert numbers(sampler().ask(begun, 6)) == whole[4:]


def test_candidate_of_another_sampler_is_not_proposed_again() -> None:
    whole = numbers(sampler().ask(study(), 5))
    begun = study()
    begun.add(Trial(Candidate(0, {"n": whole[2]}, 9, "bayes"), "complete", {"error": 0.1}))
    assert numbers(sampler().ask(begun, 4)) == whole[:2] + whole[3:]


def test_only_what_fits_is_proposed() -> None:
    asked = numbers(sampler(model_size=20).ask(study(), 64))
    assert sorted(asked) == list(range(1, 21))
    kept = [n for n in numbers(sampler().ask(study(), 64)) if n <= 20]
    assert asked == kept  # in the order of the sequence


def test_space_smaller_than_the_budget_is_proposed_whole_and_then_nothing() -> None:
    begun, small = study(), sampler(SearchSpace({"n": Int(1, 3), "kind": Choice(("a", "b"))}))
    asked = small.ask(begun, 10)
    assert len(asked) == 6
    for candidate in asked:
        begun.propose(candidate)
    assert small.ask(begun, 10) == []


def test_space_of_one_candidate() -> None:
    assert numbers(sampler(SearchSpace({"n": Int(5, 5)})).ask(study(), 2)) == [5]


def test_feasible_gives_the_head_of_the_sequence_whatever_was_asked() -> None:
    one = sampler()
    one.ask(study(), 30)
    assert [parameters["n"] for parameters in one.feasible(5)] == numbers(sampler().ask(study(), 5))
    assert len(one.feasible(1000)) == 64
    assert one.feasible(0) == []


def test_require_gives_what_fits() -> None:
    assert list(sampler(model_size=2).require(10)) == list(sampler(model_size=2).feasible(10))
    assert len(sampler(model_size=2).require(10)) == 2


def test_nothing_that_fits_is_refused_with_limits_and_amounts() -> None:
    space = SearchSpace({"n": Int(8, 64)})
    with pytest.raises(InputError) as caught:
        sampler(space, model_size=5, working_memory="1 KB", latency=3).require(1)
    assert str(caught.value).splitlines() == [
        "none of 10,000 candidates of the search space fits the limits",
        "  model_size: limit 5 bytes, smallest seen 8 bytes; 0.0% of samples fit",
        "  working_memory: limit 1,000 bytes, smallest seen 16 bytes; 100.0% of samples fit",
        "  raise the limits in [DEVICE] or of the problem, or let the search space hold smaller networks",
    ]
    assert sampler(space, model_size=5).ask(study(), 3) == []


def test_space_without_any_network_is_refused_with_a_reason() -> None:
    def never(parameters: Parameters) -> Mapping[str, float]:
        raise Infeasible("b1: pooling by 4 is larger than its 2 x 2 input")

    problem = Problem(NUMBERS, costs=never, objective=lambda candidate: {"error": 0.5})
    with pytest.raises(InputError) as caught:
        Sobol(Screen(problem, Config()), 1, 0).require(1)
    assert str(caught.value).splitlines()[1] == (
        "  100% of the samples make no network, such as: b1: pooling by 4 is larger than its 2 x 2 input"
    )


def test_candidate_whose_builder_raises_is_proposed_to_fail_in_its_own_trial() -> None:
    def sometimes(parameters: Parameters) -> Mapping[str, float]:
        return {"model_size": 1 / (int(parameters["n"]) - 2)}

    space = SearchSpace({"n": Int(1, 3)})
    problem = Problem(space, costs=sometimes, objective=lambda candidate: {"error": 0.5})
    asked = Sobol(Screen(problem, Config()), 1, 0).ask(study(), 5)
    assert sorted(candidate.parameters["n"] for candidate in asked) == [1, 2, 3]


def test_rare_fit_is_found() -> None:
    space = SearchSpace({"n": Int(1, 2000), "x": Float(0, 1)})
    assert numbers(sampler(space, model_size=1).ask(study(), 2)) == [1, 1]


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_any_seed_of_a_configuration_is_taken(seed: int) -> None:
    assert len(sampler(seed=seed).ask(study(), 3)) == 3


# --- hardly anything fits --------------------------------------------------------------------------------------------


def test_candidates_are_found_where_one_in_ten_thousand_fits() -> None:
    """Four widths from 1 to 64 add up to at most 16 in 1,820 of 64^4 members: a share of 1.1e-4."""
    space = SearchSpace({f"width_{number}": Int(1, 64) for number in range(4)})
    problem = Problem(space, costs=lambda p: {"model_size": sum(map(int, p.values()))}, objective=lambda candidate: {})

    def sobol() -> Sobol:
        return Sobol(Screen(problem, from_keywords(model_size=16)), 1, 0)

    found = sobol().feasible(40)
    assert len({identity(parameters) for parameters in found}) == 40
    assert all(sum(map(int, parameters.values())) <= 16 for parameters in found)
    again = sobol()
    assert [*again.feasible(10), *again.feasible(40)[10:]] == list(found)


def test_few_that_fit_are_all_found() -> None:
    """Two widths from 1 to 200 that add up to at most 9: 36 of 40,000 members."""
    space = SearchSpace({"a": Int(1, 200), "b": Int(1, 200)})
    problem = Problem(space, costs=lambda p: {"model_size": sum(map(int, p.values()))}, objective=lambda candidate: {})
    found = Sobol(Screen(problem, from_keywords(model_size=9)), 1, 0).feasible(100)
    assert 30 <= len(found) <= 36
    assert len({identity(parameters) for parameters in found}) == len(found)
