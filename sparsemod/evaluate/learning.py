"""How the network of a candidate learns: channels removed, weights pruned, measured on the way, tuned as int8."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from sparsemod.accelerator import PROCESSOR, on
from sparsemod.compress.prune import PruningRamp
from sparsemod.compress.qat import settling
from sparsemod.compress.remove import epochs_before_removal, remove_channels
from sparsemod.config import Config
from sparsemod.cost.screen import channel_share, target_pattern, target_sparsity
from sparsemod.data import Collate, Data, Placed
from sparsemod.evaluate.given import teacher_of
from sparsemod.metrics import Error
from sparsemod.problem import TRAINING_DEFAULTS, Problem
from sparsemod.space import Parameters
from sparsemod.train import AfterStep, network_error, train


class GivenUp(Exception):
    """A network that costs no more was far better after as many epochs."""


@dataclass(frozen=True, eq=False)
class Learning:
    """The training of one candidate.

    Attributes:
        learn: Trains a network; takes the arguments of `sparsemod.train.train`.
        data: To train and validate on.
        parameters: Of the training, complete.
        epochs: In all, without those of quantization-aware training.
        pruning: Whether channels and weights are removed.
        rng: Shuffles the samples.
        collate: Joins samples to a batch.
        bars: Errors above which the candidate is given up, by the epochs after which it is measured.
        curve: Errors by epochs; grows.
        measure: The problem's own error, if it has one.
        accelerator: Where the network and its batches are while it learns and is measured.
    """

    learn: Callable[..., None]
    data: Data
    parameters: Parameters
    epochs: int
    pruning: bool
    rng: torch.Generator
    collate: Collate | None
    bars: Mapping[int, float]
    curve: dict[int, float]
    measure: Error | None = None
    accelerator: torch.device = PROCESSOR

    @functools.cached_property
    def _placed(self) -> Data:
        """The data there."""
        if self.accelerator == PROCESSOR:
            return self.data
        train, validation = (Placed(part, self.accelerator) for part in (self.data.train, self.data.validation))
        return replace(self.data, train=train, validation=validation)

    def train(self, network: nn.Module, narrowed: bool) -> None:
        """All epochs; some of them before channels are removed, the others while weights become zero.

        What is measured on the way is so after the removal alone: others are compared with what is left.

        Args:
            network: Trained in place.
            narrowed: Whether its channels are removed already.

        Raises:
            GivenUp: Its error is above a bar.
        """
        before = 0
        share = channel_share(self.parameters) if self.pruning and not narrowed else 0.0
        if share:
            before = epochs_before_removal(self.epochs)
            if before:
                self._train(network, before, PruningRamp(network, 0.0))
            remove_channels(network, self.data.input_shape, share)
        zeros = (target_sparsity(self.parameters), target_pattern(self.parameters)) if self.pruning else (0.0, None)
        self._train(network, self.epochs - before, self._measuring(network, PruningRamp(network, *zeros), before))

    def error(self, network: nn.Module) -> float:
        """On validation, of the float network as it is now; its training may go on as if nothing had been."""
        modes = [(part, part.training) for part in network.modules()]
        network.eval()
        with on(self.accelerator, network):
            found = network_error(network, self._placed.validation, self.collate, self.measure)
        for part, mode in modes:
            part.training = mode
        return found

    def tuning(self, epochs: int) -> Callable[[nn.Module], None] | None:
        """Quantization-aware training at a tenth of the learning rate; None if there are no epochs for it."""
        if epochs == 0:
            return None
        slower = {**self.parameters, "learning_rate": float(self.parameters["learning_rate"]) / 10}
        return lambda network: self._train(network, epochs, settling(network), slower)

    def _train(
        self, network: nn.Module, epochs: int, after_step: AfterStep, parameters: Parameters | None = None
    ) -> None:
        train, parameters = self._placed.train, parameters or self.parameters
        with on(self.accelerator, network):
            self.learn(network, train, parameters, epochs, self.rng, after_step, self.collate)

    def _measuring(self, network: nn.Module, ramp: PruningRamp, before: int) -> AfterStep:
        """Hook of the training that goes on after the first `before` epochs."""

        def after_step(step: int, steps: int) -> None:
            ramp(step, steps)
            for epoch, bar in self.bars.items():
                if epoch > before and step == round(steps * (epoch - before) / (self.epochs - before)):
                    self.curve[epoch] = self.error(network)
                    self._require_below(bar, epoch)

        return after_step

    def _require_below(self, bar: float, epoch: int) -> None:
        if self.curve[epoch] > bar:
            raise GivenUp(
                f"given up after {epoch} of {self.epochs} epochs: its error was {self.curve[epoch]:.4g}, and {bar:.4g} "
                "would not do, as a network that costs no more in any objective was far better by then"
            )


def training_parameters(candidate: Parameters, config: Config) -> Parameters:
    """What a space leaves out is as the configuration says, or as usual."""
    keys: Parameters = {
        "learning_schedule": config.train.schedule,
        "label_smoothing": config.train.label_smoothing,
        "distillation": config.train.distillation,
    }
    return {**TRAINING_DEFAULTS, **keys, **candidate}


def learner(problem: Problem, parameters: Parameters) -> Callable[..., None]:
    """What trains a network: the problem's own, or ours with the problem's loss or teacher."""
    if problem.train is not None:
        return problem.train
    if problem.teacher is None or float(parameters["distillation"]) == 0:
        return functools.partial(train, loss=problem.loss)
    return functools.partial(train, teacher=teacher_of(problem))
