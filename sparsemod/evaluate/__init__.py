"""One candidate, from its parameters to its score."""

from sparsemod.evaluate.given import collate_of, data_of, problem_of, teacher_of
from sparsemod.evaluate.held_out import groups_of, measure_retrained, measure_saved
from sparsemod.evaluate.mistakes import confusion
from sparsemod.evaluate.pipeline import Outcome, Weights, evaluate, measure, random_seed

__all__ = [
    "Outcome",
    "Weights",
    "collate_of",
    "confusion",
    "data_of",
    "evaluate",
    "groups_of",
    "measure",
    "measure_retrained",
    "measure_saved",
    "problem_of",
    "random_seed",
    "teacher_of",
]
