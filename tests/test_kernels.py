"""Layers that compute faster compute the same."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sparsemod.kernels import faster


def images(count: int, channels: int, size: int = 16) -> Tensor:
    """Channels of other means and spreads, the last axis in memory."""
    x = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))
    x = x * torch.arange(1, channels + 1).reshape(-1, 1, 1) + 10
    return x.contiguous(memory_format=torch.channels_last)


def trained_once(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Output, gradients and statistics of one step."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = network(x)
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    (y.square() * weights).sum().backward()
    assert x.grad is not None
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {"y": y.detach(), "x": x.grad, **gradients, **{name: own.clone() for name, own in network.named_buffers()}}


def compare(network: nn.Module, x: Tensor) -> None:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    twin = copy.deepcopy(network)
    expected = trained_once(network, x)
    with faster(twin):
        found = trained_once(twin, x)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = value.abs().max().item()
        assert torch.allclose(found[name].float(), value.float(), rtol=1e-3, atol=1e-4 * scale), name


@pytest.mark.parametrize("channels", [2, 3, 5, 12, 31])
def test_batch_norm_of_few_channels_is_the_same(channels: int) -> None:
    compare(nn.BatchNorm2d(channels), images(64, channels))


@pytest.mark.parametrize("channels", [1, 8, 16])
@pytest.mark.parametrize("count", [1, 64])
def test_other_batch_norms_are_left_to_pytorch_bit_by_bit(channels: int, count: int) -> None:
    x, norm = images(count, channels), nn.BatchNorm2d(channels)
    with faster(norm):
        assert torch.equal(norm(x), nn.BatchNorm2d(channels)(x))


@pytest.mark.parametrize(
    "change", [lambda x: x[:3], lambda x: x.contiguous(), lambda x: x[:, :, :15, :15], Tensor.double]
)
def test_batches_of_any_size_layout_and_type_are_normalized(change: Callable[[Tensor], Tensor]) -> None:
    x = change(images(75, 5))
    compare(nn.BatchNorm2d(5).to(x.dtype), x)


def test_batch_norm_uses_its_statistics_where_it_does_not_train() -> None:
    norm, x = nn.BatchNorm2d(5).eval(), images(64, 5)
    with faster(norm):
        assert torch.equal(norm(x), nn.BatchNorm2d(5).eval()(x))
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_convolution_of_one_pixel_and_channel_is_the_same(stride: int | tuple[int, int], bias: bool) -> None:
    compare(nn.Conv2d(1, 4, 1, stride, bias=bias), images(8, 1, 15))
    compare(nn.Conv2d(1, 1, 1, stride, bias=bias), images(8, 1, 15))


def test_its_output_has_channels_last() -> None:
    layer = nn.Conv2d(1, 4, 1)
    with faster(layer):
        assert layer(images(8, 1)).is_contiguous(memory_format=torch.channels_last)


def test_only_plain_layers_are_changed_and_only_for_a_while() -> None:
    class Mine(nn.BatchNorm2d):
        pass

    plain = [nn.BatchNorm2d(3), nn.Conv2d(1, 2, 1)]
    others = [
        Mine(3),
        nn.Conv2d(1, 2, 1, padding=1),
        nn.Conv2d(1, 2, 3),
        nn.Conv2d(2, 2, 1),
        nn.BatchNorm2d(3, affine=False),
    ]
    with pytest.raises(ZeroDivisionError), faster(nn.Sequential(*plain, *others)):
        assert all("forward" in vars(part) for part in plain)
        assert not any("forward" in vars(part) for part in others)
        raise ZeroDivisionError
    assert not any("forward" in vars(part) for part in plain)
