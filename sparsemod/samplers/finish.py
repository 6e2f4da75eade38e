"""After the last stage: networks of the front are trained on, so that none is there for having trained longer."""

from sparsemod.cost.screen import Screen
from sparsemod.study import Candidate, Study, Trial


class Finish:
    """The networks of the front themselves, each from its own weights, for the epochs that it lacks.

    Unlike other samplers it proposes what is in the study: a network that was trained on takes the place of what it
    was. One that leaves the front by that may let others in, which are then trained on, too.

    Args:
        screen: Of the problem.
        epochs: That each network of the front shall have seen, those of its ancestors counted; as many as any of them
            if not given.
        seed: Of the search.
    """

    name = "finish"

    def __init__(self, screen: Screen, epochs: int | None, seed: int) -> None:
        self._epochs = epochs

    def ask(self, study: Study, n: int) -> list[Candidate]:
        """Up to `n` networks of the front that have seen fewer epochs and were not trained on yet."""
        return [
            Candidate(study.next_number + place, trial.candidate.parameters, epochs, self.name, trial.number)
            for place, (trial, epochs) in enumerate(self._lacking(study)[:n])
        ]

    def seconds(self, study: Study) -> float:
        """What is left to do, in processor seconds, as far as the trainings so far tell."""
        return sum(trial.seconds / trial.candidate.epochs * epochs for trial, epochs in self._lacking(study))

    def _lacking(self, study: Study) -> list[tuple[Trial, int]]:
        front, begun = study.pareto_front(), study.proposed(self.name)
        most = max((study.epochs_seen(each) for each in (*begun, *(trial.candidate for trial in front))), default=0)
        epochs, tried = most if self._epochs is None else self._epochs, {candidate.parent for candidate in begun}
        lacking = [(trial, epochs - study.epochs_seen(trial.candidate)) for trial in front if trial.number not in tried]
        return [(trial, epochs) for trial, epochs in lacking if epochs > 0]
