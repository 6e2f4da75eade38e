"""Which parameters decide the error: permutation importance on a random forest [Breiman2001].

[Breiman2001] Random forests, Machine Learning 45, 2001.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsemod.report.source import Source
from sparsemod.report.trials import parameters
from sparsemod.study import Trial

_FEWEST = 20
"""Completed trials below which a forest says nothing."""
_TREES, _REPEATS, _FOLDS = 30, 2, 3
_INACTIVE = -1.0


def importance(source: Source) -> dict[str, Any]:
    """How much worse the logarithm of the error is predicted if one parameter is shuffled.

    Trials are predicted by forests that were grown without them. The epochs of a trial count as a parameter, since
    stages train for different times.

    Returns:
        rows: name, mean and std (loss of explained variance), the largest first; fit: explained variance (R^2) before
        anything is shuffled; trials: how many. Or `missing`: why there is no answer.
    """
    trials = [trial for trial in source.study.completed() if "error" in trial.score]
    if len(trials) < _FEWEST:
        return {"missing": f"It needs {_FEWEST} completed trials with an error; there are {len(trials)}."}
    names, inputs = _encoded(source, trials)
    errors = np.array([trial.score["error"] for trial in trials])
    if np.ptp(errors) == 0:
        return {"missing": "All trials have the same error."}
    smallest = errors[errors > 0].min()
    losses, fits = _losses(inputs, np.log(np.maximum(errors, smallest / 2)), source.study.seed)
    fit = float(np.mean(fits))
    if fit <= 0:
        return {
            "missing": f"A random forest does not predict the error of these {len(trials)} trials (explained variance "
            f"{fit:.2f}), so it cannot tell which parameters decide it."
        }
    means, spreads = losses.mean(axis=1), losses.std(axis=1)
    rows = [
        {"name": names[index], "mean": round(float(means[index]), 5), "std": round(float(spreads[index]), 5)}
        for index in np.argsort(-means, kind="stable")
    ]
    return {"rows": rows, "fit": round(fit, 3), "trials": len(trials)}


def _losses(
    inputs: NDArray[np.float64], target: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], list[float]]:
    """Loss of R^2 by parameter and shuffle, (D, folds x repeats), and the R^2 of each fold.

    All shuffles of a fold are predicted at once, which takes a quarter of the time of scikit-learn's
    `permutation_importance`.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    count, rng = inputs.shape[1], np.random.default_rng(seed)
    losses, fits = [], []
    for train, test in KFold(_FOLDS, shuffle=True, random_state=seed).split(inputs):
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=seed).fit(inputs[train], target[train])
        fits.append(float(forest.score(inputs[test], target[test])))
        shuffled = np.tile(inputs[test], (count, _REPEATS, 1, 1))
        for column in range(count):
            for repeat in range(_REPEATS):
                rng.shuffle(shuffled[column, repeat, :, column])
        predicted = forest.predict(shuffled.reshape(-1, count)).reshape(count * _REPEATS, -1)
        true = np.broadcast_to(target[test], predicted.shape)
        scores = r2_score(true.T, predicted.T, multioutput="raw_values")
        losses.append(fits[-1] - scores.reshape(count, _REPEATS))
    return np.concatenate(losses, axis=1), fits


def _encoded(source: Source, trials: list[Trial]) -> tuple[list[str], NDArray[np.float64]]:
    """Names and values (T, D) of what varies: choices by their position, what is not active as -1."""
    names, columns = [], []
    for name in [*parameters(trials), "epochs"]:
        values = [{**trial.candidate.parameters, "epochs": trial.candidate.epochs}.get(name) for trial in trials]
        known = [value for value in values if value is not None]
        if any(isinstance(value, str | bool) for value in known):
            order = {value: float(place) for place, value in enumerate(sorted(set(known), key=str))}
            column = [_INACTIVE if value is None else order[value] for value in values]
        else:
            column = [_INACTIVE if value is None else float(value) for value in values]
        if len(set(column)) > 1:
            names.append(name)
            columns.append(column)
    return names, np.array(columns).T
