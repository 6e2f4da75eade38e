"""An old main of SpArSeMod, with its import changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from sparsemod import Data, Float, InputError, Int, SearchSpace, Sparse, Tensors
from sparsemod.evaluate import data_of

SPACE = SearchSpace({"hidden": Int(2, 8), "max_len": Int(4, 8), "learning_rate": Float(1e-2, 3e-2, log=True)})


class Net(nn.Module):
    """As they were written: parameters, classes, input shape; what quantization needed is left in."""

    def __init__(self, parameters: Any, classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.rnn = nn.GRU(input_shape[-1], parameters["hidden"], batch_first=True)
        self.fc = nn.Linear(parameters["hidden"], classes)

    def fuse_model(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1])


class Gestures(Dataset[tuple[Tensor, int]]):
    """Sequences of 4 to 9 steps that rise or fall."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return (index % 2 - 0.5) * torch.linspace(-2, 2, 4 + index % 6)[:, None], index % 2


def collate(samples: Sequence[tuple[Tensor, int]], parameters: Any) -> tuple[Tensor, Tensor]:
    """Cut or padded to `max_len`."""
    x = torch.zeros(len(samples), parameters["max_len"], 1)
    for row, (steps, _) in zip(x, samples, strict=True):
        row[: len(steps)] = steps[: len(row)]
    return x, torch.tensor([label for _, label in samples])


def same(parameters: Any, space: SearchSpace, rng: Any) -> Any:
    """A morphism: one unit more."""
    return {**parameters, "hidden": parameters["hidden"] + 1} if parameters["hidden"] < 8 else None


def sparse(tmp_path: Path, **changed: Any) -> Sparse:
    return Sparse(
        **{
            **{"r1": 2, "r2": 1, "r3": 1, "epochs1": 2, "epochs2": 2, "epochs3": 2},
            **{"name": "old", "root": str(tmp_path)},
            **{"objectives": 3, "batch_size": 1, "debug": False, "flops": 1e6, "quant_scheme": "post"},
            **{"morphisms": True, "pruning": True, "splitter": False, "datasets": (Gestures(120), Gestures(30))},
            **{"classes": 2, "search_space": SPACE, "net": Net, "collate_fn": collate, "morpher_ops": [same]},
            **changed,
        }
    )  # fmt: skip


def test_old_main_runs_and_gives_a_study(tmp_path: Path) -> None:
    study = sparse(tmp_path, early_stopping=False, finish_epochs=0).run_sparse()
    assert [trial.status for trial in study.trials] == ["complete"] * 4
    assert [trial.candidate.origin for trial in study.trials] == ["sobol", "sobol", "bayes", "morph"]
    best = study.pareto_front()[0]
    assert study.load_model(best.number).activations[0].shape == (best.candidate.parameters["max_len"], 1)
    assert (tmp_path / "old" / "pareto.csv").is_file()


def test_keywords_become_keys_of_the_configuration(tmp_path: Path) -> None:
    train = sparse(tmp_path).config.train
    assert (train.r1, train.epochs3, train.name, train.flops, train.objectives[-1]) == (
        2,
        2,
        "old",
        1e6,
        "working_memory",
    )


def test_a_tenth_of_the_training_samples_validates_unless_a_third_set_is_given(tmp_path: Path) -> None:
    data = data_of(sparse(tmp_path).problem)
    assert [len(part) for part in (data.train, data.validation, data.test or [])] == [108, 12, 30]
    data = data_of(sparse(tmp_path, datasets=[Gestures(50), Gestures(20), Gestures(10)]).problem)
    assert [len(part) for part in (data.train, data.validation, data.test or [])] == [50, 20, 10]
    assert data.num_classes == 2


def test_data_loaders_and_data_are_data_sets_too(tmp_path: Path) -> None:
    x, y = torch.zeros(40, 5, 1), torch.arange(40) % 2
    loader = DataLoader(TensorDataset(x, y), batch_size=7, shuffle=True)
    data = data_of(sparse(tmp_path, datasets=(loader, loader), collate_fn=None).problem)
    assert [len(part) for part in (data.train, data.validation, data.test or [])] == [36, 4, 40]
    own = Data.from_tensors(Tensors(x, y))
    assert data_of(sparse(tmp_path, datasets=own).problem) is own


def test_net_gets_classes_as_they_were_given(tmp_path: Path) -> None:
    seen: list[Any] = []

    def net(parameters: Any, classes: Any, input_shape: Any) -> nn.Module:
        seen.append((dict(parameters), classes, input_shape))
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 2))

    problem = sparse(tmp_path, net=net, classes=["rise", "fall"]).problem
    assert problem.build is not None
    problem.build({"hidden": 3}, (8, 1), 2)
    assert seen == [({"hidden": 3}, ["rise", "fall"], (8, 1))]
    assert data_of(problem).num_classes == 2


def test_collate_of_one_argument_does_not_get_the_parameters(tmp_path: Path) -> None:
    def four_steps(samples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        return collate(samples, {"max_len": 4})

    join = sparse(tmp_path, collate_fn=four_steps).problem.collate
    assert join is not None
    assert join([Gestures(3)[2]], {"max_len": 7})[0].shape == (1, 4, 1)


def test_parameters_by_name_are_a_search_space(tmp_path: Path) -> None:
    assert sparse(tmp_path, search_space=dict(SPACE)).problem.space == SPACE


def test_unknown_keywords_are_refused_together_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        sparse(tmp_path, epoch1=3, serch_space=SPACE)
    assert str(caught.value).splitlines() == [
        "Sparse cannot use these keywords",
        "  epoch1: is not a keyword; did you mean 'epochs1'?",
        "  serch_space: is not a keyword; did you mean 'search_space'?",
    ]


def test_wrong_value_is_refused_as_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="r1: 'many' is not a whole number"):
        sparse(tmp_path, r1="many")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trainer": Net}, "trainer is the class Net; it must be a function train"),
        ({"trainer": 3}, "trainer is a int; it must be a function train"),
        ({"morpher_ops": [same, "widen"]}, "morpher_ops holds 'widen'; each must be a function"),
    ],
)
def test_part_that_cannot_be_used_says_what_it_must_be(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sparse(tmp_path, **changed)


def test_four_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"datasets has 4 parts; it must be \(train, test\) or"):
        data_of(sparse(tmp_path, datasets=[Gestures(9)] * 4).problem)


def test_quant_params_are_ignored_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sparse(tmp_path, quant_params={"dtype": "qint8"})
    assert "quant_params is ignored" in caplog.text


def test_limits_are_those_of_the_largest_preset_unless_a_device_is_given(tmp_path: Path) -> None:
    assert sparse(tmp_path).config.limits()["working_memory"] >= 500_000
    assert sparse(tmp_path, device="arduino-uno").config.limits()["working_memory"] == 2048
