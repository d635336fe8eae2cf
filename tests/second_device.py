"""A GPU where there is none: a tensor moved to "cuda" is computed on the CPU, and must be moved back to meet others.

What runs with ``--device cuda`` runs here as it is. An operation on tensors of both devices, and one that reads a
tensor of the GPU as an array, raises as it does on a real one. The numbers are those of the CPU.

For torch such a tensor is a subclass on "meta", the one device that every build has and whose gradient is computed in
the same thread; wherever Python asks, it is on "cuda".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_MEMORY = {"mem_get_info": (1 << 33, 1 << 33), "memory_reserved": 0, "memory_allocated": 0}
_CUDA, _META, _CPU = (torch.device(name) for name in ("cuda", "meta", "cpu"))
_ATEN = torch.ops.aten
_ACROSS = (_ATEN._to_copy.default, _ATEN.copy_.default)
# A tensor there may be indexed from here.
_INDEXING = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default)


class There(torch.Tensor):
    """A tensor on the second device. ``held``: what it is on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> There:
        """Of the shape of what it holds."""
        place: Any = {"strides": held.stride(), "storage_offset": held.storage_offset(), "device": _META}
        made: Any = torch.Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, **place)
        made.held = held
        there: There = made
        return there

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved, it is loaded on the CPU."""
        return self.held.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """See ``_compute``: where autograd calls."""
        return _compute(func, args, kwargs or {})


def _compute(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, There)]
    here = [x for x in tensors if not isinstance(x, There)]
    indexed = func in _INDEXING and isinstance(args[0], There)
    if there and func not in _ACROSS and not indexed and any(x.dim() for x in here):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found cuda and cpu")
    device = kwargs.get("device")
    result_there = bool(there) if device is None else torch.device(device) == _META
    options = dict(kwargs) if device is None else {**kwargs, "device": _CPU}
    plain_args, plain_options = tree_map(lambda x: x.held if isinstance(x, There) else x, (tuple(args), options))
    # An operation in place gives what it was given.
    known = {id(x.held): x for x in there} | {id(x): x for x in here}

    def placed(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not result_there:
            return known.get(id(x), x)
        return known[id(x)] if id(x) in known else There(x)

    return tree_map(placed, func(*plain_args, **plain_options))


class _Dispatch(TorchDispatchMode):
    """Sees what makes tensors from none."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Names(TorchFunctionMode):
    """For Python it is "cuda", for torch "meta"."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        own = args[0] if args else None
        if isinstance(own, There) and func in _OWN:
            return _OWN[func](own, *args[1:])
        args, kwargs = tree_map(lambda x: _META if _is_cuda(x) else x, (tuple(args), dict(kwargs or {})))
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == _META:
            # Made of numbers, which a device without memory would drop.
            return func(*args, **{**kwargs, "device": _CPU}).to(_META)
        return func(*args, **kwargs)


def _is_cuda(x: Any) -> bool:
    return (x == "cuda" or x.startswith("cuda:")) if isinstance(x, str) else isinstance(x, torch.device) and x == _CUDA


def _no_array(*_: Any) -> Any:
    raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")


_OWN: Mapping[Any, Callable[..., Any]] = {
    torch.Tensor.device.__get__: lambda x: _CUDA,
    torch.Tensor.is_meta.__get__: lambda x: False,  # type: ignore[attr-defined]
    torch.Tensor.is_cuda.__get__: lambda x: True,  # type: ignore[attr-defined]
    torch.Tensor.data_ptr: lambda x: x.held.data_ptr(),
    torch.Tensor.tolist: lambda x: x.held.tolist(),
    torch.Tensor.new_tensor: lambda x, data: torch.tensor(data, dtype=x.dtype).to(_META),
    torch.Tensor.numpy: _no_array,
    torch.Tensor.__array__: _no_array,
}


@contextlib.contextmanager
def second_device() -> Iterator[None]:
    """Within it there is one CUDA device."""
    state = torch.get_rng_state()
    with contextlib.ExitStack() as stack:
        answers = {"device_count": 1, "get_rng_state": state, "set_rng_state": None, **_MEMORY}
        for name, found in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, found=found: found))
        stack.enter_context(_Names())
        stack.enter_context(_Dispatch())  # type: ignore[no-untyped-call]
        yield
