"""One candidate, from its parameters to its score."""

from sparsemod.evaluate.given import data_of, problem_of, teacher_of
from sparsemod.evaluate.pipeline import Outcome, Weights, evaluate, measure, random_seed

__all__ = ["Outcome", "Weights", "data_of", "evaluate", "measure", "problem_of", "random_seed", "teacher_of"]
