"""A trial's integer network as files for a device, and the proof that they compute the same.

`c` writes C99, `verify` builds it and compares, on the host and through `arm` on emulated processors; `artefact` is the
folder between the two. `onnx` writes ONNX, and `onnx_check` compares it in ONNX Runtime. `tflite` writes models
of LiteRT and `pte` programs of ExecuTorch, which `whole` compares before there is a file.
"""

from sparsemod.export.build import Check, NoCompiler
from sparsemod.export.c import export
from sparsemod.export.verify import verify

__all__ = ["Check", "NoCompiler", "export", "verify"]
