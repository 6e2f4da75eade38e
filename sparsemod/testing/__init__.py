"""Contract checks for plug-ins, ours and yours: what `sparsemod check` runs, and what your own tests may call.

Each check returns the faults it found, in words; an empty list is a pass.

    def test_my_problem():
        assert check_problem(problem) == []
"""

from sparsemod.testing.plug_ins import check_cost, check_executor, check_sampler
from sparsemod.testing.problems import check_problem, problem_checks

__all__ = ["check_cost", "check_executor", "check_problem", "check_sampler", "problem_checks"]
