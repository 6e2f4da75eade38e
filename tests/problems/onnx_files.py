"""ONNX files of small networks, and a look into them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsemod.export.onnx import export
from sparsemod.export.onnx_check import Comparison, check
from sparsemod.graph import Activation, Graph, Operator

onnx = pytest.importorskip("onnx", reason="ONNX needs the package onnx: pip install 'sparsemod[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="the comparison needs onnxruntime: 'sparsemod[export]'")


def compared(graph: Graph, path: Path, vectors: Tensor | None = None) -> Comparison:
    """What ONNX Runtime makes of the exported graph."""
    export(graph, path)
    return check(path, graph, vectors)


def operators(path: Path) -> list[str]:
    """Kinds of the nodes of a file, in order."""
    return [node.op_type for node in onnx.load(path).graph.node]


def initializers(path: Path) -> dict[str, np.ndarray]:
    """Constants of a file by name."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def halved() -> Graph:
    """y = x / 2 in whole steps."""
    operator = Operator(
        *("linear", "fc", (0,), 1),
        weight=torch.ones(1, 1, dtype=torch.int8),
        weight_scale=torch.ones(1),
        multiplier=torch.tensor([1], dtype=torch.int32),
        shift=torch.tensor([1], dtype=torch.int32),
        low=-128.0,
        high=127.0,
    )
    return Graph((operator,), (Activation((1,), 1, 1.0), Activation((1,), 1, 2.0)))
