"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

# The same examples in every run: a red build must be red again when it is repeated.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("search", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("NCFAST_HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Children that are started meanwhile are not deaf to SIGINT, as those of a job in the background are."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_240_917)
