"""A network from a file of another tool, as a module that computes the same.

`onnx` reads the file, `formulas` finds functions that exporters write as several operators, and `operators` makes a
layer of each operator. The converters on the package index import torchvision, whose build there does not load
beside the CPU build of PyTorch.
"""

from sparsemod.importer.onnx import Network, read

__all__ = ["Network", "read"]
