"""A network from a file of another tool, as a module that computes the same.

`onnx` reads the file, `formulas` finds functions that exporters write as several operators, and `operators` makes a
layer of each operator. No converter on the package index works with every build of PyTorch that sparsemod runs on: the
maintained ones import torchvision, whose published build needs the PyTorch build with CUDA.
"""

from sparsemod.importer.onnx import Network, read

__all__ = ["Network", "read"]
