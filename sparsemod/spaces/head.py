"""The end of a network: dropout, fully connected layers and a classifier, with what moves them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sparsemod.space import Choice, Float, Int, Parameter, Parameters, SearchSpace, Value
from sparsemod.spaces.moves import scaled
from sparsemod.spaces.rows import longer, one_of, reaching
from sparsemod.spaces.training import set_bits


def head_parameters(fc_layers: int, fc_units: tuple[int, int], weight_bits: Sequence[int]) -> dict[str, Parameter]:
    """What a `Head` reads; the arguments are those of `cnn.space`. Without fully connected layers it is `dropout`."""
    space: dict[str, Parameter] = {"fc_layers": Int(0, fc_layers)}
    for fc in range(1, fc_layers + 1):
        deep = reaching("fc_layers", fc, fc_layers, fewest=0)
        space[f"fc{fc}_units"] = Int(*fc_units, log=True, when=deep)
        if weight_bits:
            space[f"fc{fc}_bits"] = Choice(weight_bits, when=deep)
    space["dropout"] = Float(0.0, 0.5)
    return space


class Head(nn.Module):
    """Dropout and fully connected layers: (N, features) -> (N, K)."""

    def __init__(self, parameters: Parameters, features: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(float(parameters["dropout"]))
        self.fc = nn.ModuleList()
        for fc in range(1, int(parameters.get("fc_layers", 0)) + 1):
            units = int(parameters[f"fc{fc}_units"])
            self.fc.append(nn.Linear(features, units))
            set_bits(self.fc[-1], parameters, f"fc{fc}")
            features = units
        self.classifier = nn.Linear(features, num_classes)
        set_bits(self.classifier, parameters, "classifier")

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.dropout(x)
        for layer in self.fc:
            x = F.relu(layer(x))
        logits: Tensor = self.classifier(x)
        return logits


def fc_layers(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One fully connected layer more, as wide as the last, or one less."""
    return longer(parameters, space, rng, "fc_layers", "fc")


def fc_units(parameters: Parameters, space: SearchSpace, rng: np.random.Generator) -> dict[str, Value] | None:
    """One fully connected layer wider or narrower, by up to a factor of two."""
    if parameters["fc_layers"] == 0:
        return None
    return scaled(parameters, space, rng, f"{one_of(parameters, rng, 'fc_layers', 'fc')}units")
