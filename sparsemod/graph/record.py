"""Records what a module computes: every ATen call of one forward pass, whatever its classes are called."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sparsemod.errors import InputError
from sparsemod.graph.shapes import meta_result

_aten = torch.ops.aten
_WHOLE: Mapping[Any, str] = {
    **{torch.lstm: "lstm", _aten.lstm.input: "lstm", torch.lstm_cell: "lstm_cell"},
    **{torch.gru: "gru", _aten.gru.input: "gru", torch.gru_cell: "gru_cell"},
    **{torch.rnn_tanh: "rnn_tanh", torch.rnn_relu: "rnn_relu"},
}
"""What PyTorch takes apart before it dispatches, a recurrent layer even step by step, and what is one call here."""

_BY_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""Of calls whose result, or its shape, is not known without the values that they read."""


@dataclass(frozen=True, eq=False)
class Call:
    """One ATen call: `name` without namespace and overload, tensors as they went in and came out.

    `others` came out behind `output`, such as the last states of a recurrent layer.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor
    others: tuple[Any, ...] = ()


class _Recorder(TorchDispatchMode):
    """Writes down calls. One in place leaves a new value in an old tensor; later calls then read the new one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch, partly typed
        self.calls: list[Call] = []
        self._overwritten: dict[int, tuple[Tensor, Tensor]] = {}
        self._inside = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this PyTorch imports its compiler at the first call, which takes two seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._inside:
            return func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if args and isinstance(args[0], Tensor) and args[0].is_meta and not _BY_VALUE.isdisjoint(func.tags):
            raise InputError(
                f"the network depends on the values of its input (by {name!r}): what is costed takes the same "
                "steps, with the same shapes, for every input"
            )
        return self.noted(name, func, args, kwargs or {})

    def whole(self, name: str, func: Any, args: tuple[Any, ...]) -> Any:
        """The result of a call that is written down as one, whatever it dispatches."""
        self._inside = True
        try:
            return self.noted(name, func, args, {})
        finally:
            self._inside = False

    def noted(self, name: str, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The result of a call, which is written down."""
        read = tuple(self.newest(arg) for arg in args)
        result = None if kwargs else meta_result(name, args)
        if result is None:
            result = func(*args, **kwargs)
        output, *others = result if isinstance(result, (tuple, list)) else (result,)
        if isinstance(output, Tensor):
            if args and output is args[0]:
                self._overwritten[id(output)] = (output, output.detach())
            self.calls.append(Call(name, read, kwargs, self.newest(output), tuple(others)))
        return result

    def newest(self, value: Any) -> Any:
        """What stands for the present content of a tensor; anything else as it is."""
        return self._overwritten[id(value)][1] if id(value) in self._overwritten else value


class _Whole(TorchFunctionMode):
    """Hands the calls that are to stay whole to a recorder."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _WHOLE and not kwargs:
            return self._recorder.whole(_WHOLE[func], func, args)
        return func(*args, **(kwargs or {}))


def _keeping_whole(module: object, recorder: _Recorder) -> AbstractContextManager[object]:
    """Keeps calls whole where there are any; it would cost every other trace a third of its time."""
    layers = module.modules() if isinstance(module, nn.Module) else []
    recurrent = any(isinstance(part, nn.RNNBase | nn.RNNCellBase) for part in layers)
    return _Whole(recorder) if recurrent or isinstance(module, torch.fx.GraphModule) else nullcontext()


def record(module: Callable[[Tensor], Tensor], example: Tensor) -> tuple[list[Call], Tensor]:
    """Every ATen call of one forward pass, in order, and the output.

    Args:
        module: In evaluation mode.
        example: Some inputs, (N, *input shape).
    """
    with torch.no_grad(), _Recorder() as recorder, _keeping_whole(module, recorder):
        output = module(example)
    return recorder.calls, recorder.newest(output)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards every part of it is in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def scope(module: nn.Module, example: Tensor, position: int) -> str:
    """Path of the module in which the call at `position` happened: the forward pass again, now with hooks."""
    stack: list[str] = []
    scopes: list[str] = []

    class Watcher(_Recorder):
        def noted(self, *args: Any) -> Any:
            before = len(self.calls)
            result = super().noted(*args)
            scopes.extend([stack[-1] if stack else ""] * (len(self.calls) - before))
            return result

    hooks = []
    for name, part in module.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: stack.append(name)))
        hooks.append(part.register_forward_hook(lambda *_: stack.pop() and None))
    try:
        with torch.no_grad(), Watcher() as watcher, _keeping_whole(module, watcher):
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return scopes[position]


def axis_order(call: Call) -> list[int]:
    """Which axis of its input each axis of what a `permute` or `transpose` gives was."""
    dims = call.output.dim()
    if call.name == "permute":
        return [axis % dims for axis in call.args[1]]
    order = list(range(dims))
    one, other = (axis % dims for axis in call.args[1:3])
    order[one], order[other] = other, one
    return order
