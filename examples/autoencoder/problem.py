"""Anomalies: an autoencoder learns images of the digit 9 alone, and is judged by how well it tells other digits apart.

It is trained on what it is given (y = x); the labels of the other parts say what is strange (1) and what is usual (0).
The error is 1 minus the area under the ROC curve.
"""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import mse_loss

from sparsemod import Data, Problem, Tensors
from sparsemod.metrics import reconstruction_auc_error
from sparsemod.spaces import mlp

PIXELS = 64


def load_data():
    """Two thirds of the nines to learn from; the others, among 300 strange digits, to validate and to test."""
    images, labels = load_digits(return_X_y=True)
    x, strange = torch.as_tensor(images, dtype=torch.float32) / 16, torch.as_tensor(labels != 9).long()
    usual, rest = x[strange == 0], x[strange == 1][:300]
    train, held_out = usual[:120], torch.cat([usual[120:], rest])
    y = torch.cat([torch.zeros(len(usual) - 120), torch.ones(len(rest))]).long()
    validation, test = (Tensors(held_out[start::2], y[start::2]) for start in (0, 1))
    return Data(Tensors(train, train), validation, test, input_shape=(PIXELS,), num_classes=PIXELS)


problem = Problem(
    space=mlp.space(layers=3, units=(2, 64), learning_rate=(1e-3, 3e-2), batch_size=(8, 64)),
    build=mlp.build,
    load_data=load_data,
    morphisms=mlp.MORPHISMS,
    loss=mse_loss,
    error=reconstruction_auc_error,
)
