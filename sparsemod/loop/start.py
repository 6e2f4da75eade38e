"""How a search begins: what the user gave becomes costs, stages and an open record."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sparsemod import config as configuration
from sparsemod.config import Config
from sparsemod.cost.screen import Screen
from sparsemod.early_stopping import EarlyStopping
from sparsemod.errors import InputError
from sparsemod.evaluate import data_of, problem_of
from sparsemod.loop.header import header, limits
from sparsemod.loop.running import Search, Watch
from sparsemod.loop.stages import Stage, stages_of
from sparsemod.problem import Problem
from sparsemod.results import Record, delete_models_off_front, require_same
from sparsemod.study import Study


def search(config: Config | str | Path | None = None, *, watch: Watch | None = None, **keywords: Any) -> Study:
    """Runs a search, or goes on with one that was interrupted, and returns its study.

    Args:
        config: A configuration or the path of one; or leave it out and give keyword arguments named like the keys.
        watch: Called with a `Progress` whenever something happened.
        keywords: `problem=...`, `r1=...`, `objectives=...`, `device=...` and so on.

    Raises:
        InputError: Something the user brought cannot be used.
        SparsemodError: The search failed: too many candidates in a row, or the disk is full.

    Example:
        ```
        study = sparsemod.search(problem=problem, device="microbit-v2", r1=8, r2=8, r3=8)
        study.to_pandas()
        ```
    """
    if config is None:
        config = configuration.from_keywords(**keywords)
    elif keywords:
        raise InputError("give search a configuration or keyword arguments, not both")
    elif not isinstance(config, Config):
        config = configuration.read(config)
    torch.set_num_threads(1)
    problem = problem_of(config)
    screen = _screen(problem, config)
    stages = stages_of(screen, config)
    record = Record(config.study_folder(), config, problem.space, lambda: header(screen, config))
    try:
        require_same("limits", record.study.limits, limits(screen, config), "not limited", record.folder)
        Search(config, record, stages, EarlyStopping(screen), watch or (lambda progress: None)).run()
        delete_models_off_front(record.study, record.folder)
    finally:
        record.close()
    return record.study


def begin(config: Config) -> tuple[Screen, Study, list[Stage]]:
    """What a search begins with, for a program that runs it itself: costs, an empty study, the stages to fill it."""
    screen = _screen(problem_of(config), config)
    fixed = header(screen, config)
    study = Study(fixed["objectives"], fixed["limits"], fixed["reference"], fixed["seed"])
    return screen, study, stages_of(screen, config)


def _screen(problem: Problem, config: Config) -> Screen:
    if problem.build is None or problem.load_data is None:
        return Screen(replace(problem, build=None), config)
    data = data_of(problem)
    return Screen(problem, config, data)
