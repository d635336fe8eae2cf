"""Tensors stored contiguously in one vector, for operations on all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def whole(tensors: Sequence[Tensor]) -> Tensor | None:
    """The vector, detached, that the tensors fill contiguously in order; None if there is none."""
    first = tensors[0]
    start = at = first.data_ptr()
    for x in tensors:
        if x.data_ptr() != at or x.dtype != first.dtype or not x.is_contiguous():
            return None
        at += x.nbytes
    storage = first.untyped_storage()
    if at > storage.data_ptr() + storage.nbytes():
        return None  # adjacent by chance
    return first.detach().as_strided(((at - start) // first.itemsize,), (1,))


def pieces(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Consecutive views of a vector with the shapes of ``like``."""
    parts = zip(vector.split([x.numel() for x in like]), like, strict=True)
    return [part if x.ndim == 1 else part.view(x.shape) for part, x in parts]
