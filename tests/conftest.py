"""What holds for all tests."""

import os

from hypothesis import settings

# One thread a worker and a subprocess: the tests run side by side. It counts only before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline, for a busy machine is no failure; the same examples every time, so that a failure is found again.
settings.register_profile("lagbench", deadline=None, derandomize=True)
settings.load_profile("lagbench")
