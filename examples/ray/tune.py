"""The search of examples/digits inside Ray Tune, on this machine or, after `ray.init(...)`, on a cluster.

python examples/ray/tune.py
"""

from pathlib import Path

from ray import tune

from sparsemod.tune import SparseSearch, trainable

PROBLEM = f"{Path(__file__).parents[1] / 'digits' / 'problem.py'}:problem"
SETTINGS = {"device": "arduino-uno", "epochs1": 5, "epochs2": 15, "epochs3": 10}


def main(r1: int = 12, r2: int = 10, r3: int = 10) -> SparseSearch:
    """The rounds of the three stages; gone on with by `tune.Tuner.restore(path, trainable=...)`."""
    search = SparseSearch(PROBLEM, r1=r1, r2=r2, r3=r3, **SETTINGS)
    tuner = tune.Tuner(
        tune.with_resources(trainable(PROBLEM, **SETTINGS), {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=search, num_samples=-1, max_concurrent_trials=2, reuse_actors=True),
    )
    tuner.fit()
    return search


if __name__ == "__main__":
    # Tune knows one metric; the study behind its searcher knows all of them.
    for trial in main().study.pareto_front():
        print(trial.number, trial.candidate.origin, dict(trial.score))
