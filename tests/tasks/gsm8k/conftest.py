"""A tiny model and a few questions, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.gsm8k.tiny import make_data


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("gsm8k") / "data")
