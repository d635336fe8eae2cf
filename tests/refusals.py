"""Refusals as a user reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lagbench.errors import UsageError


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The sentence with which a call is refused."""
    with pytest.raises(UsageError) as caught:
        call(*arguments, **options)
    assert caught.value.exit_code == 2
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence
