"""Process settings that affect torch: set for a run, and restored afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def own_settings(threads: int = 1) -> Iterator[None]:
    """Compute as in a fresh process with ``threads`` torch threads, and restore the host's settings afterwards.

    These are torch's threads, default dtype, default device, matrix-product precision, gradient and inference mode and
    autocast, and the global generators of torch, NumPy and Python.
    """
    import torch  # here because it takes a second, and modules that only read runs import this one

    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002
    with contextlib.ExitStack() as stack:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # Both slow down every operation, so they are entered only if needed.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        try:
            torch.set_num_threads(threads)
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_default_dtype(before[1])
            torch.set_float32_matmul_precision(before[2])
            random.setstate(generators[0])
            np.random.set_state(generators[1])  # noqa: NPY002
