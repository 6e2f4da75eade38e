"""`test`: found networks trained again on all but the test set, and measured on it once.

A search never sees the test set; this is the separate step that does.
"""

import logging
from dataclasses import replace

from sparsemod.config import Config, ProblemSection
from sparsemod.data import Data, joined
from sparsemod.errors import InputError
from sparsemod.evaluate import data_of, evaluate, problem_of, teacher_of
from sparsemod.results import load, write_test
from sparsemod.study import Trial

_log = logging.getLogger(__name__)


def test(config: Config) -> list[Trial]:
    """Retrains the network `[TEST] arm`, or every network of the front, on train + validation.

    The `error` of each trial is that on the test set. Written to `test.csv` in the study's folder.

    Args:
        config: Its [TEST] section names the study; problem and device are those of the search.

    Raises:
        InputError: The study or the network is not there, or the data has no test set.
    """
    folder = config.test_folder()
    study = load(folder)
    chosen = [study[config.test.arm]] if config.test.arm >= 0 else study.pareto_front()
    settings = on_the_test_set(
        replace(
            config,
            train=replace(
                config.train,
                quant_scheme=config.test.quant_scheme,
                pruning=config.test.pruning,
                splitter=config.test.splitter,
            ),
        )
    )
    trials = []
    for found in chosen:
        candidate = replace(found.candidate, epochs=config.test.epochs, origin="test", parent=None)
        trials.append(evaluate(candidate, settings).trial)
        _log.info("trial %d: test error %s", found.number, trials[-1].score.get("error", trials[-1].reason))
    write_test(study, trials, folder)
    return trials


test.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for its own


def on_the_test_set(config: Config) -> Config:
    """A configuration under which `evaluate` trains on all but the test set, and validates on that.

    Raises:
        InputError: The data has no test set.
    """
    problem = problem_of(config)
    data = data_of(problem)
    if data.test is None:
        raise InputError("the data of this problem has no test set; `load_data` must return one to test on")
    held_out = Data(joined(data.train, data.validation), data.test, None, data.input_shape, data.num_classes)
    # The one of the search: what validates here is the test set, and a teacher may look at what validates.
    teacher = problem.teacher and (lambda _: teacher_of(problem))
    return replace(config, problem=ProblemSection(replace(problem, load_data=lambda: held_out, teacher=teacher)))
