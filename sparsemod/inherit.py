"""A parent's weights into a child of another shape.

Where the child grew, its function is the parent's as far as shapes allow [Chen2016]: a wider layer starts with new
outputs that nothing reads yet, a larger kernel with zeros around the old one, a new square layer as the identity.
Where it shrank, the overlap is copied.

[Chen2016] Net2Net: accelerating learning via knowledge transfer, ICLR 2016, arXiv 1511.05641.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def inherit(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrites the weights of a freshly built network with those of its parent, layer by layer by name.

    Args:
        network: The child; changed in place.
        weights: The parent's `state_dict`.
    """
    known = {name.rpartition(".")[0] for name in weights}
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
        if not own:
            continue
        if name in known:
            for key, tensor in own.items():
                source = weights.get(f"{name}.{key}")
                if source is not None and source.dim() == tensor.dim():
                    looked_up = isinstance(module, nn.Embedding)  # new features are zero where they are read
                    inputs = 1 if key.startswith("weight") and tensor.dim() >= 2 and not looked_up else None
                    for part, old in zip(_by_gate(module, tensor), _by_gate(module, source), strict=False):
                        _copy(part, old, inputs)
        else:
            _identity(module)


def _by_gate(module: nn.Module, tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of what a recurrent layer keeps in one tensor, gate behind gate; the tensor itself of other layers."""
    gates = 4 if isinstance(module, nn.LSTM) else 3 if isinstance(module, nn.GRU) else 1
    return (tensor,) if gates == 1 else tensor.chunk(gates)


def _copy(tensor: Tensor, source: Tensor, inputs: int | None) -> None:
    """Copies the overlap; new inputs of a layer get zero weights, so that they change nothing yet."""
    if inputs is not None and tensor.shape[inputs] > source.shape[inputs]:
        tensor[: source.shape[0]].zero_()
    to, back = [], []
    for axis, (size, old) in enumerate(zip(tensor.shape, source.shape, strict=True)):
        overlap = min(size, old)
        centred = axis >= 2  # kernels share the tap that sits on the output position
        shift = (size - 1) // 2 - (old - 1) // 2 if centred else 0
        to.append(slice(max(shift, 0), max(shift, 0) + overlap))
        back.append(slice(max(-shift, 0), max(-shift, 0) + overlap))
    if tensor.dim() > 2 and any(size > old for size, old in zip(tensor.shape[2:], source.shape[2:], strict=True)):
        tensor[: source.shape[0], : source.shape[1]].zero_()
    tensor[tuple(to)] = source[tuple(back)]


def _identity(module: nn.Module) -> None:
    """Makes a layer that the parent does not have pass its input on, if it has as many outputs as inputs."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Conv1d | nn.Conv2d) and isinstance(weight, Tensor):
        if module.in_channels == module.out_channels and set(module.stride) == {1}:
            weight.zero_()
            position = [(size - 1) // 2 for size in weight.shape[2:]]
            for channel in range(len(weight)):
                weight[(channel, channel % weight.shape[1], *position)] = 1
            if module.bias is not None:
                module.bias.zero_()
    elif isinstance(module, nn.Linear) and module.in_features == module.out_features:
        nn.init.eye_(module.weight)
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_var is not None:
        module.running_var.fill_(1 - module.eps)
