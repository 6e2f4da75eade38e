"""Everything of one's own: search space, builder, data and morphism. A multilayer perceptron on the digits.

Code of yours that trains and measures by itself is an `objective` instead of builder and data: docs/optimizer.md.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from sparsemod import Choice, Data, Float, Infeasible, Int, Problem, SearchSpace, Tensors

space = SearchSpace(
    {
        "depth": Int(1, 3),
        "width_1": Int(4, 128, log=True),
        "width_2": Int(4, 128, log=True, when={"depth": (2, 3)}),
        "width_3": Int(4, 128, log=True, when={"depth": (3,)}),
        "activation": Choice(["relu", "relu6"]),
        "learning_rate": Float(1e-3, 3e-2, log=True),
        "prune_threshold": Float(0.0, 0.9),
    }
)


def build(parameters, input_shape, num_classes):
    """Any nn.Module of one input and one score per class; no quantization stubs, nothing to fuse by hand."""
    channels, height, width = input_shape
    features, layers = channels * height * width, [nn.Flatten()]
    for layer in range(1, parameters["depth"] + 1):
        units = parameters[f"width_{layer}"]
        if units > 4 * features:
            raise Infeasible(f"layer {layer}: {units} units are more than four times its {features} inputs")
        layers += [nn.Linear(features, units), nn.ReLU() if parameters["activation"] == "relu" else nn.ReLU6()]
        features = units
    return nn.Sequential(*layers, nn.Linear(features, num_classes))


def load_data():
    """Bytes stay bytes, scaled a batch at a time. A fifth of every class is validated on, a fifth tested on."""
    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images, dtype=torch.uint8).reshape(-1, 1, 8, 8)
    return Data.from_tensors(Tensors(x, torch.as_tensor(labels), mean=4.9, std=6.0), validation=0.2, test_share=0.2)


def resize(parameters, space, rng):
    """A morphism: one layer half as wide or twice as wide, within the bounds of the space."""
    name = f"width_{1 + rng.integers(parameters['depth'])}"
    width = parameters[name] * 2 if rng.random() < 0.5 else parameters[name] // 2
    return {**parameters, name: width} if width in space[name] else None


problem = Problem(space, build, load_data, morphisms=[resize])
