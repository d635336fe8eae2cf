"""Tensors stored contiguously in one vector, for operations on all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def whole(tensors: Sequence[Tensor]) -> Tensor | None:
    """The vector that contiguous tensors fill one after the other, detached; None where there is no such vector."""
    first = tensors[0]
    start = at = first.data_ptr()
    for x in tensors:
        if x.data_ptr() != at or x.dtype != first.dtype or not x.is_contiguous():
            return None
        at += x.nbytes
    storage = first.untyped_storage()
    if at > storage.data_ptr() + storage.nbytes():
        return None  # neighbours by chance
    return first.detach().as_strided(((at - start) // first.itemsize,), (1,))


def pieces(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views that a vector falls into, one after the other, each of the shape of one of ``like``."""
    parts = zip(vector.split([x.numel() for x in like]), like, strict=True)
    return [part if x.ndim == 1 else part.view(x.shape) for part, x in parts]
